import { crc32 } from 'node:zlib';
import { HeadObjectCommand, type HeadObjectCommandOutput, PutObjectCommand } from '@aws-sdk/client-s3';
import { objectSource } from '../archive/read/sources.ts';
import { OWNER } from '../archive/write/compose.ts';
import { addressOf } from '../aws/address.ts';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { archiveKey, signatureKey } from '../aws/keys.ts';
import {
  abortMultipart,
  beginMultipart,
  completeMultipart,
  copyPart,
  copySource,
  listMultiparts,
  listParts,
  type MultipartUpload,
  sendPart,
  type UploadedPart,
} from '../aws/multipart.ts';
import { PARTS_MAX, planParts } from '../aws/plan-parts.ts';
import { archivedObject } from '../aws/s3-error.ts';
import { sendS3 } from '../aws/send-s3.ts';
import { readSignature } from '../catalog/signature.ts';
import { crc32Base64 } from '../core/crc32.ts';
import { errorFields } from '../core/error-fields.ts';
import { IntegrityError, NgbakError } from '../core/errors.ts';
import { mapOrdered } from '../core/ordered.ts';

/** Parts copied by S3 at once. Copies only cost waiting time. */
const COPIES_AT_ONCE = 8;
/** Size of a part that passes through this machine, in bytes, unless 10,000 of them are not enough. */
const STREAMED_BYTES = 16 * 1024 ** 2;
/** Memory for parts that pass through this machine, in bytes. */
const STREAMED_WINDOW = 256 * 1024 ** 2;
/** Most parts that pass through this machine at once. */
const STREAMS_AT_ONCE = 4;

/** An archive in another bucket, and the bucket of this deployment. */
export interface Import {
  /** Reads the other bucket. */
  readonly source: Bucket;
  /** Writes to the bucket of the deployment. */
  readonly destination: Bucket;
  readonly backupId: string;
  /** The bytes pass through this machine: the credentials that write must not be able to read the other bucket. */
  readonly streamed: boolean;
  /** Size of a part of a streamed archive, in bytes, for tests. */
  readonly partBytes?: number;
  readonly signal?: AbortSignal | undefined;
  progress?(bytesDone: number, bytesTotal: number): void;
}

interface Part {
  /** From 1. */
  readonly number: number;
  readonly from: number;
  readonly length: number;
}

/**
 * Copies an archive and its signature from another bucket into that of the deployment, unless they are there. S3 knows
 * which parts have arrived, so an interrupted import is continued. The object appears once it is complete, and replaces
 * none. Memory: 256 MiB at most. Returns false if the archive was there already. Throws ConflictError if another one
 * has its key, ObjectArchivedError if it has to be thawed first, IntegrityError if S3 received other bytes.
 */
export async function importArchive(transfer: Import): Promise<boolean> {
  const { source, backupId, signal } = transfer;
  const Key = archiveKey(backupId);
  const head = await sendS3(
    source.s3,
    'look at',
    new HeadObjectCommand({ Bucket: source.name, Key, ChecksumMode: 'ENABLED' }),
    { signal },
  );
  const archived = archivedObject(head, addressOf(source.s3, source.name, Key));
  if (archived) throw archived;
  await importSignature(transfer);
  if (await exists(transfer, head)) return false;
  const upload = (await resumable(transfer)) ?? (await begin(transfer, head));
  const parts = partsOf(head.ContentLength ?? 0, transfer);
  const uploaded = (await listParts(upload, { signal })) ?? new Map<number, UploadedPart>();
  await sendMissing(transfer, head, upload, parts, uploaded);
  await complete(transfer, head, upload, parts);
  return true;
}

/** The upload that an interrupted import has begun. */
async function resumable({ destination, backupId }: Import): Promise<MultipartUpload | undefined> {
  const key = archiveKey(backupId);
  let newest: MultipartUpload | undefined;
  // In the order in which they began.
  for await (const upload of listMultiparts(destination.s3, destination.name, key)) {
    if (upload.key === key) newest = upload;
  }
  return newest;
}

