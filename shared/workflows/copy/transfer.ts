import { HeadObjectCommand, ObjectLockMode, PutObjectCommand } from '@aws-sdk/client-s3';
import { mediaTypeOf } from '../../archive/format/codec.ts';
import { OWNER } from '../../archive/write/compose.ts';
import { addressOf } from '../../aws/address.ts';
import { type Bucket, ConflictError } from '../../aws/bucket.ts';
import {
  abortMultipart,
  beginMultipart,
  completeMultipart,
  copyPart,
  copySource,
  listParts,
  type MultipartUpload,
  type UploadedPart,
} from '../../aws/multipart.ts';
import { type PlannedPart, planParts } from '../../aws/plan-parts.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import type { CatalogRecord } from '../../catalog/record.ts';
import type { CopyConfig } from '../../core/copies.ts';
import { errorFields } from '../../core/error-fields.ts';
import { AccessDeniedError, IntegrityError, NgbakError } from '../../core/errors.ts';
import { mapOrdered } from '../../core/ordered.ts';
import type { LegLimits } from '../environment.ts';
import { downloadName } from '../job/names.ts';
import type { CopiedArchive } from './progress.ts';

/** Parts copied at once. Copies only cost waiting time. */
const PARTS_AT_ONCE = 8;
const DAY_MS = 24 * 60 * 60 * 1000;

/** One copy of one archive, and the clients of both buckets. */
export interface Transfer extends LegLimits {
  readonly source: Bucket;
  /** Writes to the bucket of the copy. It may have no other permission. */
  readonly destination: Bucket;
  /** Reads the bucket of the copy, if that is permitted. */
  readonly reader: Bucket;
  readonly copy: CopyConfig;
  readonly record: Pick<CatalogRecord, 'job_id' | 'created_at' | 'archive'>;
  /** The upload that an earlier leg or attempt has begun. */
  readonly uploadId: string | undefined;
  /** Largest part in bytes, for tests of archives with several parts. */
  readonly partBytes?: number | undefined;
  /** Records a new upload, before any part of it is copied. */
  begun(uploadId: string): Promise<void>;
}

/** Settings of each object of a copy: it is encrypted and locked when it is created, not afterwards. */
export function objectSettings({ key_arn, lock }: CopyConfig, now: Date) {
  return {
    ...(key_arn === undefined
      ? {}
      : { ServerSideEncryption: 'aws:kms' as const, SSEKMSKeyId: key_arn, BucketKeyEnabled: true }),
    ...(lock === undefined
      ? {}
      : {
          ObjectLockMode: lock.mode === 'governance' ? ObjectLockMode.GOVERNANCE : ObjectLockMode.COMPLIANCE,
          ObjectLockRetainUntilDate: new Date(now.getTime() + lock.days * DAY_MS),
        }),
  };
}

/** Makes S3 refuse the request if another account owns the bucket. */
export const ownedBy = ({ account }: Pick<CopyConfig, 'account'>) =>
  account === undefined ? {} : { ExpectedBucketOwner: account };

/**
 * One leg of copying an archive within S3, part by part. What was copied is known from the list of parts of the upload,
 * so legs and attempts can be stopped at any instant and repeated. S3 creates the object only if its CRC-32 is the
 * recorded one, and only if no object has its key. Returns undefined while parts are missing. Throws IntegrityError if
 * the bytes differ, ConflictError if another object has the key.
 */
export async function transferArchive(transfer: Transfer): Promise<CopiedArchive | undefined> {
  const { source, copy, record } = transfer;
  if (copy.bucket === source.name) {
    throw new NgbakError(`The copy would be in the archive bucket ${source.name} itself.`, {
      remedy: 'Name another bucket under "copies" in cdk.json, and deploy.',
    });
  }
  let upload = uploadOf(transfer, transfer.uploadId);
  let uploaded = upload && (await listParts(upload, { signal: transfer.signal }));
  if (!upload || !uploaded) {
    // An earlier attempt may have completed it.
    const existing = await findCopied(transfer);
    if (existing && existing !== 'unknown') return existing;
    upload = await begin(transfer);
    await transfer.begun(upload.uploadId);
    uploaded = new Map();
  }
  const plan = planParts([record.archive.bytes], transfer.partBytes);
  if (!(await copyMissing(transfer, upload, plan, uploaded))) return undefined;
  return complete(transfer, upload, plan);
}

