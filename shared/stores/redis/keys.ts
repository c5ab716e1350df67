import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../errors.ts';
import { bytesOf, listOf, type RedisClient } from './client.ts';
import { type ByteString, type KeySpace, showKey } from './scope.ts';

/** Keys that one SCAN call looks at. */
const SCAN_COUNT = 2_000;
/** Most keys of one window. With {@link WINDOW_BYTES} it bounds memory: twice this while a window is collected. */
const WINDOW_KEYS = 250_000;
/** Most bytes of key names in one window. */
const WINDOW_BYTES = 24 * 1024 ** 2;
/** Longest key in bytes: a cursor of at most 8 KiB has to hold two, in base64. */
export const KEY_BYTES_MAX = 2_048;
/** Most namespaces in one scope: each of them is at least one entry of the archive. */
const NAMESPACES_MAX = 1_000;

/** A place in the order of all keys: by namespace, then by key, both compared as bytes. */
export interface Position {
  readonly namespace: string;
  readonly key: ByteString;
}

/** The next keys in order, without duplicates. */
export interface KeyWindow {
  readonly keys: readonly { readonly namespace: string; readonly keys: readonly ByteString[] }[];
  /** False where more keys follow. */
  readonly complete: boolean;
  /** Keys under the prefix that are no part of the scope; counted over the whole database. */
  readonly leftOut: number;
}

/** Sizes of windows and of the archive's entries; smaller in tests. */
export interface Limits {
  readonly keys: number;
  readonly bytes: number;
  /** An entry is closed once it holds this many bytes. */
  readonly entryBytes: number;
}

export const LIMITS: Limits = { keys: WINDOW_KEYS, bytes: WINDOW_BYTES, entryBytes: 4 * 1024 ** 2 };

/** What of a client reading keys needs. */
type Scanner = Pick<RedisClient, 'nodes' | 'call' | 'name'>;

/** Every key of a scope that SCAN returns from one server, in the server's order and with its duplicates. */
export async function* scanKeys(
  client: Scanner,
  node: Redis,
  pattern: ByteString | undefined,
): AsyncGenerator<Buffer[]> {
  const match = pattern === undefined ? [] : ['MATCH', Buffer.from(pattern, 'latin1')];
  let cursor = '0';
  do {
    const [next, keys] = listOf(await client.call(node, 'SCAN', cursor, ...match, 'COUNT', SCAN_COUNT));
    cursor = String(bytesOf(next));
    const page = listOf(keys).map(bytesOf);
    if (page.length > 0) yield page;
  } while (cursor !== '0');
}

/**
 * The smallest keys after `after`, in order. SCAN returns keys in the order of the server's hash table, some of them
 * twice when the table shrinks meanwhile, and its cursor says nothing about which keys came already. So one window is
 * one whole SCAN of which the smallest keys are kept, sorted: duplicates meet and go, a key that was there all the
 * time is there, the position of the last key is all that the next window or leg needs to know, and the memory it
 * takes is a constant. Small databases are one window; `n` windows cost `n` scans.
 *
 * Throws InvalidInputError where a key or the number of namespaces is beyond the limits above.
 */
export async function nextWindow(
  client: Scanner,
  space: KeySpace,
  after: Position | null,
  signal: AbortSignal,
  limits: Limits = LIMITS,
): Promise<KeyWindow> {
  const collected = new Collected(after, limits);
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
        collected.add(namespace, key);
      }
    }
  }
  return { ...collected.finish(), leftOut };
}

class Collected {
  readonly #after: Position | null;
  readonly #limits: Limits;
  readonly #keys = new Map<string, ByteString[]>();
  #count = 0;
  #bytes = 0;
  /** Keys behind it are for a later window. */
  #bound: Position | null = null;

  constructor(after: Position | null, limits: Limits) {
    this.#after = after;
    this.#limits = limits;
  }

  add(namespace: string, key: ByteString): void {
    if (this.#after && !isBehind(namespace, key, this.#after)) return;
    if (this.#bound && isBehind(namespace, key, this.#bound)) return;
    const keys = this.#keys.get(namespace);
    if (keys) keys.push(key);
    else this.#keys.set(namespace, [key]);
    if (this.#keys.size > NAMESPACES_MAX) {
      throw new InvalidInputError(`The scope has more than ${NAMESPACES_MAX} namespaces.`, {
        remedy:
          'List them under "namespaces" instead of deriving them by "separator"; the rest goes to "_other".',
      });
    }
    this.#count++;
    this.#bytes += key.length;
    if (this.#count >= 2 * this.#limits.keys || this.#bytes >= 2 * this.#limits.bytes) this.#trim();
  }

  /** Sorts, drops duplicates, and keeps the smallest keys up to the limits. */
  #trim(): void {
    let count = 0;
    let bytes = 0;
    let full = false;
    for (const namespace of [...this.#keys.keys()].sort(compare)) {
      if (full) {
        this.#keys.delete(namespace);
        continue;
      }
      const keys = sortedSet(this.#keys.get(namespace) ?? []);
      let end = 0;
      while (end < keys.length && count < this.#limits.keys && bytes < this.#limits.bytes) {
        count++;
        bytes += keys[end++]?.length ?? 0;
      }
      full = count >= this.#limits.keys || bytes >= this.#limits.bytes;
      const last = keys[end - 1];
      if (full && last !== undefined) this.#bound = { namespace, key: last };
      this.#keys.set(namespace, end === keys.length ? keys : keys.slice(0, end));
    }
    this.#count = count;
    this.#bytes = bytes;
  }

  finish(): Pick<KeyWindow, 'keys' | 'complete'> {
    const keys = [...this.#keys.keys()].sort(compare).map((namespace) => ({
      namespace,
      keys: sortedSet(this.#keys.get(namespace) ?? []),
    }));
    return { keys, complete: this.#bound === null };
  }
}

function isBehind(namespace: string, key: ByteString, position: Position): boolean {
  return namespace === position.namespace ? key > position.key : namespace > position.namespace;
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function sortedSet(keys: ByteString[]): ByteString[] {
  keys.sort();
  return keys.filter((key, index) => index === 0 || key !== keys[index - 1]);
}