function begin(
  { destination, backupId, signal }: Import,
  { ContentType, ContentDisposition, Metadata }: HeadObjectCommandOutput,
): Promise<MultipartUpload> {
  return beginMultipart(
    destination.s3,
    {
      Bucket: destination.name,
      Key: archiveKey(backupId),
      ...(ContentType === undefined ? {} : { ContentType }),
      ...(ContentDisposition === undefined ? {} : { ContentDisposition }),
      // Copies that were made without ngbak may lack the job. Its record needs one.
      Metadata: { [OWNER]: Metadata?.[OWNER] ?? `recovered_${backupId}`.slice(0, 80) },
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    },
    { signal },
  );
}

/** Depends only on the size, so every attempt computes the same parts. */
function partsOf(size: number, { streamed, partBytes = STREAMED_BYTES }: Import): Part[] {
  if (!streamed) {
    return planParts([size]).map(({ number, length, ranges }) => ({
      number,
      length,
      from: ranges[0]?.from ?? 0,
    }));
  }
  const unit = 1024 ** 2;
  const length = Math.max(partBytes, Math.ceil(size / PARTS_MAX / unit) * unit);
  if (length > STREAMED_WINDOW) {
    throw new NgbakError(`An archive of ${size} bytes is too large to pass through this machine.`, {
      remedy:
        'Let the credentials that write the new bucket read the copy as well, and leave out --role: S3 then copies it by itself.',
    });
  }
  return Array.from({ length: Math.ceil(size / length) }, (_, index) => ({
    number: index + 1,
    from: index * length,
    length: Math.min(length, size - index * length),
  }));
}

async function sendMissing(
  transfer: Import,
  head: HeadObjectCommandOutput,
  upload: MultipartUpload,
  parts: readonly Part[],
  uploaded: ReadonlyMap<number, UploadedPart>,
): Promise<void> {
  const { streamed, signal } = transfer;
  const missing = parts.filter(({ number, length }) => uploaded.get(number)?.bytes !== length);
  const total = head.ContentLength ?? 0;
  let done = total - missing.reduce((sum, { length }) => sum + length, 0);
  transfer.progress?.(done, total);
  const largest = Math.max(1, parts[0]?.length ?? 1);
  const atOnce = streamed
    ? Math.max(1, Math.min(STREAMS_AT_ONCE, Math.floor(STREAMED_WINDOW / largest)))
    : COPIES_AT_ONCE;
  const send = streamed ? streamPart : copyByS3;
  const sent = mapOrdered(missing, atOnce, async (part) => {
    signal?.throwIfAborted();
    await send(transfer, head, upload, part, parts.length);
    return part.length;
  });
  for await (const length of sent) {
    done += length;
    transfer.progress?.(done, total);
  }
}

async function copyByS3(
  { source, backupId, signal }: Import,
  { VersionId }: HeadObjectCommandOutput,
  upload: MultipartUpload,
  { number, from, length }: Part,
  parts: number,
): Promise<void> {
  // The client that writes adds no prefix to keys of the other bucket.
  const key = source.fullKey(archiveKey(backupId));
  await copyPart(
    upload,
    {
      PartNumber: number,
      CopySource: copySource(source.name, key, versionOf(VersionId)),
      // S3 copies ranges only from objects larger than 5 MiB.
      ...(parts === 1 ? {} : { CopySourceRange: `bytes=${from}-${from + length - 1}` }),
    },
    { signal },
  );
}

async function streamPart(
  { source, backupId, signal }: Import,
  { VersionId, ETag: etag = '', ContentLength: size = 0 }: HeadObjectCommandOutput,
  upload: MultipartUpload,
  { number, from, length }: Part,
): Promise<void> {
  const object = {
    bucket: source.name,
    key: archiveKey(backupId),
    size,
    etag,
    versionId: versionOf(VersionId),
  };
  const body = Buffer.allocUnsafe(length);
  let filled = 0;
  for await (const chunk of objectSource(source.s3, object).read(from, length)) {
    signal?.throwIfAborted();
    body.set(chunk, filled);
    filled += chunk.length;
  }
  await sendPart(
    upload,
    { PartNumber: number, Body: body, ChecksumCRC32: crc32Base64(crc32(body)) },
    { signal },
  );
}