/** Gives up the upload of a copy, whose parts would be billed. Idempotent. */
export async function abortTransfer(
  transfer: Pick<Transfer, 'destination' | 'record' | 'uploadId'>,
): Promise<void> {
  const upload = uploadOf(transfer, transfer.uploadId);
  if (upload) await abortMultipart(upload);
}

function uploadOf(
  { destination, record }: Pick<Transfer, 'destination' | 'record'>,
  uploadId: string | undefined,
): MultipartUpload | undefined {
  return uploadId === undefined
    ? undefined
    : { s3: destination.s3, bucket: destination.name, key: record.archive.key, uploadId };
}

function begin({ destination, copy, record, signal }: Transfer): Promise<MultipartUpload> {
  return beginMultipart(
    destination.s3,
    {
      Bucket: destination.name,
      Key: record.archive.key,
      ContentType: mediaTypeOf(record.archive.codec),
      ContentDisposition: `attachment; filename="${downloadName(record)}"`,
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
      StorageClass: copy.storage_class,
      // As in the original: a catalog that is rebuilt from archives finds the job there.
      Metadata: { [OWNER]: record.job_id },
      ...objectSettings(copy, new Date()),
      ...ownedBy(copy),
    },
    { signal },
  );
}

/** Copies the missing parts, while time remains, but at least one. Returns whether all parts exist. */
async function copyMissing(
  { source, copy, record, signal, timeLeft }: Transfer,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
  uploaded: ReadonlyMap<number, UploadedPart>,
): Promise<boolean> {
  const missing = plan.filter(({ number, length }) => uploaded.get(number)?.bytes !== length);
  const { key, version_id } = record.archive;
  // This client adds no prefix to the key in the other bucket.
  const CopySource = copySource(source.name, source.fullKey(key), version_id);
  let started = 0;
  const inTime = (function* () {
    for (const part of missing) {
      if (started > 0 && timeLeft() <= 0) return;
      started++;
      yield part;
    }
  })();
  const copied = mapOrdered(inTime, PARTS_AT_ONCE, ({ number, length, ranges: [range] }) =>
    copyPart(
      upload,
      {
        PartNumber: number,
        CopySource,
        // S3 copies ranges only from objects larger than 5 MiB.
        ...(plan.length === 1 || !range
          ? {}
          : { CopySourceRange: `bytes=${range.from}-${range.from + length - 1}` }),
        ...ownedBy(copy),
      },
      { signal },
    ),
  );
  for await (const _ of copied);
  return started === missing.length;
}

