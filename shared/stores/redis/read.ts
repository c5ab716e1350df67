import type { Redis } from 'ioredis';
import { mapOrdered } from '../../archive/ordered.ts';
import { InvalidInputError, UnavailableError } from '../../errors.ts';
import {
  bytesOf,
  type Command,
  integerOf,
  listOf,
  type RedisClient,
  RedisReplyError,
  type Reply,
} from './client.ts';
import {
  ContentDigest,
  canonicalScore,
  type Item,
  type KeyType,
  type Part,
  STRING_BLOCK_BYTES,
  type StreamState,
} from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';
import type { ServerFacts } from './server.ts';
import { readStreamState } from './stream.ts';

/** Keys whose types and lengths are asked for in one go. */
export const BATCH_KEYS = 256;
/** Batches that are read at once: one is worked on while the server reads the next. */
const BATCHES_UNDER_WAY = 2;
/** Most bytes of values asked for in one go. */
const BATCH_BYTES = 2 * 1024 ** 2;
/** Strings up to this many bytes are read whole; longer ones in blocks. */
export const WHOLE_STRING_BYTES = 8 * 1024 ** 2;
/** Collections up to this many elements are read whole, in one transaction; larger ones page by page. */
const WHOLE_ITEMS = 512;
/** Collections that take more memory than this on the server, in bytes, are read page by page as well. */
const WHOLE_COLLECTION_BYTES = 4 * 1024 ** 2;
/** Most elements of one page, and about the bytes that one page should have. */
const PAGE_ITEMS = 512;
const PAGE_BYTES = 1024 ** 2;
/** Times that a large key is read again from its start because it changed meanwhile. */
const CHANGED_TRIES = 3;

/**
 * Reads strings with their expiries, all of the same instant, in one command: the client's own work for each command and each
 * reply is most of what reading small values costs. KEYS: the keys; ARGV: longest value, bytes of all values, command for the
 * expiry. Replies the values, and before them all expiries in one string, each with 1 where there is a value (doubles,
 * little-endian; joining the values as well would keep the server busy for longer than all the rest). Keys that are no
 * strings, too long, or beyond the budget of this call have no value.
 */
const READ_STRINGS = `
local longest, budget, expire = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local facts, replies, count = {}, {}, 1
for index, key in ipairs(KEYS) do
  local has_value, expiry = 0, redis.call(expire, key)
  if expiry ~= -2 then
    local length = redis.pcall('STRLEN', key)
    if type(length) == 'number' and length <= longest and length <= budget then
      local value = redis.call('GET', key)
      if value then
        count = count + 1
        replies[count] = value
        budget = budget - length
        has_value = 1
      end
    end
  end
  facts[index] = struct.pack('<dd', expiry, has_value)
end
replies[1] = table.concat(facts)
return replies`;
/** Bytes that say expiry of one key, and whether there is a value. */
const FACT_BYTES = 16;

/** What the script replied, and when that came, in ms since 1970: some servers tell only what time is left. */
interface ScriptAnswer {
  readonly facts: Buffer;
  readonly values: readonly Reply[];
  readonly at: number;
}

/** What a key holds: a string, a small collection, or something that has to be read part by part. */
export type Reading =
  | {
      readonly kind: 'string';
      readonly key: ByteString;
      readonly value: Buffer;
      readonly expiresAt: number | null;
    }
  | { readonly kind: 'whole'; readonly part: Part }
  | { readonly kind: 'large'; readonly key: ByteString; readonly type: KeyType };

/** Where the reading of a large key goes on. */
export interface LargePosition {
  readonly type: KeyType;
  readonly expiresAt: number | null;
  /** SCAN cursor, offset or stream id. */
  readonly at: string;
  /** Items so far. */
  readonly offset: number;
  /** Length of the key when its reading began. */
  readonly length: number;
  /** Elements to ask for in one go. */
  readonly page: number;
  readonly tries: number;
}

/** Reads keys of one scope: types, contents, expiries. Writes nothing. */
export class KeyReader {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;
  #mayRunScripts = true;

  constructor(client: RedisClient, facts: ServerFacts) {
    this.#client = client;
    this.#facts = facts;
  }