/** S3 creates the object only if its CRC-32 is that of the copy, as far as S3 states one for the copy. */
async function complete(
  transfer: Import,
  head: HeadObjectCommandOutput,
  upload: MultipartUpload,
  parts: readonly Part[],
): Promise<void> {
  const { signal } = transfer;
  const where = addressOf(upload.s3, upload.bucket, upload.key);
  const uploaded = (await listParts(upload, { signal })) ?? new Map<number, UploadedPart>();
  const Parts = parts.map(({ number }) => {
    const { etag, crc32: checksum } = uploaded.get(number) ?? {};
    return { PartNumber: number, ETag: etag, ...(checksum === undefined ? {} : { ChecksumCRC32: checksum }) };
  });
  const ChecksumCRC32 = fullChecksum(head);
  try {
    await completeMultipart(
      upload,
      {
        MultipartUpload: { Parts },
        ChecksumType: 'FULL_OBJECT',
        ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }),
        MpuObjectSize: head.ContentLength,
        IfNoneMatch: '*',
      },
      { signal, expected: ['PreconditionFailed', 'BadDigest'] },
    );
  } catch (error) {
    const { name } = errorFields(error);
    // The response to an earlier attempt may have been lost, or another import may have been faster.
    if (['NoSuchUpload', 'PreconditionFailed'].includes(name) && (await exists(transfer, head))) return;
    if (name !== 'BadDigest') throw error;
    await abortMultipart(upload);
    throw new IntegrityError(`The bytes that arrived for ${where} differ from those of the copy.`, {
      remedy: 'Start again: it is copied from the beginning. If it happens again, use another copy.',
      cause: error,
    });
  }
}

/** The checksum of the whole object, base64, if S3 states it. */
function fullChecksum({ ChecksumCRC32, ChecksumType }: HeadObjectCommandOutput): string | undefined {
  return ChecksumType === 'COMPOSITE' || ChecksumCRC32?.includes('-') ? undefined : ChecksumCRC32;
}

/** Whether the deployment has the archive. Throws ConflictError if another object has its key. */
async function exists(
  { destination, backupId, signal }: Import,
  head: HeadObjectCommandOutput,
): Promise<boolean> {
  const command = new HeadObjectCommand({
    Bucket: destination.name,
    Key: archiveKey(backupId),
    ChecksumMode: 'ENABLED',
  });
  const found = await sendS3(destination.s3, 'look at', command, { signal, expected: [404] }).catch(
    (error) => {
      if (errorFields(error).name !== 'NotFound') throw error;
      return undefined;
    },
  );
  if (!found) return false;
  const [own, other] = [fullChecksum(found), fullChecksum(head)];
  const isSame = own === undefined || other === undefined || own === other;
  if (found.ContentLength === head.ContentLength && isSame) return true;
  throw occupied(destination, archiveKey(backupId));
}

function occupied({ s3, name }: Bucket, key: string): ConflictError {
  return new ConflictError(`There is already another object at ${addressOf(s3, name, key)}.`, {
    remedy: 'Find out who wrote it. To recover the copy, delete that object first.',
  });
}

/** Copies the signature beside the archive, if there is one. */
async function importSignature({ source, destination, backupId, signal }: Import): Promise<void> {
  const key = archiveKey(backupId);
  const given = await readSignature(source, key);
  if (!given) return;
  const command = new PutObjectCommand({
    Bucket: destination.name,
    Key: signatureKey(key),
    Body: given.bytes,
    ContentType: 'application/octet-stream',
    IfNoneMatch: '*',
  });
  await sendS3(destination.s3, 'write', command, { signal, expected: ['PreconditionFailed'] }).catch(
    async (error) => {
      if (errorFields(error).name !== 'PreconditionFailed') throw error;
      const existing = await readSignature(destination, key);
      if (!existing || !Buffer.from(existing.bytes).equals(Buffer.from(given.bytes))) {
        throw occupied(destination, signatureKey(key));
      }
    },
  );
}

/** S3 states "null" for objects without versions. */
function versionOf(versionId: string | undefined): string | undefined {
  return versionId === 'null' ? undefined : versionId;
}