async function complete(
  transfer: Transfer,
  upload: MultipartUpload,
  plan: readonly PlannedPart[],
): Promise<CopiedArchive> {
  const { copy, record, signal } = transfer;
  const { bytes, crc32 } = record.archive;
  const where = addressOf(upload.s3, upload.bucket, upload.key);
  const uploaded = (await listParts(upload, { signal })) ?? new Map<number, UploadedPart>();
  const Parts = plan.flatMap(({ number, length }) => {
    const part = uploaded.get(number);
    if (part?.bytes !== length) return [];
    return [
      {
        PartNumber: number,
        ETag: part.etag,
        ...(part.crc32 === undefined ? {} : { ChecksumCRC32: part.crc32 }),
      },
    ];
  });
  try {
    if (Parts.length < plan.length)
      throw Object.assign(new Error('parts are missing'), { name: 'NoSuchUpload' });
    const answer = await completeMultipart(
      upload,
      {
        MultipartUpload: { Parts },
        ChecksumCRC32: crc32,
        ChecksumType: 'FULL_OBJECT',
        MpuObjectSize: bytes,
        IfNoneMatch: '*',
        ...ownedBy(copy),
      },
      { signal, expected: ['PreconditionFailed', 'BadDigest'] },
    );
    if (answer.ChecksumCRC32 !== crc32) throw differs(where, `S3 states the CRC-32 ${answer.ChecksumCRC32}`);
    return { bytes, crc32, ...(answer.VersionId === undefined ? {} : { version_id: answer.VersionId }) };
  } catch (error) {
    const { name } = errorFields(error);
    if (name !== 'BadDigest' && name !== 'PreconditionFailed' && name !== 'NoSuchUpload') throw error;
    await abortMultipart(upload);
    if (name === 'BadDigest') throw differs(where, 'S3 did not create it', error);
    const existing = await findCopied(transfer);
    if (existing && existing !== 'unknown') return existing;
    if (existing === 'unknown' && name === 'PreconditionFailed') throw unreadable(where, error);
    throw new NgbakError(`The upload of ${where} no longer exists.`, {
      remedy: 'ngbak begins it again. If it happens again, check the lifecycle rules of the bucket.',
      retryable: true,
      cause: error,
    });
  }
}

function differs(where: string, what: string, cause?: unknown): IntegrityError {
  return new IntegrityError(
    `The bytes of the copy ${where} differ from those that the backup verified: ${what}.`,
    {
      remedy: 'Verify the original with `ngbak verify`. The copy is not used.',
      cause,
    },
  );
}

function unreadable(where: string, cause: unknown): ConflictError {
  return new ConflictError(`${where} exists already, and ngbak may not read it to check what it is.`, {
    remedy:
      'An attempt that was interrupted may have created it. Configure "readRoleArn" for the copy, so that it is checked; or remove it.',
    cause,
  });
}

/**
 * The archive of an earlier attempt. Undefined if there is none; `unknown` if it may not be read: S3 then gives the same
 * answer for objects that do not exist. Throws ConflictError if it is another one.
 */
async function findCopied({
  reader,
  record,
  signal,
}: Pick<Transfer, 'reader' | 'record' | 'signal'>): Promise<CopiedArchive | 'unknown' | undefined> {
  const { key: Key, bytes, crc32 } = record.archive;
  const head = new HeadObjectCommand({ Bucket: reader.name, Key, ChecksumMode: 'ENABLED' });
  try {
    const found = await sendS3(reader.s3, 'look at', head, { signal, expected: [404] });
    const version_id = found.VersionId === 'null' ? undefined : found.VersionId;
    if (found.ContentLength === bytes && found.ChecksumCRC32 === crc32) {
      return { bytes, crc32, ...(version_id === undefined ? {} : { version_id }) };
    }
    throw new ConflictError(
      `There is already another archive at ${addressOf(reader.s3, reader.name, Key)}.`,
      {
        remedy: 'Give each deployment a prefix of its own in the bucket; or remove that object.',
      },
    );
  } catch (error) {
    if (error instanceof AccessDeniedError) return 'unknown';
    if (errorFields(error).name === 'NotFound') return undefined;
    throw error;
  }
}

/**
 * Creates a small object of a copy, unless it exists. Returns false if it does.
 *
 * @param key  without the prefix of the copy
 */
export async function putObject(
  { destination, copy, signal }: Pick<Transfer, 'destination' | 'copy' | 'signal'>,
  key: string,
  Body: Uint8Array | string,
  ContentType: string,
): Promise<boolean> {
  const command = new PutObjectCommand({
    Bucket: destination.name,
    Key: key,
    Body,
    ContentType,
    IfNoneMatch: '*',
    // Required for objects that are locked when they are created.
    ChecksumAlgorithm: 'CRC32',
    ...objectSettings(copy, new Date()),
    ...ownedBy(copy),
  });
  try {
    await sendS3(destination.s3, 'write', command, { signal, expected: ['PreconditionFailed'] });
    return true;
  } catch (error) {
    if (errorFields(error).name === 'PreconditionFailed') return false;
    throw error;
  }
}