  /**
   * Reads any number of keys, in their order, {@link BATCH_KEYS} at a time; the server reads the next ones while those
   * before are worked on. Keys that are gone meanwhile are left out.
   */
  async *readAll(
    keys: readonly ByteString[],
  ): AsyncGenerator<{ batch: readonly ByteString[]; runs: AsyncIterable<readonly Reading[]> }> {
    const asked = mapOrdered(batchesOf(keys), BATCHES_UNDER_WAY, async (batch) => ({
      batch,
      answer: await this.#byScript(batch),
    }));
    for await (const { batch, answer } of asked) yield { batch, runs: this.#runs(batch, answer) };
  }

  /** Reads up to {@link BATCH_KEYS} keys, in their order. Keys that are gone meanwhile are left out. */
  async *read(keys: readonly ByteString[]): AsyncGenerator<Reading> {
    if (keys.length === 0) return;
    for await (const run of this.#runs(keys, await this.#byScript(keys))) yield* run;
  }

  /**
   * What the replies to the script say, and for keys of which they say nothing, those of further commands. Many at once:
   * handing over each by itself would take longer than reading it.
   */
  async *#runs(
    keys: readonly ByteString[],
    answer: ScriptAnswer | undefined,
  ): AsyncGenerator<readonly Reading[]> {
    if (!answer) {
      for await (const reading of this.#byCommands(keys)) yield [reading];
      return;
    }
    const { facts, values, at } = answer;
    let strings: Reading[] = [];
    let rest: ByteString[] = [];
    let taken = 0;
    for (const [index, key] of keys.entries()) {
      const expiresAt = this.#expiryOf(facts.readDoubleLE(index * FACT_BYTES), at);
      if (expiresAt === undefined) continue;
      if (facts.readDoubleLE(index * FACT_BYTES + 8) === 0) {
        if (strings.length > 0) yield strings;
        strings = [];
        rest.push(key);
        continue;
      }
      if (rest.length > 0) {
        for await (const reading of this.#byCommands(rest)) yield [reading];
        rest = [];
      }
      strings.push({ kind: 'string', key, value: bytesOf(values[taken++]), expiresAt });
    }
    if (strings.length > 0) yield strings;
    if (rest.length > 0) for await (const reading of this.#byCommands(rest)) yield [reading];
  }

  /** Undefined where the server lets nobody run scripts, or keys lie on several servers. */
  async #byScript(keys: readonly ByteString[]): Promise<ScriptAnswer | undefined> {
    if (!this.#mayRunScripts || this.#client.isCluster) return undefined;
    const [node] = await this.#client.nodes();
    // The read-only form came together with PEXPIRETIME; replicas and readers may run it.
    const command = this.#facts.hasExpireTime ? 'EVAL_RO' : 'EVAL';
    const limits = [WHOLE_STRING_BYTES, BATCH_BYTES, this.#facts.hasExpireTime ? 'PEXPIRETIME' : 'PTTL'];
    const [reply] = await this.#client.send(
      node as Redis,
      [[command, READ_STRINGS, keys.length, ...keys.map(argumentOf), ...limits]],
      isScriptRefusal,
    );
    if (reply instanceof Error) {
      this.#mayRunScripts = false;
      return undefined;
    }
    const [first, ...values] = listOf(reply);
    const facts = bytesOf(first);
    if (facts.length !== keys.length * FACT_BYTES) throw new TypeError('the script replied something else');
    return { facts, values, at: Date.now() };
  }

  async *#byCommands(keys: readonly ByteString[]): AsyncGenerator<Reading> {
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
      // A run of strings that are read together, then whatever ended it.
      let end = start;
      for (let bytes = 0; end < keys.length; end++) {
        const length = lengths.get(keys[end] ?? '');
        if (typeof length !== 'number' || length > WHOLE_STRING_BYTES) break;
        bytes += length;
        if (bytes > BATCH_BYTES && end > start) break;
      }
      if (end > start) yield* this.#strings(keys.slice(start, end));
      const odd = keys[end];
      if (odd !== undefined && isOdd(lengths.get(odd))) {
        const next = keys.slice(end, end + oddRun(keys, end, lengths));
        yield* this.#others(next);
        end += next.length;
      }
      start = end;
    }
  }

  /** About the bytes that a key takes on the server; 0 where it does not tell. */
  async sizeOf(key: ByteString): Promise<number> {
    const name = toBytes(key);
    const [memory] = await this.#client.send(
      await this.#client.nodeOf(name),
      [MEMORY_USAGE(name)],
      () => true,
    );
    return typeof memory === 'number' ? memory : 0;
  }

  async *#strings(keys: readonly ByteString[]): AsyncGenerator<Reading> {
    const found = new Map<ByteString, Reading>();
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
    // They became another type between two commands.
    if (changed.length > 0)
      for await (const reading of this.#others(changed)) found.set(keyOf(reading), reading);
    for (const key of keys) {
      const reading = found.get(key);
      if (reading) yield reading;
    }
  }

  /** Value (null: no string) and expiry (undefined: no such key) of each key, both of the same instant. */
  async #valuesAndExpiries(
    node: Redis,
    keys: readonly ByteString[],
  ): Promise<{ value: Buffer | null; expiresAt: number | null | undefined }[]> {
    const names = keys.map(toBytes);
    if (this.#client.isCluster) {
      // A transaction of a cluster has to stay within one hash slot.
      const groups = await this.#client.transact(
        node,
        names.map((name) => [['GET', name], this.#expiryCommand(name)]),
      );
      return keys.map((_, index) => {
        const [value, expiry] = groups[index] ?? [];
        return { value: Buffer.isBuffer(value) ? value : null, expiresAt: this.#expiryOf(expiry) };
      });
    }
    const [group] = await this.#client.transact(node, [
      [['MGET', ...names], ...names.map((name) => this.#expiryCommand(name))],
    ]);
    const [values, ...expiries] = group ?? [];
    const list = listOf(values);
    return keys.map((_, index) => {
      const value = list[index];
      return { value: Buffer.isBuffer(value) ? value : null, expiresAt: this.#expiryOf(expiries[index]) };
    });
  }

  #expiryCommand(name: Buffer): Command {
    return [this.#facts.hasExpireTime ? 'PEXPIRETIME' : 'PTTL', name];
  }

  /** Absolute expiry in ms, null for none, undefined where the key is gone. `at`: when the reply came, in ms. */
  #expiryOf(reply: Reply | undefined, at = Date.now()): number | null | undefined {
    if (reply instanceof Error) throw reply;
    const value = integerOf(reply);
    if (value === -2) return undefined;
    if (value < 0) return null;
    return this.#facts.hasExpireTime ? value : at + value;
  }

  /** Keys that are no short strings. */
  async *#others(keys: readonly ByteString[]): AsyncGenerator<Reading> {
    const types = await this.#each(keys, (name) => ['TYPE', name]);
    for (const [index, key] of keys.entries()) {
      const type = String(types[index]);
      if (type === 'none') continue;
      if (!isKeyType(type)) {
        throw new InvalidInputError(
          `${this.#client.name} has a key of type "${type}", "${showKey(key)}", which a server module made; its content can't be saved in a form that other servers read.`,
          { remedy: 'Narrow the scope so that it is left out, and save it by the means of that module.' },
        );
      }
      const reading = await this.#other(key, type);
      if (reading) yield reading;
    }
  }

  async #other(key: ByteString, type: KeyType): Promise<Reading | undefined> {
    const name = toBytes(key);
    const node = await this.#client.nodeOf(name);
    const [length, memory] = await this.#client.send(
      node,
      [[LENGTH[type], name], MEMORY_USAGE(name)],
      isUnimportant,
    );
    // Another type by now: look at it once more.
    if (length instanceof Error) return await this.#again(key);
    const size = integerOf(length);
    const bytes = typeof memory === 'number' ? memory : 0;
    if (
      type === 'string' ? size > WHOLE_STRING_BYTES : size > WHOLE_ITEMS || bytes > WHOLE_COLLECTION_BYTES
    ) {
      return { kind: 'large', key, type };
    }
    if (type === 'stream') return { kind: 'large', key, type };
    const whole = WHOLE[type](name) as unknown as Command;
    const [group] = await this.#client.transact(node, [[whole, this.#expiryCommand(name)]]);
    const [content, expiry] = group ?? [];
    if (content instanceof Error) return await this.#again(key);
    const expiresAt = this.#expiryOf(expiry);
    if (expiresAt === undefined) return undefined;
    if (type === 'string') return { kind: 'string', key, value: bytesOf(content), expiresAt };
    const items = await this.#withFieldExpiries(key, type, itemsOf(type, listOf(content)));
    return { kind: 'whole', part: { key, type, expiresAt, offset: 0, last: true, items } };
  }

  async #again(key: ByteString): Promise<Reading | undefined> {
    for await (const reading of this.#others([key])) return reading;
    return undefined;
  }

  /** Fields of hashes may expire on their own, where the server knows that. Fields that are gone are left out. */
  async #withFieldExpiries(key: ByteString, type: KeyType, items: readonly Item[]): Promise<readonly Item[]> {
    if (type !== 'hash' || !this.#facts.hasFieldExpiry || items.length === 0) return items;
    const name = toBytes(key);
    const fields = items.map(([field]) => field ?? Buffer.alloc(0));
    const node = await this.#client.nodeOf(name);
    const expiries = listOf(
      await this.#client.call(node, 'HPEXPIRETIME', name, 'FIELDS', fields.length, ...fields),
    ).map(integerOf);
    return items
      .map((item, index): Item => {
        const expiry = expiries[index] ?? -1;
        return expiry >= 0 ? [...item, Buffer.from(String(expiry))] : item;
      })
      .filter((_, index) => expiries[index] !== -2);
  }

  /** The reply to one command for each key; errors are thrown. */
  async #each(keys: readonly ByteString[], command: (name: Buffer) => Command): Promise<Reply[]> {
    const replies = new Map<ByteString, Reply>();
    for (const [node, group] of await this.#byNode(keys)) {
      const answers = await this.#client.sendAll(
        node,
        group.map((key) => command(toBytes(key))),
      );
      group.forEach((key, index) => {
        replies.set(key, answers[index] ?? null);
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

  /**
   * Reads a large key part by part, each with the position after it; the last part has `last` set. Where the key
   * changed its length meanwhile, it is read again from the start (a part with offset 0), {@link CHANGED_TRIES} times;
   * then UnavailableError. Ends without a last part where the key is gone.
   */
  async *readLarge(
    key: ByteString,
    type: KeyType,
    from: LargePosition | null,
  ): AsyncGenerator<{ part: Part; next: LargePosition | null }> {
    const name = toBytes(key);
    const node = await this.#client.nodeOf(name);
    let position = from ?? (await this.#startOf(node, name, type, 0));
    while (position) {
      const page = await this.#page(node, name, position);
      if (page === undefined) return;
      const offset = position.offset + page.items.length;
      const base = { key, type, expiresAt: position.expiresAt, offset: position.offset, items: page.items };
      if (page.next !== null) {
        const next: LargePosition = { ...position, at: page.next, offset };
        yield { part: { ...base, last: false }, next };
        position = next;
        continue;
      }
      const now = await this.#startOf(node, name, type, position.tries);
      if (!now) return;
      const items = type === 'string' ? Math.ceil(now.length / STRING_BLOCK_BYTES) : now.length;
      const whole = type === 'stream' || (now.length === position.length && items === offset);
      if (whole) {
        const stream = type === 'stream' ? await readStreamState(this.#client, node, name) : undefined;
        yield { part: { ...base, last: true, ...(stream ? { stream } : {}) }, next: null };
        return;
      }
      if (position.tries >= CHANGED_TRIES) {
        throw new UnavailableError(
          `${this.#client.name}: the ${type} "${showKey(key)}" changed each time that it was read.`,
          {
            remedy: 'Pause what writes to it while the backup runs (a pause hook does that), and try again.',
          },
        );
      }
      position = { ...now, tries: position.tries + 1 };
    }
  }

  async #startOf(
    node: Redis,
    name: Buffer,
    type: KeyType,
    tries: number,
  ): Promise<LargePosition | undefined> {
    const [memory] = await this.#client.send(node, [MEMORY_USAGE(name)], () => true);
    const [group] = await this.#client.transact(node, [[[LENGTH[type], name], this.#expiryCommand(name)]]);
    const [reply, expiry] = group ?? [];
    if (reply instanceof Error) return undefined;
    const expiresAt = this.#expiryOf(expiry);
    if (expiresAt === undefined) return undefined;
    const length = integerOf(reply);
    const itemBytes = typeof memory === 'number' ? memory / Math.max(1, length) : 0;
    const page = Math.max(1, Math.min(PAGE_ITEMS, Math.floor(PAGE_BYTES / Math.max(1, itemBytes))));
    return { type, expiresAt, at: type === 'stream' ? '-' : '0', offset: 0, length, page, tries };
  }

  /** One page of a key from a position; `next` null where it was the last; undefined where the key is gone. */
  async #page(
    node: Redis,
    name: Buffer,
    { type, at, length, page }: LargePosition,
  ): Promise<{ items: readonly Item[]; next: string | null } | undefined> {
    const ask = async (...command: Command) => {
      const [reply] = await this.#client.send(node, [command]);
      return reply instanceof Error ? undefined : reply;
    };
    if (type === 'string') {
      const start = Number(at);
      const block = await ask('GETRANGE', name, start, start + STRING_BLOCK_BYTES - 1);
      if (block === undefined) return undefined;
      const end = start + bytesOf(block).length;
      return { items: [[bytesOf(block)]], next: end < length && end > start ? String(end) : null };
    }
    if (type === 'list') {
      const start = Number(at);
      const items = await ask('LRANGE', name, start, start + page - 1);
      if (items === undefined) return undefined;
      const list = itemsOf('list', listOf(items));
      const end = start + list.length;
      return { items: list, next: end < length && list.length > 0 ? String(end) : null };
    }
    if (type === 'stream') {
      const entries = await ask('XRANGE', name, at, '+', 'COUNT', page);
      if (entries === undefined) return undefined;
      const items = listOf(entries).map((entry): Item => {
        const [id, fields] = listOf(entry);
        return [bytesOf(id), ...listOf(fields).map(bytesOf)];
      });
      const last = items.at(-1)?.[0];
      return { items, next: items.length === page && last ? `(${last.toString()}` : null };
    }
    const command = { hash: 'HSCAN', set: 'SSCAN', zset: 'ZSCAN' }[type];
    const reply = await ask(command, name, at, 'COUNT', page);
    if (reply === undefined) return undefined;
    const [cursor, elements] = listOf(reply);
    const next = String(bytesOf(cursor));
    const items = await this.#withFieldExpiries(
      name.toString('latin1'),
      type,
      itemsOf(type, listOf(elements)),
    );
    return { items, next: next === '0' ? null : next };
  }
}

