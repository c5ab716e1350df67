import { HeadObjectCommand } from '@aws-sdk/client-s3';
import { z } from 'zod';
import { addressOf } from '../../aws/address.ts';
import { ConflictError } from '../../aws/bucket.ts';
import {
  abortMultipart,
  abortMultiparts,
  beginMultipart,
  completeMultipart,
  listParts,
  type MultipartUpload,
} from '../../aws/multipart.ts';
import { type PlannedPart, planParts } from '../../aws/plan-parts.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import { crc32Base64 } from '../../core/crc32.ts';
import { errorFields } from '../../core/error-fields.ts';
import { IntegrityError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { mediaTypeOf } from '../format/codec.ts';
import type { Manifest } from '../format/manifest.ts';
import type { Composition } from './composition.ts';
import { listSegments, type StoredSegment } from './segment-store.ts';
import { sendMissing } from './send-parts.ts';
import { readTailRecord, stageTail, type TailRecord, tailKey } from './stage-tail.ts';

/** Key of the owner in the archive's object metadata. */
export const OWNER = 'ngbak-owner';

const ComposeCursor = z.strictObject({ upload_id: z.string() });

export interface ComposedArchive {
  /** In bytes. */
  readonly size: number;
  /** S3's full-object CRC-32, base64. */
  readonly crc32: string;
  /** Absent if the bucket has no versions. */
  readonly versionId?: string;
  readonly manifest: Manifest;
}

export type CompositionResult =
  | { readonly cursor: NonNullable<Json>; readonly archive?: undefined }
  | { readonly cursor: null; readonly archive: ComposedArchive };

/**
 * One leg of composing the segments below `segments` into one archive, within S3. The first leg writes the end of the
 * archive (index, sums, manifest, footer) to `<work>tail.seg`, the last one completes the upload, but only if no
 * object has that key and the CRC-32 matches the one computed from the segments. Legs may be repeated. Throws
 * IntegrityError if the segments do not fit together, ConflictError if another job's archive has that key.
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
  const uploaded = await listParts(upload, composition);
  if (!uploaded) return { cursor: null, archive: await findOwn(composition, tail) };
  const done = await sendMissing(composition, upload, plan, sources, uploaded, tail.bytes);
  if (!done) return { cursor: { upload_id: upload.uploadId } };
  return { cursor: null, archive: await complete(composition, upload, plan, tail) };
}

/** Gives up a composition: aborts every multipart upload of its key. Idempotent. */
export async function abortComposition(
  composition: Pick<Composition, 's3' | 'bucket' | 'key'>,
): Promise<void> {
  await abortMultiparts(composition.s3, composition.bucket, composition.key, { exact: true });
}

function createUpload(composition: Composition): Promise<MultipartUpload> {
  const { s3, bucket: Bucket, key: Key, owner, codec, fileName, storageClass, signal } = composition;
  return beginMultipart(
    s3,
    {
      Bucket,
      Key,
      ContentType: mediaTypeOf(codec),
      ...(storageClass === undefined || storageClass === 'STANDARD' ? {} : { StorageClass: storageClass }),
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
    if (segment.object.key === tailKey(composition)) sources.push(segment);
  }
  return sources;
}

/**
 * Completes the upload. The list of parts comes from S3 and need not be passed from leg to leg: their sizes are
 * checked against the plan, and S3 checks every byte against the CRC-32 of the whole.
 */
async function complete(
  composition: Composition,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
  tail: TailRecord,
): Promise<ComposedArchive> {
  const where = addressOf(composition.s3, composition.bucket, composition.key);
  const uploaded = await listParts(upload, composition);
  if (!uploaded) return findOwn(composition, tail);
  const Parts = plan.map(({ number, length }) => {
    const part = uploaded.get(number);
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
    // Not completed and not needed: the upload must not remain.
    await abortMultipart(upload);
    return findOwn(composition, tail, error);
  }
}

/** The archive that an interrupted leg has already completed. Throws ConflictError if it belongs to another job. */
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
