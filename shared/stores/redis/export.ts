import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import type { EntryPiece } from '../../archive/format/types.ts';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { collectGarbage } from '../../core/collect-garbage.ts';
import { MultisetDigest, type Tallies } from '../../core/digest.ts';
import { parseInput } from '../../core/input.ts';
import { ReusableBuffer } from '../../core/reusable-buffer.ts';
import type { ExportStep } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { isJsonText } from './json-text.ts';
import { keyWindows, LIMITS, type Limits } from './keys.ts';
import type { LargePosition } from './large.ts';
import { entryName } from './names.ts';
import type { KeyReader } from './read.ts';
import type { KeyReading, SmallReading } from './reading.ts';
import { ContentDigest, canonicalKey, canonicalString, KEY_TYPES, type KeyPart } from './record.ts';
import { type ByteString, toBytes } from './scope.ts';
import type { RedisSite } from './site.ts';
import type { Position } from './sorted-keys.ts';
import { encodePart } from './typed-lines.ts';

/**
 * Capacity of an entry beyond the size that closes it, in bytes: includes the value that crosses the limit, which is
 * never split.
 */
const ROOM_BEYOND_FULL = 256 * 1024;
/** Records up to this many bytes share one buffer. */
const RECORD_BYTES = 64 * 1024;

const ExportCursor = z.strictObject({
  namespace: z.string(),
  /** Last archived key in base64; null before the first key of the namespace. */
  after: z.string().nullable(),
  /** Number of the namespace's next entries. */
  part: z.number().int().positive(),
  /** The key that continues in the next entry. */
  large: z
    .strictObject({
      key: z.string(),
      position: z.strictObject({
        type: z.enum(KEY_TYPES),
        expiresAt: z.number().nullable(),
        offset: z.number(),
        digest: z.string(),
        page: z.number(),
        tries: z.number(),
      }),
    })
    .nullable(),
});
type ExportCursor = z.infer<typeof ExportCursor>;

/** A large key that is being read, and the position from which reading resumes. */
interface Large {
  readonly key: ByteString;
  readonly position: LargePosition;
}

/**
 * Streams every key of the scope, ordered by namespace and key, in entries of bounded size. The cursor is the last
 * archived key, so a leg resumes exactly there, whatever was added or deleted in the meantime.
 */
export async function* exportKeys(
  site: RedisSite,
  cursor: Cursor | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const from =
    cursor === null
      ? null
      : parseInput(ExportCursor, cursor, 'The cursor of the Redis export', 'Start a new backup.');
  const { reader, limits = LIMITS } = site;
  const data = new EntryData(limits);
  let chunk = from ? new Chunk(from.namespace, from.part, keyOfCursor(from), data) : undefined;
  const before = context.doneBefore?.('keys') ?? 0;
  let done = 0;
  if (from?.large && chunk) {
    const { key, position } = from.large;
    yield* readLarge(reader, chunk, { key: decodeKey(key), type: position.type }, position, context);
  }
  const after = from ? { namespace: from.namespace, key: chunk?.after ?? '' } : null;
  for await (const { namespace, batch, runs } of batchesAfter(site, after, context.signal)) {
    if (chunk?.namespace !== namespace) {
      if (chunk && !chunk.isEmpty) yield chunk.flush();
      chunk = new Chunk(namespace, 1, undefined, data);
    }
    context.signal.throwIfAborted();
    yield* addAll(reader, chunk, runs, context);
    chunk.after = batch.at(-1);
    done += batch.length;
    collectGarbage();
    context.progress('keys', before + done);
    if (context.timeLeft() <= 0 && !chunk.isEmpty) yield chunk.flush();
  }
  if (chunk && !chunk.isEmpty) yield { ...chunk.flush(), next: null };
}

/** Reads the keys after a position in order, in batches of one namespace each. */
async function* batchesAfter(
  { client, space, reader, limits }: RedisSite,
  after: Position | null,
  signal: AbortSignal,
): AsyncGenerator<{
  namespace: string;
  batch: readonly ByteString[];
  runs: AsyncIterable<readonly KeyReading[]>;
}> {
  for await (const window of keyWindows(client, space, after, signal, limits)) {
    for (const { namespace, keys } of window.keys) {
      for await (const { batch, runs } of reader.readAll(keys)) yield { namespace, batch, runs };
    }
  }
}

/** Adds readings, closing entries as they fill up. */
async function* addAll(
  reader: KeyReader,
  chunk: Chunk,
  runs: AsyncIterable<readonly KeyReading[]>,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  for await (const run of runs) {
    for (const reading of run) {
      if (reading.kind !== 'large') chunk.add(reading);
      else yield* readLarge(reader, chunk, reading, null, context);
      if (chunk.isFull) yield chunk.flush();
    }
  }
}

/** Adds a large key part by part, closing entries as they fill up. */
async function* readLarge(
  reader: KeyReader,
  chunk: Chunk,
  { key, type }: Pick<KeyPart, 'key' | 'type'>,
  from: LargePosition | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const options = { as: 'proven' as const, signal: context.signal, timeLeft: context.timeLeft };
  let isComplete = false;
  chunk.begin();
  for await (const step of reader.readLarge(key, type, from, options)) {
    if ('kind' in step) {
      chunk.takeBack();
      chunk.add(step);
      return;
    }
    const { part, digest, next } = step;
    if (part.offset === 0) chunk.takeBack();
    chunk.addPart(part, new ContentDigest(part.type, digest));
    isComplete = part.last;
    if (next && chunk.isFull) yield chunk.flush({ key, position: next });
  }
  // The key was deleted: the parts read so far are discarded.
  if (!isComplete) chunk.takeBack();
}