/** A key as the client sends it fastest: plain text where it is ASCII. */
function argumentOf(key: ByteString): string | Buffer {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range of ASCII
  return /^[\u0000-\u007f]*$/.test(key) ? key : toBytes(key);
}

function* batchesOf(keys: readonly ByteString[]): Generator<readonly ByteString[]> {
  for (let start = 0; start < keys.length; start += BATCH_KEYS) yield keys.slice(start, start + BATCH_KEYS);
}

/** Scripts are not allowed, not known, or the server's script engine is off. */
function isScriptRefusal(error: Error): boolean {
  return /^(NOPERM|ERR|CROSSSLOT)\b/.test(error.message);
}

/** What a key takes on the server. Some servers don't allow the question; then sizes are guessed from lengths. */
const MEMORY_USAGE = (name: Buffer): Command => ['MEMORY', 'USAGE', name];

/** The length of a key that is of another type by now, and whatever is answered about memory. */
function isUnimportant(error: Error, index: number): boolean {
  return index === 1 || error.message.startsWith('WRONGTYPE');
}

const LENGTH = {
  string: 'STRLEN',
  hash: 'HLEN',
  list: 'LLEN',
  set: 'SCARD',
  zset: 'ZCARD',
  stream: 'XLEN',
} as const;

const WHOLE = {
  string: (name: Buffer) => ['GET', name],
  hash: (name: Buffer) => ['HGETALL', name],
  list: (name: Buffer) => ['LRANGE', name, 0, -1],
  set: (name: Buffer) => ['SMEMBERS', name],
  zset: (name: Buffer) => ['ZRANGE', name, 0, -1, 'WITHSCORES'],
} as const;

