import type { Redis } from 'ioredis';
import { InvalidInputError, UnavailableError } from '../../core/errors.ts';
import { type Command, integerOf, listOf, type RedisClient, type Reply } from './client.ts';
import { expiryCommand, expiryOf } from './expiry.ts';
import { isKeyType, LENGTH } from './items.ts';
import { CHANGED_TRIES, type KeyReading, keyOf, VALUES_BYTES, WHOLE_STRING_BYTES } from './reading.ts';
import type { KeyType } from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';
import type { ServerFacts } from './server.ts';
import { readWhole, type Unread, type Whole } from './whole.ts';

/** Collections up to this many elements are read as a whole, in one transaction; larger ones page by page. */
const WHOLE_ITEMS = 512;
/** Collections that use more memory than this on the server, in bytes, are also read page by page. */
const WHOLE_COLLECTION_BYTES = 4 * 1024 ** 2;

/** Queries the memory usage of a key. Some servers do not allow the command; sizes are then estimated from lengths. */
const MEMORY_USAGE = (name: Buffer): Command => ['MEMORY', 'USAGE', name];

/** Tolerates errors for keys whose type has changed, and any error of the memory query. */
function isUnimportant(error: Error, index: number): boolean {
  return index === 1 || error.message.startsWith('WRONGTYPE');
}

/** Reads keys of any type by commands, small ones as a whole. Writes nothing. */
export class CommandReader {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;

  constructor(client: RedisClient, facts: ServerFacts) {
    this.#client = client;
    this.#facts = facts;
  }

