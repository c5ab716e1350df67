import { z } from 'zod';
import { MultisetDigest } from '../../core/digest.ts';
import { parseInput } from '../../core/input.ts';
import { Findings } from '../findings.ts';
import type { RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { evictedKeys } from './admits.ts';
import { type ArchivePosition, type ArchiveRecord, readArchive } from './archive-records.ts';
import { contentOf } from './content.ts';
import { isSameExpiry } from './expiry.ts';
import { type KeyWindow, keyWindows } from './keys.ts';
import { type KeyReading, keyOf } from './reading.ts';
import {
  ContentDigest,
  canonicalKey,
  canonicalString,
  type Item,
  type KeyPart,
  type StreamState,
} from './record.ts';
import { type ByteString, showKey } from './scope.ts';
import { serverNow } from './server.ts';
import type { RedisSite } from './site.ts';

/** Number of keys to read at once, and approximate bytes of their archived values. */
const BATCH_KEYS = 512;
const BATCH_BYTES = 4 * 1024 ** 2;
/** Number of keys of the target to look up in the archive at once. */
const LOOKUP_KEYS = 250_000;
/** Uncertainty of the server's clock, in ms: a key that expires this soon may already be deleted. */
const CLOCK_SKEW_MS = 2_000;
/** Precision of delivery times of stream entries, in ms: some servers report an age relative to an outdated clock. */
const DELIVERY_ERROR_MS = 2_000;

const Names = z.strictObject({ count: z.number(), digest: z.string() });
const VerifyCursor = z.discriminatedUnion('stage', [
  z.strictObject({
    stage: z.literal('records'),
    entry: z.string(),
    records: z.number().int().nonnegative(),
    /** Digest so far of the content of a key with further parts. */
    digest: z.string().nullable(),
    /** Count and digest of the names of the keys found so far. */
    found: Names,
  }),
  z.strictObject({
    stage: z.literal('names'),
    found: Names,
    counted: Names,
    after: z.strictObject({ namespace: z.string(), key: z.string() }).nullable(),
  }),
  z.strictObject({
    stage: z.literal('extra'),
    after: z.strictObject({ namespace: z.string(), key: z.string() }).nullable(),
  }),
]);
type VerifyCursor = z.infer<typeof VerifyCursor>;

type JsonRecord = Extract<ArchiveRecord, { kind: 'json' }>;

/** Everything a verification works with. */
type VerifyJob = RedisSite & RestoreLeg;

/**
 * Verifies the target in three stages. First, every record of the archive is compared with the target. Then, after a
 * `replace`, the names of all keys in the target are digested and compared with those just found: if they are equal,
 * there are no extra keys. Only if they differ, the third stage looks for extra keys, window by window; keys that have
 * merely expired since are not reported.
 */
export async function verifyKeys(site: RedisSite, leg: RestoreLeg): Promise<VerifyResult> {
  const { cursor } = leg;
  const job = { ...site, ...leg };
  const state: VerifyCursor =
    cursor === null
      ? { stage: 'records', entry: '', records: 0, digest: null, found: { count: 0, digest: '0'.repeat(64) } }
      : parseInput(VerifyCursor, cursor, 'The cursor of the Redis verification', 'Restore again.');
  if (state.stage === 'records') return compareRecords(job, state);
  if (state.stage === 'names') return compareNames(job, state);
  return findExtra(job, state);
}

/** Describes a key in a difference. */
function thingOf(key: ByteString): string {
  return `key ${showKey(key)}`;
}

async function compareRecords(
  job: VerifyJob,
  state: Extract<VerifyCursor, { stage: 'records' }>,
): Promise<VerifyResult> {
  const before = job.context.doneBefore?.('keys') ?? 0;
  const comparison = new KeyComparison(job, state.digest, state.found, await evictedKeys(job.client));
  const from = state.entry === '' ? null : { entry: state.entry, records: state.records };
  let position: ArchivePosition | null = from;
  const { findings } = comparison;
  for await (const record of readArchive(job.archive, job.space, from)) {
    job.context.signal.throwIfAborted();
    if (record.kind === 'json') comparison.addString(record);
    else await comparison.addPart(record.namespace, record.part);
    position = record.next;
    if (!comparison.isFull && record.kind === 'json') continue;
    await comparison.flush();
    job.context.progress('keys', before + findings.tallies.count);
    if (job.context.timeLeft() <= 0) {
      return findings.result({
        stage: 'records',
        ...position,
        digest: comparison.openDigest,
        found: comparison.found,
      });
    }
  }
  await comparison.flush();
  if (job.options.mode === 'merge') return findings.result(null);
  const counted = { count: 0, digest: '0'.repeat(64) };
  return findings.result({ stage: 'names', found: comparison.found, counted, after: null });
}

class KeyComparison {
  readonly findings = new Findings();
  readonly #job: VerifyJob;
  readonly #resumed: string | null;
  readonly #names = new MultisetDigest();
  #count: number;
  #batch: JsonRecord[] = [];
  #bytes = 0;
  #digest: ContentDigest | null = null;
  readonly #expiring = new ExpiringFields();

  readonly #evicted: number;

  constructor(
    job: VerifyJob,
    digest: string | null,
    found: { count: number; digest: string },
    evicted: number,
  ) {
    this.#evicted = evicted;
    this.#job = job;
    this.#resumed = digest;
    this.#count = found.count;
    this.#names.merge(found.digest);
  }

  get openDigest(): string | null {
    return this.#digest && this.#expiring.withAll(this.#digest.hex());
  }

  get found(): { count: number; digest: string } {
    return { count: this.#count, digest: this.#names.hex() };
  }

  get isFull(): boolean {
    return this.#batch.length >= BATCH_KEYS || this.#bytes >= BATCH_BYTES;
  }

  addString(record: JsonRecord): void {
    this.#batch.push(record);
    this.#bytes += record.value.length;
  }

  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    if (batch.length === 0) return;
    const readings = new Map<ByteString, KeyReading>();
    for await (const reading of this.#job.reader.read(batch.map(({ key }) => key))) {
      readings.set(keyOf(reading), reading);
    }
    for (const { namespace, key, value, expiresAt } of batch) {
      const reading = readings.get(key);
      if (!reading) {
        this.#missing(key, expiresAt);
        continue;
      }
      this.#see(key);
      if (this.#isKept) continue;
      if (reading.kind !== 'string')
        this.#differ(key, 'is a string in the archive and has a different type in the target');
      else if (!reading.value.equals(value)) this.#differ(key, 'has another value');
      else if (!isSameExpiry(this.#job.facts, reading.expiresAt, expiresAt))
        this.#differ(key, 'expires at another time');
      else this.findings.tallies.add(`keys:${namespace}`, canonicalString(key, value, expiresAt));
    }
  }

  async addPart(namespace: string, part: KeyPart): Promise<void> {
    if (part.offset === 0) {
      this.#digest = new ContentDigest(part.type);
      this.#expiring.clear();
    }
    const staying = this.#digest ?? new ContentDigest(part.type, this.#resumed ?? undefined);
    this.#digest = staying;
    const { facts, reader } = this.#job;
    staying.add(part.type === 'hash' ? this.#expiring.take(part.items, serverNow(facts)) : part.items);
    if (!part.last) return;
    this.#digest = null;
    const { key, type, expiresAt, stream } = part;
    const content = await contentOf(reader, key, part.offset > 0);
    const found = content?.kind === 'digest' ? content.digest : EMPTY_DIGEST;
    const expected = this.#expiring.expectedFor(found, staying.hex(), serverNow(facts) + CLOCK_SKEW_MS);
    if (!content) {
      // A hash is deleted with its last field.
      if (type !== 'hash' || expected !== EMPTY_DIGEST) this.#missing(key, expiresAt);
      return;
    }
    const digest = new ContentDigest(type, expected);
    this.#see(key);
    if (this.#isKept) return;
    const value = part.items[0]?.[0] ?? Buffer.alloc(0);
    const foundType = content.kind === 'string' ? 'string' : content.type;
    const record =
      content.kind === 'string'
        ? canonicalString(key, value, expiresAt)
        : canonicalKey(key, type, digest, expiresAt, stream);
    if (foundType !== type) this.#differ(key, `is a ${type} in the archive and a ${foundType} in the target`);
    else if (content.kind === 'string' ? !content.value.equals(value) : content.digest !== digest.hex()) {
      this.#differ(key, `has different content (${type})`);
    } else if (
      content.kind === 'digest' &&
      !canonicalKey(key, type, digest, null, stream).equals(
        canonicalKey(key, type, digest, null, content.stream),
      )
    ) {
      this.#differ(key, 'has different last IDs, groups or pending entries');
    } else if (content.kind === 'digest' && !sameDeliveries(content.stream, stream)) {
      this.#differ(key, 'has entries that were delivered at another time');
    } else if (!isSameExpiry(this.#job.facts, content.expiresAt, expiresAt))
      this.#differ(key, 'expires at another time');
    else this.findings.tallies.add(`keys:${namespace}`, record);
  }

  /** With `keep`, existing content is preserved, so a key only has to exist. */
  get #isKept(): boolean {
    const { mode, onConflict } = this.#job.options;
    return mode === 'merge' && onConflict === 'keep';
  }

  #see(key: ByteString): void {
    this.#count++;
    this.#names.add(Buffer.from(key, 'latin1'));
  }

  #differ(key: ByteString, problem: string): void {
    this.findings.add(thingOf(key), problem);
  }

  #missing(key: ByteString, expiresAt: number | null): void {
    if (expiresAt !== null && expiresAt <= serverNow(this.#job.facts) + CLOCK_SKEW_MS) return;
    const cause = this.#evicted > 0 ? `; the server has evicted ${this.#evicted} keys since its start` : '';
    this.#differ(key, `is missing in the target${cause}`);
  }
}

/** Whether the pending entries of two otherwise equal streams have the same delivery times. */
function sameDeliveries(found: StreamState | undefined, expected: StreamState | undefined): boolean {
  const times = (stream: StreamState | undefined) =>
    stream?.groups.flatMap(({ pending }) => pending.map(([, , time]) => time)) ?? [];
  const wanted = times(expected);
  return times(found).every(
    (time, index) => Math.abs(time - (wanted[index] ?? Number.NaN)) <= DELIVERY_ERROR_MS,
  );
}

/** The digest of empty content. */
const EMPTY_DIGEST = new ContentDigest('hash').hex();
/** Fields that expire later than this, in ms, are expected to exist until they are compared: longer than a leg. */
const EXPIRING_SOON_MS = 20 * 60_000;
/** Maximum number of soon-expiring fields held per hash. */
const EXPIRING_FIELDS_MAX = 10_000;

/**
 * The fields of one hash that may expire between reading the archive and reading the target. A missing field is not a
 * difference, provided that all fields that expire before it are missing as well.
 */
class ExpiringFields {
  #fields: { readonly expiry: number; readonly item: Item }[] = [];

  clear(): void {
    this.#fields = [];
  }

  /** Holds the fields that expire soon, drops those that have expired, and returns the others. */
  take(items: readonly Item[], now: number): readonly Item[] {
    return items.filter((item) => {
      const expiry = item[2] === undefined ? Number.POSITIVE_INFINITY : Number(item[2]);
      if (expiry <= now) return false;
      if (expiry > now + EXPIRING_SOON_MS || this.#fields.length >= EXPIRING_FIELDS_MAX) return true;
      this.#fields.push({ expiry, item });
      return false;
    });
  }

  /** The digest of a hash including these fields, given the digest of its other fields. */
  withAll(staying: string): string {
    const digest = new ContentDigest('hash', staying);
    digest.add(this.#fields.map(({ item }) => item));
    return digest.hex();
  }

  /**
   * The expected digest of the hash: `found`, if it matches the fields that remain after the earliest ones expired;
   * otherwise the digest with all of them.
   *
   * @param staying  digest of the fields that do not expire soon
   */
  expectedFor(found: string, staying: string, now: number): string {
    const latestFirst = this.#fields.toSorted((left, right) => right.expiry - left.expiry);
    const digest = new ContentDigest('hash', staying);
    const isPossible = (next: { expiry: number } | undefined) => next === undefined || next.expiry <= now;
    if (isPossible(latestFirst[0]) && digest.hex() === found) return found;
    for (const [index, { item }] of latestFirst.entries()) {
      digest.add([item]);
      if (isPossible(latestFirst[index + 1]) && digest.hex() === found) return found;
    }
    return digest.hex();
  }
}

async function compareNames(
  job: VerifyJob,
  state: Extract<VerifyCursor, { stage: 'names' }>,
): Promise<VerifyResult> {
  const names = new MultisetDigest();
  names.merge(state.counted.digest);
  let count = state.counted.count;
  for await (const window of windowsAfter(job, state.after)) {
    for (const { keys } of window.keys) {
      count += keys.length;
      for (const key of keys) names.add(Buffer.from(key, 'latin1'));
    }
    const after = endOf(window);
    if (after !== null && job.context.timeLeft() <= 0) {
      return new Findings().result({ ...state, counted: { count, digest: names.hex() }, after });
    }
  }
  const equal = count === state.found.count && names.hex() === state.found.digest;
  return new Findings().result(equal ? null : { stage: 'extra', after: null });
}

async function findExtra(
  job: VerifyJob,
  state: Extract<VerifyCursor, { stage: 'extra' }>,
): Promise<VerifyResult> {
  const findings = new Findings();
  // The archive is read once per batch of keys.
  let extra = new Set<ByteString>();
  const findIn = async () => {
    for await (const record of readArchive(job.archive, job.space, null)) {
      job.context.signal.throwIfAborted();
      extra.delete(record.kind === 'json' ? record.key : record.part.key);
    }
    for (const key of extra) findings.add(thingOf(key), 'is in the target, but not in the archive');
    extra = new Set();
  };
  for await (const window of windowsAfter(job, state.after)) {
    for (const { keys } of window.keys) for (const key of keys) extra.add(key);
    const after = endOf(window);
    const isLate = after !== null && job.context.timeLeft() <= 0;
    if (extra.size < LOOKUP_KEYS && !isLate) continue;
    await findIn();
    if (isLate) return findings.result({ stage: 'extra', after });
  }
  if (extra.size > 0) await findIn();
  return findings.result(null);
}

/** Cursors contain positions with base64 keys. */
function windowsAfter(
  { client, space, context, limits }: VerifyJob,
  after: { namespace: string; key: string } | null,
): AsyncGenerator<KeyWindow> {
  const position = after && {
    namespace: after.namespace,
    key: Buffer.from(after.key, 'base64').toString('latin1'),
  };
  return keyWindows(client, space, position, context.signal, limits);
}

/** Where the next leg continues; null after the last window, which is the only one without keys. */
function endOf({ keys }: KeyWindow): { namespace: string; key: string } | null {
  const last = keys.at(-1);
  const key = last?.keys.at(-1);
  if (!last || key === undefined) return null;
  return { namespace: last.namespace, key: Buffer.from(key, 'latin1').toString('base64') };
}
