import { crc32 } from 'node:zlib';
import { HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { BufferPool } from '../core/buffer-pool.ts';
import { coalesce } from '../core/byte-reader.ts';
import { crc32Base64 } from '../core/crc32.ts';
import { errorFields } from '../core/error-fields.ts';
import { mapOrdered } from '../core/ordered.ts';
import { addressOf } from './address.ts';
import { abortMultipart, beginMultipart, completeMultipart, sendPart } from './multipart.ts';
import { explainS3Error } from './s3-error.ts';
import { sendS3 } from './send-s3.ts';

/** Size of a part, in bytes: the minimum of S3. 10,000 of them are 48 GiB, well above any segment. */
export const PART_BYTES = 5 * 1024 ** 2;
/** Parts sent at once, each held in memory: S3 takes two far faster than a function can compress a third. */
const PARTS_AT_ONCE = 2;

export interface StreamUpload {
  readonly s3: S3Client;
  readonly bucket: string;
  readonly key: string;
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly contentType?: string;
  /** Bytes of a part; 10,000 parts must be enough for the stream. */
  readonly partBytes?: number;
  /** Allocates the memory of all parts at the start, even if the stream turns out to be shorter than one. */
  readonly reserve?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Timeout of one call, after which it is retried, in milliseconds. */
  readonly timeout?: number;
}

export interface UploadedStream {
  readonly bytes: number;
  readonly crc32: number;
  readonly etag: string | undefined;
}

/**
 * Streams chunks of unknown total size into one object, which is created completely or not at all. S3 receives the
 * CRC-32 of the whole and rejects anything else. If a part fails, reading stops at once, and the upload is aborted
 * before the error is thrown (lib-storage's Upload reads its stream to the end first, and aborts in the background).
 * Memory: `PARTS_AT_ONCE` + 1 parts.
 */
export async function uploadStream(upload: StreamUpload): Promise<UploadedStream> {
  const pool = new BufferPool(upload.partBytes ?? PART_BYTES, upload.reserve ? PARTS_AT_ONCE + 1 : 0);
  const parts = coalesce(upload.chunks, pool);
  try {
    return await sendParts(upload, parts, pool);
  } finally {
    // Closes the source of the chunks, even if it was not read to its end.
    await parts.return(undefined);
  }
}

async function sendParts(
  upload: StreamUpload,
  parts: AsyncGenerator<Buffer>,
  pool: BufferPool,
): Promise<UploadedStream> {
  const { s3, bucket: Bucket, key: Key, signal } = upload;
  const where = addressOf(s3, Bucket, Key);
  const callOptions = { signal, ...(upload.timeout === undefined ? {} : { timeout: upload.timeout }) };
  const ContentType = upload.contentType ?? 'application/octet-stream';
  const first = await parts.next();
  const body = first.done ? Buffer.alloc(0) : first.value;
  if (body.length < (upload.partBytes ?? PART_BYTES)) {
    if (!first.done) await parts.next();
    const crc = crc32(body);
    const put = new PutObjectCommand({
      Bucket,
      Key,
      Body: body,
      ContentType,
      ChecksumCRC32: crc32Base64(crc),
    });
    const { ETag } = await sendS3(s3, 'write', put, callOptions);
    return { bytes: body.length, crc32: crc, etag: ETag };
  }
  const multipart = await beginMultipart(
    s3,
    { Bucket, Key, ContentType, ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' },
    callOptions,
  );
  try {
    let bytes = 0;
    let crc = 0;
    const numbered = (async function* () {
      let number = 0;
      for (let next: IteratorResult<Buffer> = first; !next.done; next = await parts.next()) {
        bytes += next.value.length;
        crc = crc32(next.value, crc);
        yield { PartNumber: ++number, Body: next.value };
      }
    })();
    const Parts: { PartNumber: number; ETag: string | undefined; ChecksumCRC32: string | undefined }[] = [];
    const sent = mapOrdered(numbered, PARTS_AT_ONCE, async ({ PartNumber, Body }) => {
      const ChecksumCRC32 = crc32Base64(crc32(Body));
      const ETag = await sendPart(multipart, { PartNumber, Body, ChecksumCRC32 }, callOptions);
      // If an abandoned socket still reads the buffer, S3 rejects what it sends: the CRC-32 differs.
      pool.give(Body);
      return { PartNumber, ETag, ChecksumCRC32 };
    });
    for await (const part of sent) Parts.push(part);
    const ETag = await completeMultipart(
      multipart,
      {
        MultipartUpload: { Parts },
        ChecksumCRC32: crc32Base64(crc),
        ChecksumType: 'FULL_OBJECT',
      },
      { signal },
    ).then(
      (answer) => answer.ETag,
      (error) => findCompleted(upload, bytes, crc, error),
    );
    return { bytes, crc32: crc, etag: ETag };
  } catch (error) {
    // Without `signal`: an abort must not prevent the cleanup.
    await abortMultipart(multipart).catch((second) => {
      throw new AggregateError([error, second], `Uploading ${where} failed, and so did aborting it`);
    });
    throw error;
  }
}

/**
 * The ETag of an upload that was completed by a call whose response was lost: its retry no longer finds the upload.
 * Throws the original error if the object is not the one that was sent.
 */
async function findCompleted(
  { s3, bucket: Bucket, key: Key, signal }: StreamUpload,
  bytes: number,
  crc: number,
  error: unknown,
): Promise<string | undefined> {
  if (errorFields(error).name !== 'NoSuchUpload') throw error;
  const head = new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' });
  const found = await sendS3(s3, 'read', head, { signal });
  if (found.ContentLength === bytes && found.ChecksumCRC32 === crc32Base64(crc)) return found.ETag;
  throw explainS3Error(error, 'complete', addressOf(s3, Bucket, Key));
}
