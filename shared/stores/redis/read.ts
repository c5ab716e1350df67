import { mapOrdered } from '../../core/ordered.ts';
import { bytesOf, type RedisClient } from './client.ts';
import { expiryOf } from './expiry.ts';
import {
  type ChangingLimits,
  type LargeOptions,
  type LargePart,
  type LargePosition,
  LargeReader,
} from './large.ts';
import { CommandReader } from './read-by-commands.ts';
import { CHANGED_TRIES, type KeyReading, type SmallReading } from './reading.ts';
import type { KeyType } from './record.ts';
import type { ByteString } from './scope.ts';
import type { ServerFacts } from './server.ts';
import { FACT_BYTES, type ScriptAnswer, StringScript } from './string-script.ts';

/** Number of keys whose types and lengths are requested at once. */
export const BATCH_KEYS = 256;
/** Number of batches read concurrently: one is processed while the server reads the next. */
const BATCHES_CONCURRENT = 2;

/** Reads keys of one scope: types, contents, expiry times. Writes nothing. */
export class KeyReader {
  readonly #facts: ServerFacts;
  readonly #script: StringScript;
  readonly #commands: CommandReader;
  readonly #large: LargeReader;

  constructor(client: RedisClient, facts: ServerFacts, limits?: ChangingLimits) {
    this.#facts = facts;
    this.#script = new StringScript(client, facts);
    this.#commands = new CommandReader(client, facts);
    this.#large = new LargeReader(client, facts, limits);
  }

  /**
   * Reads any number of keys in order, {@link BATCH_KEYS} at a time; the server reads the next ones while the current
   * ones are processed. Omits keys that no longer exist.
   */
  async *readAll(
    keys: readonly ByteString[],
  ): AsyncGenerator<{ batch: readonly ByteString[]; runs: AsyncIterable<readonly KeyReading[]> }> {
    const read = mapOrdered(batchesOf(keys), BATCHES_CONCURRENT, async (batch) => ({
      batch,
      answer: await this.#script.ask(batch),
    }));
    for await (const { batch, answer } of read) yield { batch, runs: this.#runs(batch, answer) };
  }

  /** Reads up to {@link BATCH_KEYS} keys in order. Omits keys that no longer exist. */
  async *read(keys: readonly ByteString[]): AsyncGenerator<KeyReading> {
    if (keys.length === 0) return;
    for await (const run of this.#runs(keys, await this.#script.ask(keys))) yield* run;
  }

  /**
   * Returns the results of the script, and runs further commands for the keys without a result. Returns many readings
   * at once: passing them on one by one would take longer than reading them.
   */
  async *#runs(
    keys: readonly ByteString[],
    answer: ScriptAnswer | undefined,
  ): AsyncGenerator<readonly KeyReading[]> {
    if (!answer) {
      for await (const reading of this.#commands.read(keys)) yield [reading];
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
        for await (const reading of this.#commands.read(rest)) yield [reading];
        rest = [];
      }
      strings.push({ kind: 'string', key, value: bytesOf(values[taken++]), expiresAt });
    }
    if (strings.length > 0) yield strings;
    if (rest.length > 0) for await (const reading of this.#commands.read(rest)) yield [reading];
  }

  /** Approximate memory usage of a key in bytes; 0 if the server does not report it. */
  sizeOf(key: ByteString): Promise<number> {
    return this.#commands.sizeOf(key);
  }

  /**
   * Reads a large key part by part. If the key is small by now, it is returned as a whole; if it no longer exists,
   * nothing is returned. A part with offset 0 restarts the key because it changed; earlier parts are void. Throws
   * UnavailableError if it changed on every attempt.
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
      if (tries >= CHANGED_TRIES) throw this.#commands.changing(key);
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
}

function* batchesOf(keys: readonly ByteString[]): Generator<readonly ByteString[]> {
  for (let start = 0; start < keys.length; start += BATCH_KEYS) yield keys.slice(start, start + BATCH_KEYS);
}
