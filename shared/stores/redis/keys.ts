import { tmpdir } from 'node:os';
import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../errors.ts';
import { bytesOf, listOf, type RedisClient } from './client.ts';
import type { ChangingLimits } from './large.ts';
import { type ByteString, type KeySpace, showKey } from './scope.ts';
import { isBehind, type Position, SortedKeys, type SortLimits, type SpaceKeys } from './sorted-keys.ts';

/** Keys that one SCAN call looks at. */
const SCAN_COUNT = 2_000;
/** Longest key in bytes: a cursor of at most 8 KiB has to hold two, in base64. */
export const KEY_BYTES_MAX = 2_048;

/** The next keys in order, without duplicates; none only where there are none at all. */
export interface KeyWindow {
  readonly keys: SpaceKeys;
  /** Keys under the prefix that are no part of the scope; counted over the whole database. */
  readonly leftOut: number;
}

/** How much is held in memory, in a temporary file, and in an entry of the archive; smaller in tests. */
export interface Limits extends SortLimits {
  /** An entry is closed once it holds this many bytes. */
  readonly entryBytes: number;
  /** How keys that keep changing are read. */
  readonly changing?: ChangingLimits;
}

export const LIMITS: Limits = {
  keys: 16_000,
  bytes: 2 * 1024 ** 2,
  // And half as much again while the last keys are dropped: less than half of a function's disk.
  fileBytes: 128 * 1024 ** 2,
  folder: tmpdir(),
  entryBytes: 4 * 1024 ** 2,
};

/** What of a client reading keys needs. */
type Scanner = Pick<RedisClient, 'nodes' | 'call' | 'name'>;

/** Every key of a scope that SCAN returns from one server, in the server's order and with its duplicates. */
export async function* scanKeys(
  client: Scanner,
  node: Redis,
  pattern: ByteString | undefined,
): AsyncGenerator<Buffer[]> {
  const match = pattern === undefined ? [] : ['MATCH', Buffer.from(pattern, 'latin1')];
  const ask = (cursor: string) => {
    const page = client.call(node, 'SCAN', cursor, ...match, 'COUNT', SCAN_COUNT);
    // A failure is met where the page is taken; until then nobody listens.
    page.catch(() => undefined);
    return page;
  };
  // The server looks for the next page while this one is worked on.
  let ahead: ReturnType<typeof ask> | undefined = ask('0');
  try {
    while (ahead) {
      const [next, keys] = listOf(await ahead);
      const cursor = String(bytesOf(next));
      ahead = cursor === '0' ? undefined : ask(cursor);
      const page = listOf(keys).map(bytesOf);
      if (page.length > 0) yield page;
    }
  } finally {
    await Promise.allSettled([ahead]);
  }
}

/**
 * The keys after `after`, in order. SCAN returns keys in the order of the server's hash table, some of them twice when the
 * table shrinks meanwhile, and its cursor says nothing about which keys came already. So each key is sorted: duplicates
 * meet and go, a key that was there all the time is there, and the position of the last key is all that the next leg needs
 * to know. One SCAN does for millions of keys; where they are too many for the temporary file as well, the first of them
 * are handed out, and another SCAN finds the next ones.
 *
 * Throws InvalidInputError where a key or the number of namespaces is beyond the limits, and NgbakError where the temporary
 * file can't be written.
 */
export async function* keyWindows(
  client: Scanner,
  space: KeySpace,
  after: Position | null,
  signal: AbortSignal,
  limits: Limits = LIMITS,
): AsyncGenerator<KeyWindow> {
  let isEmpty = true;
  for (let from = after, more = true; more; ) {
    const sorted = new SortedKeys(client.name, limits);
    try {
      const leftOut = await scanInto(sorted, client, space, from, signal);
      for await (const keys of sorted.read()) {
        isEmpty = false;
        yield { keys, leftOut };
      }
      if (isEmpty) yield { keys: [], leftOut };
      from = sorted.bound;
      more = from !== null;
    } finally {
      await sorted.close();
    }
  }
}

/** Adds every key behind `from`; returns how many are left out. */
async function scanInto(
  sorted: SortedKeys,
  client: Scanner,
  space: KeySpace,
  from: Position | null,
  signal: AbortSignal,
): Promise<number> {
  let leftOut = 0;
  for (const node of await client.nodes()) {
    for await (const page of scanKeys(client, node, space.pattern)) {
      signal.throwIfAborted();
      for (const bytes of page) {
        const key = bytes.toString('latin1');
        const namespace = space.namespaceOf(key);
        if (namespace === undefined) {
          if (space.isLeftOut(key)) leftOut++;
          continue;
        }
        if (key.length > KEY_BYTES_MAX) {
          throw new InvalidInputError(
            `${client.name} has a key of ${key.length} bytes, "${showKey(key)}"; at most ${KEY_BYTES_MAX} can be saved.`,
            { remedy: 'Give it a shorter name, or narrow the scope so that it is left out.' },
          );
        }
        if (from === null || isBehind(namespace, key, from)) sorted.add(namespace, key);
        if (sorted.isFull) await sorted.spill();
      }
    }
  }
  return leftOut;
}