function isKeyType(type: string): type is KeyType {
  return Object.hasOwn(LENGTH, type);
}

function isOdd(length: Reply | undefined): boolean {
  return typeof length !== 'number' || length > WHOLE_STRING_BYTES;
}

function oddRun(keys: readonly ByteString[], start: number, lengths: ReadonlyMap<ByteString, Reply>): number {
  let end = start;
  while (end < keys.length && isOdd(lengths.get(keys[end] ?? ''))) end++;
  return end - start;
}

function keyOf(reading: Reading): ByteString {
  return reading.kind === 'whole' ? reading.part.key : reading.key;
}

/** Replies of a whole or paged collection as items, those without an order sorted, so that archives compare well. */
function itemsOf(type: KeyType, replies: readonly Reply[]): Item[] {
  const parts = replies.map(bytesOf);
  if (type === 'list') return parts.map((part): Item => [part]);
  if (type === 'set') return parts.map((part): Item => [part]).sort(byFirst);
  if (type !== 'hash' && type !== 'zset') {
    throw new RedisReplyError(`A ${type} was read as a collection.`, {
      remedy: 'Report this as an error of ngbak.',
    });
  }
  const items: Item[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const first = bytesOf(parts[at]);
    const second = bytesOf(parts[at + 1]);
    items.push([first, type === 'zset' ? Buffer.from(canonicalScore(second.toString())) : second]);
  }
  return items.sort(byFirst);
}

