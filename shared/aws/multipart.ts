import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandInput,
  type CompleteMultipartUploadCommandOutput,
  CreateMultipartUploadCommand,
  type CreateMultipartUploadCommandInput,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListPartsCommand,
  type S3Client,
  UploadPartCommand,
  type UploadPartCommandInput,
  UploadPartCopyCommand,
  type UploadPartCopyCommandInput,
} from '@aws-sdk/client-s3';
import { errorFields } from '../core/error-fields.ts';
import { NgbakError } from '../core/errors.ts';
import { addressOf } from './address.ts';
import { LONG_TIMEOUT, type S3CallOptions, sendS3 } from './send-s3.ts';

/** A multipart upload that S3 has begun. Its id is useless without credentials for the bucket. */
export interface MultipartUpload {
  readonly s3: S3Client;
  readonly bucket: string;
  readonly key: string;
  readonly uploadId: string;
}

/** A part that S3 has received. */
export interface UploadedPart {
  /** From 1. */
  readonly number: number;
  readonly bytes: number;
  readonly etag: string;
  /** Base64, as calculated by S3; absent if the upload uses another checksum. */
  readonly crc32?: string;
  readonly sha256?: string;
  /** When S3 received it. */
  readonly modified?: Date;
}

type Named = 'Bucket' | 'Key' | 'UploadId';
type Options = Pick<S3CallOptions, 'signal' | 'timeout'>;

const idOf = ({ bucket: Bucket, key: Key, uploadId: UploadId }: MultipartUpload) => ({
  Bucket,
  Key,
  UploadId,
});

/** Begins an upload. Nothing is visible under its key before it is completed. */
export async function beginMultipart(
  s3: S3Client,
  input: CreateMultipartUploadCommandInput & { readonly Bucket: string; readonly Key: string },
  options: Options = {},
): Promise<MultipartUpload> {
  const { UploadId } = await sendS3(s3, 'begin', new CreateMultipartUploadCommand(input), options);
  if (UploadId !== undefined) return { s3, bucket: input.Bucket, key: input.Key, uploadId: UploadId };
  throw new NgbakError(`S3 started an upload of ${addressOf(s3, input.Bucket, input.Key)} without an ID.`, {
    remedy: 'Check the S3 endpoint: this is not a response of S3.',
  });
}

/** Sends a part; returns its ETag. The body is bytes, not a stream, so that the call can be retried. */
export async function sendPart(
  upload: MultipartUpload,
  part: Omit<UploadPartCommandInput, Named | 'Body'> & { readonly Body: Uint8Array },
  options: Options = {},
): Promise<string | undefined> {
  const command = new UploadPartCommand({ ...idOf(upload), ...part });
  return (await sendS3(upload.s3, `write part ${part.PartNumber} of`, command, options)).ETag;
}

/** The value of `CopySource` for an object, by its full key, or for one version of it. */
export function copySource(bucket: string, fullKey: string, versionId: string | undefined): string {
  const path = `${bucket}/${fullKey}`.split('/').map(encodeURIComponent).join('/');
  return versionId === undefined ? path : `${path}?versionId=${encodeURIComponent(versionId)}`;
}

/** Copies a part from another object, within S3. */
export async function copyPart(
  upload: MultipartUpload,
  part: Omit<UploadPartCopyCommandInput, Named>,
  options: Options = {},
): Promise<void> {
  const command = new UploadPartCopyCommand({ ...idOf(upload), ...part });
  await sendS3(upload.s3, `copy part ${part.PartNumber} of`, command, { timeout: LONG_TIMEOUT, ...options });
}

/**
 * A page of the parts that S3 has, in the order of their numbers; undefined if the upload does not exist (any more).
 */
