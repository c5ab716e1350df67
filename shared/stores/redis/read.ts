import type { Redis } from 'ioredis';
import { InvalidInputError, UnavailableError } from '../../core/errors.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { bytesOf, type Command, integerOf, listOf, type RedisClient, type Reply } from './client.ts';
import { expiryCommand, expiryOf } from './expiry.ts';
import { blocksOf, isKeyType, LENGTH } from './items.ts';
import {
  type ChangingLimits,
  type LargeOptions,
  type LargePart,
  type LargePosition,
  LargeReader,
} from './large.ts';
import { ContentDigest, type KeyPart, type KeyType, type StreamState } from './record.ts';
import { type ByteString, showKey, toBytes } from './scope.ts';
import { type ServerFacts, serverNow } from './server.ts';
import { readWhole, type Unread, type Whole } from './whole.ts';

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
/** Times that a key is looked at because it was deleted and made again, as another type perhaps, between two commands. */
const CHANGED_TRIES = 20;

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
export type KeyReading =
  | {
      readonly kind: 'string';
      readonly key: ByteString;
      readonly value: Buffer;
      readonly expiresAt: number | null;
    }
  | { readonly kind: 'whole'; readonly part: KeyPart }
  | { readonly kind: 'large'; readonly key: ByteString; readonly type: KeyType };
export type SmallReading = Exclude<KeyReading, { kind: 'large' }>;

/** Reads keys of one scope: types, contents, expiries. Writes nothing. */
export class KeyReader {
  readonly #client: RedisClient;
  readonly #facts: ServerFacts;
  readonly #large: LargeReader;
  #mayRunScripts = true;

  constructor(client: RedisClient, facts: ServerFacts, limits?: ChangingLimits) {
    this.#client = client;
    this.#facts = facts;
    this.#large = new LargeReader(client, facts, limits);
  }

  /**
   * Reads any number of keys, in their order, {@link BATCH_KEYS} at a time; the server reads the next ones while those
   * before are worked on. Keys that are gone meanwhile are left out.
   */
  async *readAll(
    keys: readonly ByteString[],
  ): AsyncGenerator<{ batch: readonly ByteString[]; runs: AsyncIterable<readonly KeyReading[]> }> {
    const read = mapOrdered(batchesOf(keys), BATCHES_UNDER_WAY, async (batch) => ({
      batch,
      answer: await this.#byScript(batch),
    }));
    for await (const { batch, answer } of read) yield { batch, runs: this.#runs(batch, answer) };
  }

  /** Reads up to {@link BATCH_KEYS} keys, in their order. Keys that are gone meanwhile are left out. */
  async *read(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
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
  ): AsyncGenerator<readonly KeyReading[]> {
    if (!answer) {
      for await (const reading of this.#byCommands(keys)) yield [reading];
      return;
    }
    const { facts, values, at } = answer;
    let strings: KeyReading[] = [];
    let rest: ByteString[] = [];
    let taken = 0;
    for (const [index, key] of keys.entries()) {
      const expiresAt = expiryOf(this.#facts, facts.readDoubleLE(index * FACT_BYTES), at);
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
    return { facts, values, at: serverNow(this.#facts) };
  }

  async *#byCommands(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
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

  /** Keys that are no short strings. */
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
    throw this.#changing(key);
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
   * Reads a large key part by part. Where it is a small key by now, it comes as a whole; nothing comes where it is gone. A
   * part with offset 0 starts the key over, whatever came before: it changed meanwhile. Throws UnavailableError where it
   * changed each time.
   */
  async *readLarge(
    key: ByteString,
    type: KeyType,
    from: LargePosition | null,
    options: LargeOptions,
  ): AsyncGenerator<LargePart | SmallReading> {
    let position = from;
    for (let now = type, tries = 0; ; tries++) {
      const outcome = yield* this.#large.read(key, now, position, options);
      if (outcome !== 'retyped') return;
      if (tries >= CHANGED_TRIES) throw this.#changing(key);
      let reading: KeyReading | undefined;
      for await (const found of this.read([key])) reading = found;
      if (!reading) return;
      if (reading.kind !== 'large') {
        yield reading;
        return;
      }
      now = reading.type;
      position = null;
    }
  }

  #changing(key: ByteString): UnavailableError {
    return new UnavailableError(
      `${this.#client.name}: the key "${showKey(key)}" changed each time that it was read.`,
      { remedy: 'Pause what writes to it while the backup runs (a pause hook does that), and try again.' },
    );
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

function isOdd(length: Reply | undefined): boolean {
  return typeof length !== 'number' || length > WHOLE_STRING_BYTES;
}

function oddRun(keys: readonly ByteString[], start: number, lengths: ReadonlyMap<ByteString, Reply>): number {
  let end = start;
  while (end < keys.length && isOdd(lengths.get(keys[end] ?? ''))) end++;
  return end - start;
}

function keyOf(reading: KeyReading): ByteString {
  return reading.kind === 'whole' ? reading.part.key : reading.key;
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
  options: LargeOptions = { as: 'proven' },
): Promise<Content | undefined> {
  for await (const reading of reader.read([key])) {
    if (reading.kind !== 'large') return smallContent(reading, asBlocks);
    for await (const step of reader.readLarge(key, reading.type, null, options)) {
      if ('kind' in step) return smallContent(step, asBlocks);
      if (!step.part.last) continue;
      const { type, expiresAt, stream } = step.part;
      return { kind: 'digest', type, digest: step.digest, expiresAt, ...(stream ? { stream } : {}) };
    }
  }
  return undefined;
}

function smallContent(reading: SmallReading, asBlocks: boolean): Content {
  if (reading.kind === 'string') {
    const { value, expiresAt } = reading;
    if (!asBlocks) return { kind: 'string', value, expiresAt };
    const digest = new ContentDigest('string');
    digest.add(blocksOf(value));
    return { kind: 'digest', type: 'string', digest: digest.hex(), expiresAt };
  }
  const { type, items, expiresAt, stream } = reading.part;
  const digest = new ContentDigest(type);
  digest.add(items);
  return { kind: 'digest', type, digest: digest.hex(), expiresAt, ...(stream ? { stream } : {}) };
}
