import { NoSuchUpload, UploadPartCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import {
  abortMultipart,
  beginMultipart,
  completeMultipart,
  listParts,
  listPartsPage,
  type MultipartUpload,
  type UploadedPart as StoredPart,
} from '../../aws/multipart.ts';
import { PARTS_MAX } from '../../aws/plan-parts.ts';
import { InvalidInputError } from '../../core/errors.ts';

/**
 * Minimum size of a part of an upload, in bytes: above S3's 5 MiB, to justify a signature and a round trip, and small
 * enough for a browser to hold several parts in memory.
 */
const PART_BYTES_LEAST = 16 * 1024 ** 2;
const MIB = 1024 ** 2;
/** Missing or invalid parts that an error lists. */
const PARTS_SHOWN_MAX = 10;

/** How a file is divided: parts of equal size, except for a shorter last one. They are numbered from 1. */
export const UploadLayout = z.object({
  /** Size of the file in bytes. */
  bytes: z.number().int().positive(),
  /** Size of every part except the last, in bytes. */
  part_bytes: z.number().int().positive(),
  part_count: z.number().int().min(1).max(PARTS_MAX),
});
export type UploadLayout = z.infer<typeof UploadLayout>;

/** A multipart upload in S3. The id is of no use without credentials for the bucket. */
export interface OpenUpload {
  readonly key: string;
  readonly upload_id: string;
}

/** A part that S3 has received. */
export const ReceivedPart = z.object({
  number: z.number().int(),
  bytes: z.number().int(),
  etag: z.string(),
  /** SHA-256 of its bytes in hexadecimal, as computed by S3. Absent if the server does not keep it. */
  sha256: z.string().optional(),
});
export type ReceivedPart = z.infer<typeof ReceivedPart>;

/** Divides a file of this size into parts of whole MiB, at most 10,000 (S3 user guide, "multipart upload limits"). */
export function layoutOf(bytes: number): UploadLayout {
  const least = Math.ceil(bytes / PARTS_MAX / MIB) * MIB;
  const part_bytes = Math.max(PART_BYTES_LEAST, least);
  return { bytes, part_bytes, part_count: Math.ceil(bytes / part_bytes) };
}

/** Size of part `number` in bytes. Throws InvalidInputError if the layout has no such part. */
export function partLength({ bytes, part_bytes, part_count }: UploadLayout, number: number): number {
  if (!Number.isInteger(number) || number < 1 || number > part_count) {
    throw new InvalidInputError(`There is no part ${number} of this upload.`, {
      remedy: `Its parts have the numbers 1 to ${part_count}.`,
    });
  }
  return number < part_count ? part_bytes : bytes - (part_count - 1) * part_bytes;
}

/** Begins an upload of which S3 accepts parts only with their SHA-256. */
export async function beginUpload({ s3, name }: Bucket, key: string): Promise<string> {
  const { uploadId } = await beginMultipart(s3, {
    Bucket: name,
    Key: key,
    ContentType: 'application/octet-stream',
    ChecksumAlgorithm: 'SHA256',
    ChecksumType: 'COMPOSITE',
  });
  return uploadId;
}

/**
 * Presigns the PUT of one part: exactly this number, this many bytes and this SHA-256.
 *
 * @param sha256   hexadecimal
 * @param seconds  how long the upload of the part may begin
 */
export async function presignPart(
  bucket: Bucket,
  upload: OpenUpload,
  part: { number: number; bytes: number; sha256: string },
  seconds: number,
): Promise<{ url: string; headers: Record<string, string> }> {
  const checksum = Buffer.from(part.sha256, 'hex').toString('base64');
  const url = await getSignedUrl(
    bucket.s3,
    new UploadPartCommand({
      Bucket: bucket.name,
      Key: upload.key,
      UploadId: upload.upload_id,
      PartNumber: part.number,
      ContentLength: part.bytes,
      ChecksumSHA256: checksum,
    }),
    {
      expiresIn: seconds,
      signableHeaders: new Set(['host', 'content-length', 'x-amz-checksum-sha256']),
      // Kept as a header, because S3 ignores the value of a checksum in the query.
      unhoistableHeaders: new Set(['x-amz-checksum-sha256']),
    },
  );
  return { url, headers: { 'x-amz-checksum-sha256': checksum } };
}

function multipartOf({ s3, name }: Bucket, { key, upload_id }: OpenUpload): MultipartUpload {
  return { s3, bucket: name, key, uploadId: upload_id };
}

/**
 * A page of the parts that S3 has received, in the order of their numbers. Undefined if there is no such upload, or no
 * longer.
 */
export async function listUploadedParts(
  bucket: Bucket,
  upload: OpenUpload,
  after = 0,
): Promise<{ parts: ReceivedPart[]; next: number | undefined } | undefined> {
  const page = await listPartsPage(multipartOf(bucket, upload), after);
  return page && { ...page, parts: page.parts.map(inHexadecimal) };
}

function inHexadecimal({ sha256, number, bytes, etag }: StoredPart): ReceivedPart {
  const digest = sha256 === undefined ? {} : { sha256: Buffer.from(sha256, 'base64').toString('hex') };
  return { number, bytes, etag, ...digest };
}

/**
 * Completes the upload after checking that S3 has every part with the right size. Returns false if there is no such
 * upload, or no longer. Throws InvalidInputError, which names the parts that are missing or have another size.
 */
export async function completeUpload(
  bucket: Bucket,
  upload: OpenUpload,
  layout: UploadLayout,
): Promise<boolean> {
  const multipart = multipartOf(bucket, upload);
  const parts = await listParts(multipart);
  if (!parts) return false;
  const numbers = Array.from({ length: layout.part_count }, (_, index) => index + 1);
  const wrong = numbers.filter((number) => parts.get(number)?.bytes !== partLength(layout, number));
  if (wrong.length > 0) {
    const numbers = wrong.slice(0, PARTS_SHOWN_MAX).join(', ');
    const more = wrong.length > PARTS_SHOWN_MAX ? ` and ${wrong.length - PARTS_SHOWN_MAX} more` : '';
    throw new InvalidInputError(
      `The upload is incomplete: ${wrong.length} of ${layout.part_count} parts are missing or have another size: ${numbers}${more}.`,
      { remedy: 'Upload these parts, then complete it.' },
    );
  }
  const Parts = numbers.map((number) => {
    const { etag, sha256 } = parts.get(number) ?? {};
    return { PartNumber: number, ETag: etag, ...(sha256 === undefined ? {} : { ChecksumSHA256: sha256 }) };
  });
  try {
    await completeMultipart(multipart, { ChecksumType: 'COMPOSITE', MultipartUpload: { Parts } });
    return true;
  } catch (error) {
    if (error instanceof NoSuchUpload) return false;
    throw error;
  }
}

/** Aborts an upload and removes its parts. Idempotent. */
export async function abortUpload(bucket: Bucket, upload: OpenUpload): Promise<void> {
  await abortMultipart(multipartOf(bucket, upload));
}
