import { DeleteObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { z } from 'zod';
import { addressOf } from '../../aws/address.ts';
import { readS3Text, sendS3, writeS3Json } from '../../aws/send-s3.ts';
import { uploadStream } from '../../aws/upload-stream.ts';
import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import { parseJson } from '../../core/input.ts';
import { mapOrdered } from '../../core/ordered.ts';
import type { Codec } from '../format/codec.ts';
import type { EntryPiece } from '../format/types.ts';
import { encodeSegment, type OpenEntry, type SegmentCarry, SegmentRecord } from './segment.ts';

/** Records read concurrently while they are listed. */
const READ_AHEAD = 8;

export interface SegmentUpload {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Ends with `/`. */
  readonly prefix: string;
  readonly name: string;
  readonly pieces: AsyncIterable<EntryPiece>;
  /** What the previous leg returned; null for the first leg of a shard. */
  readonly carry: SegmentCarry | null;
  readonly codec: Codec;
  readonly level?: number;
  readonly signal?: AbortSignal;
  /** Called once, after the last piece: the tallies of this segment, by store. */
  readonly tallies: () => Record<string, Tallies>;
}

const SEGMENT = '.seg';
const CARRIED = '.carried';
const segmentKey = (prefix: string, name: string) => `${prefix}${name}${SEGMENT}`;
const carriedKey = (prefix: string, name: string) => `${prefix}${name}${CARRIED}`;
const recordKey = (prefix: string, name: string) => `${prefix}${name}.json`;

/**
 * Streams pieces into `<prefix><name>.seg`, then writes the segment's record, `<prefix><name>.json`. A repeated leg
 * overwrites both. Without any piece it writes nothing, and removes what an earlier attempt with that name left.
 * Returns the carry for the next leg, null if the segment ended with a complete entry.
 */
export async function uploadSegment(
  upload: SegmentUpload,
): Promise<{ carry: SegmentCarry | null; record: SegmentRecord | null }> {
  const { s3, bucket, prefix, name, carry, codec, signal } = upload;
  const open = carry === null ? null : await readOpenEntry(upload, carry);
  const pieces = upload.pieces[Symbol.asyncIterator]();
  const first = await pieces.next();
  if (first.done) {
    upload.tallies();
    for (const Key of [recordKey(prefix, name), segmentKey(prefix, name)]) {
      const remove = new DeleteObjectCommand({ Bucket: bucket, Key });
      await sendS3(s3, 'delete', remove, { signal });
    }
    return { carry, record: null };
  }
  const all = (async function* () {
    try {
      for (let next: IteratorResult<EntryPiece> = first; !next.done; next = await pieces.next())
        yield next.value;
    } finally {
      await pieces.return?.();
    }
  })();
  const segment = encodeSegment(
    all,
    {
      name,
      codec,
      ...(upload.level === undefined ? {} : { level: upload.level }),
      ...(signal === undefined ? {} : { signal }),
    },
    open,
  );
  let encoded: Omit<SegmentRecord, 'tallies'> | undefined;
  const chunks = (async function* () {
    encoded = yield* segment;
  })();
  const sent = await uploadStream({
    s3,
    bucket,
    key: segmentKey(prefix, name),
    chunks,
    reserve: true,
    signal,
  });
  if (encoded === undefined || sent.bytes !== encoded.bytes || sent.crc32 !== encoded.crc32) {
    throw new IntegrityError(`The uploaded segment ${name} differs from the encoded one.`, {
      remedy: 'Start the backup again, and report this as a bug in ngbak.',
    });
  }
  const record: SegmentRecord = { ...encoded, tallies: upload.tallies() };
  await writeS3Json(s3, { Bucket: bucket, Key: recordKey(prefix, name) }, record, { signal });
  return { carry: carryOf(record), record };
}

function carryOf({ name: segment, open }: SegmentRecord): SegmentCarry | null {
  return open === null ? null : { segment, entry: open.name, size: open.size, written: open.written };
}

async function readOpenEntry(
  { s3, bucket, prefix, signal }: SegmentUpload,
  carry: SegmentCarry,
): Promise<OpenEntry> {
  const { open } = await readRecord(s3, bucket, recordKey(prefix, carry.segment), signal);
  if (open?.name === carry.entry && open.size === carry.size && open.written === carry.written) return open;
  throw new IntegrityError(
    `Segment ${carry.segment} does not end within ${carry.entry} at ${carry.written} of ${carry.size} bytes, as the workflow's state says.`,
    { remedy: 'Start the backup again.' },
  );
}

async function readRecord(
  s3: S3Client,
  bucket: string,
  Key: string,
  signal?: AbortSignal,
): Promise<SegmentRecord> {
  const where = addressOf(s3, bucket, Key);
  const { text } = await readS3Text(s3, { Bucket: bucket, Key }, { signal });
  return parseJson(SegmentRecord, text, where, 'Start the backup again.');
}

/** A segment in the bucket: an object of its own, or a range of an earlier archive. */
export interface StoredSegment {
  readonly name: string;
  /** Size in bytes. */
  readonly bytes: number;
  readonly object: SourceObject;
  /** Where it starts in the object. */
  readonly from: number;
}

/** An object that segments are copied from. */
export const SourceObject = z.object({
  key: z.string(),
  /** Absent if the bucket has no versions. */
  version_id: z.string().optional(),
  etag: z.string().min(1),
  /** Its size in bytes. */
  bytes: z.int().nonnegative(),
});
export type SourceObject = z.infer<typeof SourceObject>;

/** A segment that is a range of an earlier archive: `<name>.carried`. */
const CarriedSegment = z.strictObject({
  object: SourceObject,
  from: z.int().nonnegative(),
  bytes: z.int().positive(),
});

/**
 * Puts a range of an earlier archive in the place of a segment, with its record. Nothing is copied before the archive
 * is composed. A repeated call overwrites both.
 */
export async function putCarriedSegment(
  { s3, bucket, prefix, signal }: Pick<SegmentUpload, 's3' | 'bucket' | 'prefix' | 'signal'>,
  object: SourceObject,
  from: number,
  record: SegmentRecord,
): Promise<void> {
  const { name, bytes } = record;
  const source: z.infer<typeof CarriedSegment> = { object, from, bytes };
  await writeS3Json(s3, { Bucket: bucket, Key: recordKey(prefix, name) }, record, { signal });
  await writeS3Json(s3, { Bucket: bucket, Key: carriedKey(prefix, name) }, source, { signal });
}

/** The segments below a prefix, in the order of the archive, which is the order of their keys. */
export async function* listSegments(
  s3: S3Client,
  bucket: string,
  prefix: string,
): AsyncGenerator<StoredSegment> {
  let token: string | undefined;
  do {
    const list = new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token });
    const page = await sendS3(s3, 'list', list);
    for (const { Key = '', Size = 0, ETag = '' } of page.Contents ?? []) {
      if (Key.endsWith(SEGMENT)) {
        const object = { key: Key, etag: ETag, bytes: Size };
        yield { name: Key.slice(prefix.length, -SEGMENT.length), bytes: Size, object, from: 0 };
      } else if (Key.endsWith(CARRIED)) {
        const { text } = await readS3Text(s3, { Bucket: bucket, Key });
        const where = addressOf(s3, bucket, Key);
        const carried = parseJson(CarriedSegment, text, where, 'Start the backup again.');
        yield { name: Key.slice(prefix.length, -CARRIED.length), ...carried };
      }
    }
    token = page.NextContinuationToken;
  } while (token !== undefined);
}

/** The records of all segments below a prefix, in the order of the archive; reads a few ahead. */
export async function* listSegmentRecords(
  s3: S3Client,
  bucket: string,
  prefix: string,
): AsyncGenerator<SegmentRecord> {
  yield* mapOrdered(listSegments(s3, bucket, prefix), READ_AHEAD, async (segment) => {
    const record = await readRecord(s3, bucket, recordKey(prefix, segment.name));
    if (record.name === segment.name && record.bytes === segment.bytes) return record;
    throw new IntegrityError(
      `Segment ${addressOf(s3, bucket, prefix)}${segment.name} is ${segment.bytes} bytes; its record says ${record.bytes} of ${record.name}.`,
      { remedy: 'Start the backup again.' },
    );
  });
}