  /** Reads keys in order. Omits keys that no longer exist. */
  async *read(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
    const lengths = new Map<ByteString, Reply>();
    for (const [node, group] of await this.#byNode(keys)) {
      const replies = await this.#client.send(
        node,
        group.map((key): Command => ['STRLEN', toBytes(key)]),
      );
      group.forEach((key, index) => {
        lengths.set(key, replies[index] ?? null);
      });
    }
    let start = 0;
    while (start < keys.length) {
      // A sequence of strings that are read together, then the keys that ended it.
      let end = start;
      for (let bytes = 0; end < keys.length; end++) {
        const length = lengths.get(keys[end] ?? '');
        if (typeof length !== 'number' || length > WHOLE_STRING_BYTES) break;
        bytes += length;
        if (bytes > VALUES_BYTES && end > start) break;
      }
      if (end > start) yield* this.#strings(keys.slice(start, end));
      const nextKey = keys[end];
      if (nextKey !== undefined && needsOwnRead(lengths.get(nextKey))) {
        const next = keys.slice(end, end + runLength(keys, end, lengths));
        yield* this.#others(next);
        end += next.length;
      }
      start = end;
    }
  }

  /** Approximate memory usage of a key in bytes; 0 if the server does not report it. */
  async sizeOf(key: ByteString): Promise<number> {
    const name = toBytes(key);
    const [memory] = await this.#client.send(
      await this.#client.nodeOf(name),
      [MEMORY_USAGE(name)],
      () => true,
    );
    return typeof memory === 'number' ? memory : 0;
  }

  async *#strings(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
    const found = new Map<ByteString, KeyReading>();
    const changed: ByteString[] = [];
    for (const [node, group] of await this.#byNode(keys)) {
      const pairs = await this.#valuesAndExpiries(node, group);
      group.forEach((key, index) => {
        const { value, expiresAt } = pairs[index] ?? { value: null, expiresAt: undefined };
        if (expiresAt === undefined) return;
        if (value === null) changed.push(key);
        else found.set(key, { kind: 'string', key, value, expiresAt });
      });
    }
    // Their type changed between two commands.
    if (changed.length > 0)
      for await (const reading of this.#others(changed)) found.set(keyOf(reading), reading);
    for (const key of keys) {
      const reading = found.get(key);
      if (reading) yield reading;
    }
  }

  /** Value (null: not a string) and expiry (undefined: key does not exist) of each key, both from the same instant. */
  async #valuesAndExpiries(
    node: Redis,
    keys: readonly ByteString[],
  ): Promise<{ value: Buffer | null; expiresAt: number | null | undefined }[]> {
    const names = keys.map(toBytes);
    if (this.#client.isCluster) {
      // In a cluster, a transaction must stay within one hash slot.
      const groups = await this.#client.transact(
        node,
        names.map((name) => [['GET', name], expiryCommand(this.#facts, name)]),
      );
      return keys.map((_, index) => {
        const [value, expiry] = groups[index] ?? [];
        return { value: Buffer.isBuffer(value) ? value : null, expiresAt: expiryOf(this.#facts, expiry) };
      });
    }
    const [group] = await this.#client.transact(node, [
      [['MGET', ...names], ...names.map((name) => expiryCommand(this.#facts, name))],
    ]);
    const [values, ...expiries] = group ?? [];
    const list = listOf(values);
    return keys.map((_, index) => {
      const value = list[index];
      return {
        value: Buffer.isBuffer(value) ? value : null,
        expiresAt: expiryOf(this.#facts, expiries[index]),
      };
    });
  }

  /** Reads keys that are not short strings. */
  async *#others(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
    const types = await this.#each(keys, (name) => ['TYPE', name]);
    for (const [index, key] of keys.entries()) {
      const type = String(types[index]);
      if (type === 'none') continue;
      const reading = await this.#other(key, this.#requireType(key, type));
      if (reading) yield reading;
    }
  }

  #requireType(key: ByteString, type: string): KeyType {
    if (isKeyType(type)) return type;
    throw new InvalidInputError(
      `${this.#client.name} has a key of type "${type}", "${showKey(key)}", which a server module made; its content cannot be saved in a portable form.`,
      {
        remedy:
          'Narrow the scope so that it is left out, or set "unsupported" of the scope to "skip" to leave out such keys with a warning; back them up with the tools of that module.',
      },
    );
  }

  async #other(key: ByteString, type: KeyType): Promise<KeyReading | undefined> {
    const name = toBytes(key);
    for (let now = type, tries = 0; tries < CHANGED_TRIES; tries++) {
      const node = await this.#client.nodeOf(name);
      const [length, memory] = await this.#client.send(
        node,
        [[LENGTH[now], name], MEMORY_USAGE(name)],
        isUnimportant,
      );
      let whole: Whole | Unread = 'retyped';
      if (!(length instanceof Error)) {
        const size = integerOf(length);
        const bytes = typeof memory === 'number' ? memory : 0;
        const isLarge =
          now === 'string' ? size > WHOLE_STRING_BYTES : size > WHOLE_ITEMS || bytes > WHOLE_COLLECTION_BYTES;
        if (isLarge) return { kind: 'large', key, type: now };
        whole = await readWhole(this.#client, this.#facts, node, name, now);
      }
      if (whole === 'gone') return undefined;
      if (whole === 'retyped') {
        const [found] = await this.#each([key], (bytes) => ['TYPE', bytes]);
        const name = String(found);
        if (name === 'none') return undefined;
        now = this.#requireType(key, name);
      }
      if (typeof whole === 'string') continue;
      const { expiresAt, items, stream } = whole;
      if (now === 'string') return { kind: 'string', key, value: Buffer.concat(items.flat()), expiresAt };
      const part = { key, type: now, expiresAt, offset: 0, last: true, items, ...(stream ? { stream } : {}) };
      return { kind: 'whole', part };
    }
    throw this.changing(key);
  }

  /** The reply to one command per key; throws on errors. */
  async #each(keys: readonly ByteString[], command: (name: Buffer) => Command): Promise<Reply[]> {
    const replies = new Map<ByteString, Reply>();
    for (const [node, group] of await this.#byNode(keys)) {
      const responses = await this.#client.sendAll(
        node,
        group.map((key) => command(toBytes(key))),
      );
      group.forEach((key, index) => {
        replies.set(key, responses[index] ?? null);
      });
    }
    return keys.map((key) => replies.get(key) ?? null);
  }

  async #byNode(keys: readonly ByteString[]): Promise<Map<Redis, readonly ByteString[]>> {
    if (!this.#client.isCluster) {
      const [node] = await this.#client.nodes();
      return new Map([[node as Redis, keys]]);
    }
    const groups = new Map<Redis, ByteString[]>();
    for (const key of keys) {
      const node = await this.#client.nodeOf(toBytes(key));
      const group = groups.get(node);
      if (group) group.push(key);
      else groups.set(node, [key]);
    }
    return groups;
  }

  /** The error for a key that changed on every attempt. */
  changing(key: ByteString): UnavailableError {
    return new UnavailableError(
      `${this.#client.name}: the key "${showKey(key)}" changed each time that it was read.`,
      { remedy: 'Pause what writes to it while the backup runs (a pause hook does that), and try again.' },
    );
  }
}

function needsOwnRead(length: Reply | undefined): boolean {
  return typeof length !== 'number' || length > WHOLE_STRING_BYTES;
}

function runLength(
  keys: readonly ByteString[],
  start: number,
  lengths: ReadonlyMap<ByteString, Reply>,
): number {
  let end = start;
  while (end < keys.length && needsOwnRead(lengths.get(keys[end] ?? ''))) end++;
  return end - start;
}
