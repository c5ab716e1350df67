import { HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { z } from 'zod';
import { addressOf } from '../../aws/address.ts';
import { ConflictError } from '../../aws/bucket.ts';
import {
  abortMultipart,
  abortMultiparts,
  beginMultipart,
  completeMultipart,
  copyPart,
  listParts,
  type MultipartUpload,
  sendPart,
  type UploadedPart,
} from '../../aws/multipart.ts';
import { PART_BYTES_MIN, type PlannedPart, planParts } from '../../aws/plan-parts.ts';
import { readS3Text, sendS3, writeS3Json } from '../../aws/send-s3.ts';
import { uploadStream } from '../../aws/upload-stream.ts';
import { combineCrc32, crc32Base64 } from '../../core/crc32.ts';
import { errorFields } from '../../core/error-fields.ts';
import { IntegrityError } from '../../core/errors.ts';
import { parseInput, parseJson } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { type Codec, mediaTypeOf } from '../format/codec.ts';
import type { IndexLine } from '../format/lines.ts';
import { Manifest, type ManifestDraft } from '../format/manifest.ts';
import { quoteName } from '../format/names.ts';
import { objectSource } from '../read/sources.ts';
import type { SegmentRecord } from './segment.ts';
import { listSegmentRecords, listSegments, type StoredSegment } from './segment-store.ts';
import { encodeTail } from './tail.ts';

/** Parts under way at once. Copies cost us nothing but waiting. */
const PARTS_AT_ONCE = 8;
/** Joined parts up to this size, in bytes, are held in memory; larger ones take a detour over a staged object. */
const JOINED_IN_MEMORY = 16 * 1024 ** 2;
/** Entries whose records are kept between the passes over them; with more, the records are read again. */
const LINES_KEPT = 50_000;
/** Name of the owner in the archive's metadata. */
export const OWNER = 'ngbak-owner';

const ComposeCursor = z.strictObject({ upload_id: z.string() });

/** What the first leg found out: `<work>tail.json`. */
const TailRecord = z.object({
  /** Size and CRC-32 of the whole archive. */
  bytes: z.int().positive(),
  crc32: z.int().nonnegative(),
  manifest: Manifest,
});
type TailRecord = z.infer<typeof TailRecord>;

export interface Composition {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Prefix of the segments and their records, ending with `/`. */
  readonly segments: string;
  /** Prefix for what the composition keeps between legs, ending with `/`. */
  readonly work: string;
  /** Key of the archive. */
  readonly key: string;
  /** Whose archive it is: where the key exists already, a leg that was cut off recognises its own by it. */
  readonly owner: string;
  readonly codec: Codec;
  /** The name that a browser saves the archive under, whatever link it follows. */
  readonly fileName?: string;
  readonly manifest: ManifestDraft;
  /** What the leg before returned; null for the first one. */
  readonly cursor: Json;
  /** Milliseconds until the leg should have ended. */
  timeLeft(): number;
  readonly signal: AbortSignal;
  progress?(bytesDone: number, bytesTotal: number): void;
}

export interface ComposedArchive {
  /** In bytes. */
  readonly size: number;
  /** S3's full-object CRC-32, base64. */
  readonly crc32: string;
  /** Absent where the bucket has no versions. */
  readonly versionId?: string;
  readonly manifest: Manifest;
}

export type CompositionResult =
  | { readonly cursor: NonNullable<Json>; readonly archive?: undefined }
  | { readonly cursor: null; readonly archive: ComposedArchive };

/**
 * One leg of composing the segments below `segments` into one archive, on S3's side. The first leg writes what ends
 * the archive (index, sums, manifest, footer) to `<work>tail.seg`, the last one completes the upload: only if there
 * is not an object of that key, and only if its CRC-32 is the one that the segments' own make. Legs may be repeated.
 * Throws IntegrityError where segments do not fit together, ConflictError where somebody else's archive has that key.
 */
export async function composeArchive(composition: Composition): Promise<CompositionResult> {
  const { cursor } = composition;
  let upload: MultipartUpload;
  if (cursor === null) {
    await stageTail(composition);
    await abortComposition(composition);
    upload = await createUpload(composition);
  } else {
    const { upload_id } = parseInput(ComposeCursor, cursor, 'The cursor of the composition');
    const { s3, bucket, key } = composition;
    upload = { s3, bucket, key, uploadId: upload_id };
  }
  const tail = await readTailRecord(composition);
  const sources = await listSources(composition);
  const plan = planParts(sources.map(({ bytes }) => bytes));
  const there = await listParts(upload, composition);
  if (!there) return { cursor: null, archive: await findOwn(composition, tail) };
  const done = await sendMissing(composition, upload, plan, sources, there, tail.bytes);
  if (!done) return { cursor: { upload_id: upload.uploadId } };
  return { cursor: null, archive: await complete(composition, upload, plan, tail) };
}

/** Gives up a composition: aborts every multipart upload of its key. Idempotent. */
export async function abortComposition(
  composition: Pick<Composition, 's3' | 'bucket' | 'key'>,
): Promise<void> {
  await abortMultiparts(composition.s3, composition.bucket, composition.key, { exact: true });
}

const tailKey = ({ work }: Composition) => `${work}tail.seg`;
const tailRecordKey = ({ work }: Composition) => `${work}tail.json`;

async function stageTail(composition: Composition): Promise<void> {
  const { s3, bucket, codec, manifest, signal } = composition;
  let bytes = 0;
  let crc = 0;
  const records = replayable(
    () => listSegmentRecords(s3, bucket, composition.segments),
    ({ entries }) => 1 + entries.length,
  );
  for await (const record of records()) {
    if (record.codec !== codec) {
      throw new IntegrityError(`Segment ${record.name} is compressed with ${record.codec}, not ${codec}.`, {
        remedy: 'Start the backup again.',
      });
    }
    bytes += record.bytes;
    crc = combineCrc32(crc, record.crc32, record.bytes);
  }
  let finished: Manifest | undefined;
  const entries = () => indexLines(records());
  const chunks = (async function* () {
    finished = yield* encodeTail({ codec, entries, offset: bytes, manifest });
  })();
  const tail = await uploadStream({ s3, bucket, key: tailKey(composition), chunks, signal });
  if (finished === undefined) throw new TypeError('the tail ended without a manifest');
  const record: TailRecord = {
    bytes: bytes + tail.bytes,
    crc32: combineCrc32(crc, tail.crc32, tail.bytes),
    manifest: finished,
  };
  await writeS3Json(s3, { Bucket: bucket, Key: tailRecordKey(composition) }, record, { signal });
}

async function readTailRecord(composition: Composition): Promise<TailRecord> {
  const { s3, bucket, signal } = composition;
  const Key = tailRecordKey(composition);
  const where = addressOf(s3, bucket, Key);
  const { text } = await readS3Text(s3, { Bucket: bucket, Key }, { signal });
  return parseJson(TailRecord, text, where, 'Start the backup again.');
}

/** The archive's index, from the segments' records. Throws IntegrityError where one does not continue with the other. */
async function* indexLines(records: AsyncIterable<SegmentRecord>): AsyncGenerator<IndexLine> {
  let base = 0;
  // Where the next entry starts, or the one under way started: entries lie one behind the other.
  let position = 0;
  let open: { name: string; written: number } | null = null;
  const mismatch = (name: string, wanted: string) =>
    new IntegrityError(
      `Segment ${name} does not continue with ${wanted}: a segment before it is missing or was replaced.`,
      { remedy: 'Start the backup again.' },
    );
  for await (const { name, bytes, continues, entries, open: left } of records) {
    if (continues?.name !== open?.name || continues?.written !== open?.written) {
      throw mismatch(name, open === null ? 'a new entry' : `${quoteName(open.name)} at byte ${open.written}`);
    }
    for (const [number, entry] of entries.entries()) {
      const continued = number === 0 && continues !== null;
      if (!continued && base + entry.offset !== position) throw mismatch(name, quoteName(entry.name));
      yield { ...entry, offset: position };
      position += entry.length;
    }
    base += bytes;
    if (position + (left?.length ?? 0) !== base) throw mismatch(name, 'the bytes stated in its record');
    open = left === null ? null : { name: left.name, written: left.written };
  }
  if (open !== null) {
    throw new IntegrityError(
      `The last segment ends within ${quoteName(open.name)}, after ${open.written} bytes.`,
      { remedy: 'Start the backup again.' },
    );
  }
}

/** A stream that can be asked for again: from memory where it weighs little, from its origin where it does not. */
function replayable<T>(origin: () => AsyncIterable<T>, weigh: (item: T) => number): () => AsyncIterable<T> {
  let kept: T[] | undefined;
  return async function* () {
    if (kept) {
      yield* kept;
      return;
    }
    const seen: T[] = [];
    let weight = 0;
    for await (const item of origin()) {
      weight += weigh(item);
      if (weight <= LINES_KEPT) seen.push(item);
      else seen.length = 0;
      yield item;
    }
    if (weight <= LINES_KEPT) kept = seen;
  };
}

function createUpload(composition: Composition): Promise<MultipartUpload> {
  const { s3, bucket: Bucket, key: Key, owner, codec, fileName, signal } = composition;
  return beginMultipart(
    s3,
    {
      Bucket,
      Key,
      ContentType: mediaTypeOf(codec),
      ...(fileName === undefined ? {} : { ContentDisposition: `attachment; filename="${fileName}"` }),
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
      Metadata: { [OWNER]: owner },
    },
    { signal },
  );
}

async function listSources(composition: Composition): Promise<StoredSegment[]> {
  const { s3, bucket } = composition;
  const sources: StoredSegment[] = [];
  for await (const segment of listSegments(s3, bucket, composition.segments)) sources.push(segment);
  for await (const segment of listSegments(s3, bucket, composition.work)) {
    if (segment.key === tailKey(composition)) sources.push(segment);
  }
  return sources;
}

/** Sends the parts that are not there yet, while time lasts. Returns whether all are there. */
async function sendMissing(
  composition: Composition,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
  sources: readonly StoredSegment[],
  there: ReadonlyMap<number, UploadedPart>,
  total: number,
): Promise<boolean> {
  const missing = plan.filter(({ number, length }) => there.get(number)?.bytes !== length);
  let done = total - missing.reduce((sum, { length }) => sum + length, 0);
  let started = 0;
  const inTime = (function* () {
    for (const part of missing) {
      // At least one in each leg, so that every leg gets on.
      if (started > 0 && composition.timeLeft() <= 0) return;
      started++;
      yield part;
    }
  })();
  const results = mapOrdered(inTime, PARTS_AT_ONCE, async (part) => {
    await sendPlanned(composition, upload, part, sources);
    return part.length;
  });
  for await (const length of results) {
    done += length;
    composition.progress?.(done, total);
  }
  return started === missing.length;
}

async function sendPlanned(
  composition: Composition,
  upload: MultipartUpload,
  part: PlannedPart,
  sources: readonly StoredSegment[],
): Promise<void> {
  const { s3, bucket, work, signal } = composition;
  const [first, ...others] = part.ranges;
  const source = first === undefined ? undefined : sources[first.source];
  if (first === undefined || source === undefined) throw new TypeError('a part without a source');
  // S3 copies ranges only of objects of more than 5 MiB.
  if (others.length === 0 && source.bytes > PART_BYTES_MIN) {
    return copyRange(upload, part, source, first.from, signal);
  }
  const chunks = readRanges(composition, part, sources);
  if (part.length > JOINED_IN_MEMORY) {
    const joined = `${work}joined-${String(part.number).padStart(5, '0')}`;
    const { etag = '' } = await uploadStream({ s3, bucket, key: joined, chunks, signal });
    const staged = { name: joined, key: joined, bytes: part.length, etag };
    return copyRange(upload, part, staged, 0, signal);
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  await sendPart(
    upload,
    { PartNumber: part.number, Body: Buffer.concat(parts), ChecksumAlgorithm: 'CRC32' },
    { signal },
  );
}

function copyRange(
  upload: MultipartUpload,
  part: PlannedPart,
  source: StoredSegment,
  from: number,
  signal: AbortSignal,
): Promise<void> {
  return copyPart(
    upload,
    {
      PartNumber: part.number,
      CopySource: `${upload.bucket}/${source.key}`.split('/').map(encodeURIComponent).join('/'),
      CopySourceRange: `bytes=${from}-${from + part.length - 1}`,
      CopySourceIfMatch: source.etag,
    },
    { signal },
  );
}

async function* readRanges(
  { s3, bucket, signal }: Composition,
  part: PlannedPart,
  sources: readonly StoredSegment[],
): AsyncGenerator<Uint8Array> {
  for (const { source: number, from, length } of part.ranges) {
    const segment = sources[number];
    if (segment === undefined) throw new TypeError('a part without a source');
    const { key, bytes: size, etag } = segment;
    const source = objectSource(s3, { bucket, key, size, etag });
    for await (const chunk of source.read(from, length)) {
      signal.throwIfAborted();
      yield chunk;
    }
  }
}

/**
 * Completes the upload. The list of parts is asked of S3: their sizes are checked against the plan, and the CRC-32 of the
 * whole, which S3 checks, against every byte; no list of ours has to travel from leg to leg.
 */
async function complete(
  composition: Composition,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
  tail: TailRecord,
): Promise<ComposedArchive> {
  const where = addressOf(composition.s3, composition.bucket, composition.key);
  const there = await listParts(upload, composition);
  if (!there) return findOwn(composition, tail);
  const Parts = plan.map(({ number, length }) => {
    const part = there.get(number);
    if (part?.bytes === length) {
      return {
        PartNumber: number,
        ETag: part.etag,
        ...(part.crc32 === undefined ? {} : { ChecksumCRC32: part.crc32 }),
      };
    }
    throw new IntegrityError(
      `Part ${number} of ${where} has ${part?.bytes ?? 'no'} bytes instead of ${length}.`,
      {
        remedy: 'Start the backup again.',
      },
    );
  });
  try {
    const { VersionId } = await completeMultipart(
      upload,
      {
        MultipartUpload: { Parts },
        ChecksumCRC32: crc32Base64(tail.crc32),
        ChecksumType: 'FULL_OBJECT',
        MpuObjectSize: tail.bytes,
        IfNoneMatch: '*',
      },
      { signal: composition.signal, expected: ['PreconditionFailed', 'BadDigest'] },
    );
    return composed(tail, VersionId);
  } catch (error) {
    const { name } = errorFields(error);
    if (name === 'BadDigest') {
      throw new IntegrityError(`The bytes of ${where} differ from those that the exporters wrote.`, {
        remedy: 'The unfinished backup was removed. Start it again, and report this as a bug in ngbak.',
        cause: error,
      });
    }
    if (name !== 'PreconditionFailed' && name !== 'NoSuchUpload') throw error;
    // Not completed and not needed: nothing may be left of it.
    await abortMultipart(upload);
    return findOwn(composition, tail, error);
  }
}

/** The archive that a leg which was cut off has completed already. Throws ConflictError where it is not ours. */
async function findOwn(
  composition: Composition,
  tail: TailRecord,
  cause?: unknown,
): Promise<ComposedArchive> {
  const { s3, bucket: Bucket, key: Key, owner, signal } = composition;
  const where = addressOf(s3, Bucket, Key);
  const command = new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' });
  const head = await sendS3(s3, 'read', command, { signal, expected: ['NotFound'] }).catch((error) => {
    if (errorFields(error).name !== 'NotFound') throw error;
    throw new IntegrityError(`The upload of ${where} no longer exists, and there is no archive.`, {
      remedy: 'It was aborted, perhaps by a lifecycle rule: start the backup again.',
      cause: cause ?? error,
    });
  });
  const crc32 = crc32Base64(tail.crc32);
  const sameBytes = head.ContentLength === tail.bytes && (head.ChecksumCRC32 ?? crc32) === crc32;
  if (head.Metadata?.[OWNER] === owner && sameBytes) return composed(tail, head.VersionId);
  throw new ConflictError(`There is already another archive at ${where}.`, {
    remedy: 'Start the backup again: it gets a new ID.',
    cause,
  });
}

function composed({ bytes, crc32, manifest }: TailRecord, versionId: string | undefined): ComposedArchive {
  return {
    size: bytes,
    crc32: crc32Base64(crc32),
    ...(versionId === undefined ? {} : { versionId }),
    manifest,
  };
}