function byFirst(left: Item, right: Item): number {
  return Buffer.compare(left[0] ?? Buffer.alloc(0), right[0] ?? Buffer.alloc(0));
}

/** A key's content for comparison: a short string as it is, everything else as type and digest. */
export type Content = { readonly expiresAt: number | null } & (
  | { readonly kind: 'string'; readonly value: Buffer }
  | {
      readonly kind: 'digest';
      readonly type: KeyType;
      readonly digest: string;
      readonly stream?: StreamState;
    }
);

/**
 * Reads a key for comparison; undefined where there is none.
 *
 * @param asBlocks strings of any length as digest of their blocks
 */
export async function contentOf(
  reader: KeyReader,
  key: ByteString,
  asBlocks: boolean,
): Promise<Content | undefined> {
  for await (const reading of reader.read([key])) {
    if (reading.kind === 'string') {
      const { value, expiresAt } = reading;
      if (!asBlocks) return { kind: 'string', value, expiresAt };
      const digest = new ContentDigest('string');
      digest.add(blocksOf(value));
      return { kind: 'digest', type: 'string', digest: digest.hex(), expiresAt };
    }
    if (reading.kind === 'whole') {
      const { type, items, expiresAt } = reading.part;
      const digest = new ContentDigest(type);
      digest.add(items);
      return { kind: 'digest', type, digest: digest.hex(), expiresAt };
    }
    let digest = new ContentDigest(reading.type);
    for await (const { part } of reader.readLarge(key, reading.type, null)) {
      if (part.offset === 0) digest = new ContentDigest(reading.type);
      digest.add(part.items);
      if (!part.last) continue;
      const { type, expiresAt, stream } = part;
      return { kind: 'digest', type, digest: digest.hex(), expiresAt, ...(stream ? { stream } : {}) };
    }
  }
  return undefined;
}

function blocksOf(value: Buffer): Item[] {
  const blocks: Item[] = [];
  for (let at = 0; at < value.length; at += STRING_BLOCK_BYTES)
    blocks.push([value.subarray(at, at + STRING_BLOCK_BYTES)]);
  return blocks;
}
