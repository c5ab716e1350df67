import { tmpdir } from 'node:os';
import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../core/errors.ts';
import { bytesOf, listOf, type RedisClient } from './client.ts';
import { isKeyType } from './items.ts';
import type { ChangingLimits } from './large.ts';
import { LeftOut } from './left-out.ts';
import { type ByteString, KEY_BYTES_MAX, type KeySpace, showKey, toBytes } from './scope.ts';
import { isBehind, type Position, SortedKeys, type SortLimits, type SpaceKeys } from './sorted-keys.ts';

/** COUNT argument of SCAN. */
const SCAN_COUNT = 2_000;
/** The next keys in order, without duplicates; empty only if there are no more keys. */
export interface KeyWindow {
  readonly keys: SpaceKeys;
  /** Keys under the prefix that are not in the scope; counted over the whole database. */
  readonly leftOut: LeftOut;
}

/** Limits for memory, the temporary file, and entries of the archive; smaller in tests. */
export interface Limits extends SortLimits {
  /** Size in bytes at which an entry is closed. */
  readonly entryBytes: number;
  /** Limits for reading keys that keep changing. */
  readonly changing?: ChangingLimits;
}

export const LIMITS: Limits = {
  keys: 16_000,
  bytes: 2 * 1024 ** 2,
  // Plus half as much while the last keys are dropped: in total less than half of a function's disk.
  fileBytes: 128 * 1024 ** 2,
  folder: tmpdir(),
  entryBytes: 4 * 1024 ** 2,
};

/** The methods of a client that reading keys needs. */
type Scanner = Pick<RedisClient, 'nodes' | 'call' | 'sendAll' | 'name'>;

/** Every key that SCAN returns for a pattern from one server, in the server's order and with duplicates. */
export async function* scanKeys(
  client: Scanner,
  node: Redis,
  pattern: ByteString | undefined,
): AsyncGenerator<Buffer[]> {
  const match = pattern === undefined ? [] : ['MATCH', Buffer.from(pattern, 'latin1')];
  const scan = (cursor: string) => {
    const page = client.call(node, 'SCAN', cursor, ...match, 'COUNT', SCAN_COUNT);
    // A failure is thrown when the page is awaited; until then, nothing handles it.
    page.catch(() => undefined);
    return page;
  };
  // The server prepares the next page while this one is processed.
  let ahead: ReturnType<typeof scan> | undefined = scan('0');
  try {
    while (ahead) {
      const [next, keys] = listOf(await ahead);
      const cursor = String(bytesOf(next));
      ahead = cursor === '0' ? undefined : scan(cursor);
      const page = listOf(keys).map(bytesOf);
      if (page.length > 0) yield page;
    }
  } finally {
    await Promise.allSettled([ahead]);
  }
}

/**
 * The keys of a scope that SCAN returns from one server, in its order and with duplicates. With `unsupported: 'skip'`,
 * keys that cannot be saved are not in the scope: they are not saved, cleared or compared.
 *
 * @param leftOut  counts keys that have the prefix of the scope but are not in it
 */
export async function* scanScope(
  client: Scanner,
  node: Redis,
  space: KeySpace,
  leftOut = new LeftOut(),
): AsyncGenerator<{ key: ByteString; namespace: string }[]> {
  for await (const page of scanKeys(client, node, space.pattern)) {
    const found: { key: ByteString; namespace: string }[] = [];
    for (const bytes of page) {
      const key = bytes.toString('latin1');
      const namespace = space.namespaceOf(key);
      const reason = namespace === undefined ? space.reasonOf(key) : undefined;
      if (namespace !== undefined) found.push({ key, namespace });
      if (reason) leftOut.add(reason, key);
    }
    if (!space.skipsUnsupported || found.length === 0) {
      if (found.length > 0) yield found;
      continue;
    }
    const types = await client.sendAll(
      node,
      found.map(({ key }) => ['TYPE', toBytes(key)] as const),
    );
    const isSupported = types.map((type) => String(type) === 'none' || isKeyType(String(type)));
    for (const [index, { key }] of found.entries()) if (!isSupported[index]) leftOut.add('unsupported', key);
    const supported = found.filter((_, index) => isSupported[index]);
    if (supported.length > 0) yield supported;
  }
}

/**
 * The keys after `after`, in order. SCAN returns keys in the order of the server's hash table, some of them twice if
 * the table shrinks during the scan, and its cursor does not reveal which keys were already returned. Therefore all
 * keys are sorted: this removes duplicates, includes every key that existed throughout the scan, and lets the next leg
 * resume from the last key alone. A single SCAN suffices for millions of keys. If there are more than the temporary
 * file can hold, the first of them are returned, and another SCAN finds the next ones.
 *
 * Throws InvalidInputError if a key or the number of namespaces exceeds the limits, and NgbakError if the temporary
 * file cannot be written.
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

/** Adds every key after `from`; returns those that are left out. */
async function scanInto(
  sorted: SortedKeys,
  client: Scanner,
  space: KeySpace,
  from: Position | null,
  signal: AbortSignal,
): Promise<LeftOut> {
  const leftOut = new LeftOut();
  for (const node of await client.nodes()) {
    for await (const page of scanScope(client, node, space, leftOut)) {
      signal.throwIfAborted();
      for (const { key, namespace } of page) {
        if (key.length > KEY_BYTES_MAX) {
          throw new InvalidInputError(
            `${client.name} has a key of ${key.length} bytes, "${showKey(key)}"; at most ${KEY_BYTES_MAX} can be saved.`,
            {
              remedy:
                'Give it a shorter name, or set "unsupported" of the scope to "skip" to leave out such keys with a warning.',
            },
          );
        }
        if (from === null || isBehind(namespace, key, from)) sorted.add(namespace, key);
        if (sorted.isFull) await sorted.spill();
      }
    }
  }
  return leftOut;
}