/** Buffers of the entries being filled, reused for all entries of a leg. */
class EntryData {
  readonly json: ReusableBuffer;
  readonly expiry: ReusableBuffer;
  readonly typed: ReusableBuffer;
  /** Buffer for the current record. */
  readonly record = Buffer.allocUnsafeSlow(RECORD_BYTES);
  readonly #full: number;

  constructor({ entryBytes }: Limits) {
    const room = entryBytes + ROOM_BEYOND_FULL;
    this.json = new ReusableBuffer(room, entryBytes);
    this.expiry = new ReusableBuffer(room);
    this.typed = new ReusableBuffer(room);
    this.#full = entryBytes;
  }

  get isEmpty(): boolean {
    return this.json.length === 0 && this.typed.length === 0;
  }

  get isFull(): boolean {
    return this.json.length >= this.#full || this.typed.length >= this.#full;
  }

  clear(): void {
    for (const buffer of [this.json, this.expiry, this.typed]) buffer.clear();
  }
}

/** The entries being filled that share a number: JSON members, their expiry times, typed lines. */
class Chunk {
  readonly namespace: string;
  /** Last key that is complete in this or an earlier chunk. */
  after: ByteString | undefined;
  #number: number;
  readonly #data: EntryData;
  #isFlushed = false;
  /** Offset in the typed entry at which the parts of the current large key start. */
  #begin = 0;
  #count = 0;
  #digest = new MultisetDigest();

  /** The content of `data` from an earlier chunk must have been consumed. */
  constructor(namespace: string, number: number, after: ByteString | undefined, data: EntryData) {
    this.namespace = namespace;
    this.#number = number;
    this.after = after;
    this.#data = data;
    data.clear();
  }

  get isEmpty(): boolean {
    return this.#isFlushed || this.#data.isEmpty;
  }

  get isFull(): boolean {
    return !this.#isFlushed && this.#data.isFull;
  }

  add(reading: SmallReading): void {
    if (reading.kind === 'whole') {
      const digest = new ContentDigest(reading.part.type);
      digest.add(reading.part.items);
      this.addPart(reading.part, digest);
      return;
    }
    this.#makeRoom();
    const { key, value, expiresAt } = reading;
    const { json, expiry, typed, record } = this.#data;
    this.#tally(key, canonicalString(key, value, expiresAt, record));
    const quoted = quote(key);
    if (quoted === undefined || !isJsonText(value)) {
      typed.append(encodePart({ key, type: 'string', expiresAt, offset: 0, last: true, items: [[value]] }));
      return;
    }
    json.write(`${json.length === 0 ? '{\n' : ',\n'}${quoted}: `);
    json.append(value);
    if (expiresAt !== null) expiry.write(`{"key":${quoted},"expires_at":${expiresAt}}\n`);
  }

  /** Marks the start of the parts of a large key. */
  begin(): void {
    this.#makeRoom();
    this.#begin = this.#data.typed.length;
  }

  /** Removes the parts added since {@link begin}, except those in entries that are already closed. */
  takeBack(): void {
    this.#makeRoom();
    this.#data.typed.cutTo(this.#begin);
  }

  /** Adds a part of a key; `digest` is that of its content up to here. */
  addPart(part: KeyPart, digest: ContentDigest): void {
    this.#makeRoom();
    this.#data.typed.append(encodePart(part));
    if (part.last)
      this.#tally(part.key, canonicalKey(part.key, part.type, digest, part.expiresAt, part.stream));
  }

  #tally(key: ByteString, record: Buffer): void {
    this.#count++;
    this.#digest.add(record);
    this.after = key;
  }

  /** Flushed entries have been consumed by the time more is added. */
  #makeRoom(): void {
    if (!this.#isFlushed) return;
    this.#isFlushed = false;
    this.#data.clear();
    this.#begin = 0;
    this.#count = 0;
    this.#digest = new MultisetDigest();
  }

  /**
   * The step that closes the entries with this number, which must be consumed before more is added; later ones get the
   * next number.
   */
  flush(large?: Large): ExportStep {
    if (this.#data.json.length > 0) this.#data.json.write('\n}\n');
    const entries: EntryPiece[] = [];
    for (const form of ['json', 'expiry', 'typed'] as const) {
      const data = this.#data[form].view();
      if (data.length > 0) entries.push(wholeEntry(entryName(this.namespace, form, this.#number), data));
    }
    const [piece, ...companions] = entries;
    if (!piece) throw new Error('An empty chunk has no entries.');
    const tallies: Tallies =
      this.#count === 0
        ? {}
        : { [`keys:${this.namespace}`]: { count: this.#count, digest: this.#digest.hex() } };
    this.#number++;
    this.#isFlushed = true;
    const next: ExportCursor = {
      namespace: this.namespace,
      after: this.after === undefined ? null : encodeKey(this.after),
      part: this.#number,
      large: large ? { ...large, key: encodeKey(large.key), position: { ...large.position } } : null,
    };
    return { piece, companions, tallies, next };
  }
}

/** A key as a JSON string; undefined if it is not UTF-8. */
function quote(key: ByteString): string | undefined {
  // Most keys are ASCII without quotes and need no escaping.
  if (/^[ !#-[\]-~]*$/.test(key)) return `"${key}"`;
  const name = toBytes(key);
  return isUtf8(name) ? JSON.stringify(name.toString('utf8')) : undefined;
}

function encodeKey(key: ByteString): string {
  return toBytes(key).toString('base64');
}

function decodeKey(key: string): ByteString {
  return Buffer.from(key, 'base64').toString('latin1');
}

function keyOfCursor({ after }: ExportCursor): ByteString | undefined {
  return after === null ? undefined : decodeKey(after);
}