export async function listPartsPage(
  upload: MultipartUpload,
  after = 0,
  options: Options = {},
): Promise<{ parts: UploadedPart[]; next: number | undefined } | undefined> {
  const PartNumberMarker = after === 0 ? undefined : String(after);
  const command = new ListPartsCommand({ ...idOf(upload), PartNumberMarker });
  const page = await sendS3(upload.s3, 'list the parts of', command, {
    ...options,
    expected: ['NoSuchUpload'],
  }).catch(unlessGone);
  if (page === undefined) return undefined;
  const parts = (page.Parts ?? []).map(
    ({ PartNumber = 0, Size = 0, ETag = '', ChecksumCRC32, ChecksumSHA256, LastModified }) => ({
      number: PartNumber,
      bytes: Size,
      etag: ETag,
      ...(ChecksumCRC32 === undefined ? {} : { crc32: ChecksumCRC32 }),
      ...(ChecksumSHA256 === undefined ? {} : { sha256: ChecksumSHA256 }),
      ...(LastModified === undefined ? {} : { modified: LastModified }),
    }),
  );
  // Checks IsTruncated instead of using the SDK's paginator: S3 sends a next marker on the last page, too.
  return { parts, next: page.IsTruncated ? Number(page.NextPartNumberMarker) : undefined };
}

/** All parts that S3 has, by number: 10,000 at most. Undefined if the upload does not exist (any more). */
export async function listParts(
  upload: MultipartUpload,
  options: Options = {},
): Promise<Map<number, UploadedPart> | undefined> {
  const parts = new Map<number, UploadedPart>();
  for (let after: number | undefined = 0; after !== undefined; ) {
    const page = await listPartsPage(upload, after, options);
    if (!page) return undefined;
    for (const part of page.parts) parts.set(part.number, part);
    after = page.next;
  }
  return parts;
}

/**
 * Completes an upload. Errors named in `expected` are thrown unchanged. `NoSuchUpload` is always among them, because
 * the response to an earlier attempt may have been lost.
 */
export function completeMultipart(
  upload: MultipartUpload,
  input: Omit<CompleteMultipartUploadCommandInput, Named>,
  { expected = [], ...options }: Options & Pick<S3CallOptions, 'expected'> = {},
): Promise<CompleteMultipartUploadCommandOutput> {
  const command = new CompleteMultipartUploadCommand({ ...idOf(upload), ...input });
  return sendS3(upload.s3, 'complete', command, {
    ...options,
    timeout: LONG_TIMEOUT,
    expected: ['NoSuchUpload', ...expected],
  });
}

/** Removes an upload with its parts. Idempotent. */
export async function abortMultipart(upload: MultipartUpload): Promise<void> {
  const command = new AbortMultipartUploadCommand(idOf(upload));
  await sendS3(upload.s3, 'abort the upload of', command, { expected: ['NoSuchUpload'] }).catch(unlessGone);
}

/** An upload that was neither completed nor aborted. */
export interface UnfinishedUpload extends MultipartUpload {
  readonly initiated: Date | undefined;
  /** Who began it: an ARN, or an account id. */
  readonly initiator: string | undefined;
}

/** Every unfinished upload whose key starts with `prefix`. */
export async function* listMultiparts(
  s3: S3Client,
  bucket: string,
  prefix: string,
): AsyncGenerator<UnfinishedUpload> {
  let marker: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
  while (marker !== undefined) {
    const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker });
    const page: ListMultipartUploadsCommandOutput = await sendS3(s3, 'list the uploads of', command);
    for (const { Key: key, UploadId: uploadId, Initiated: initiated, Initiator } of page.Uploads ?? []) {
      if (key === undefined || uploadId === undefined) continue;
      yield { s3, bucket, key, uploadId, initiated, initiator: Initiator?.ID };
    }
    marker = page.IsTruncated
      ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      : undefined;
  }
}

/**
 * Aborts every unfinished upload whose key starts with `prefix` (with `exact`: is `prefix`), so that its parts are no
 * longer billed. Returns the number of aborted uploads. Idempotent.
 */
export async function abortMultiparts(
  s3: S3Client,
  bucket: string,
  prefix: string,
  { exact = false }: { readonly exact?: boolean } = {},
): Promise<number> {
  let aborted = 0;
  for await (const upload of listMultiparts(s3, bucket, prefix)) {
    if (exact && upload.key !== prefix) continue;
    await abortMultipart(upload);
    aborted++;
  }
  return aborted;
}

function unlessGone(error: unknown): undefined {
  if (errorFields(error).name !== 'NoSuchUpload') throw error;
}
