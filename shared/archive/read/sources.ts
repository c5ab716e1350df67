import { type FileHandle, open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3';
import { addressOf } from '../../aws/address.ts';
import { explainS3Error, isTransient } from '../../aws/s3-error.ts';
import { sendS3 } from '../../aws/send-s3.ts';
import { errorFields } from '../../core/error-fields.ts';
import { IntegrityError, InvalidInputError } from '../../core/errors.ts';
import type { ByteSource } from '../format/types.ts';

/** Bytes of one read of a local file. */
const FILE_CHUNK_BYTES = 1024 ** 2;
/** How often in a row a read of S3 may be cut off without progress. */
const STALLS_MAX = 5;

/** Timeout for the next bytes of a response, in milliseconds. */
const SILENCE = 30_000;

/** A source with an open resource. */
export interface ClosableSource extends ByteSource {
  close(): Promise<void>;
}

/** A local file. Throws InvalidInputError if it does not exist or can't be read. */
export async function fileSource(path: string): Promise<ClosableSource> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new InvalidInputError(`File ${path} can't be read.`, {
      remedy: 'Check its name and permissions.',
      cause,
    });
  }
  const stat = await file.stat();
  if (!stat.isFile()) {
    await file.close();
    throw new InvalidInputError(`${path} is not a file.`, {
      remedy: 'Give the path of an archive (.ngbak).',
    });
  }
  return {
    name: path,
    size: stat.size,
    async *read(offset, length) {
      for (let at = offset; at < offset + length; ) {
        const wanted = Math.min(FILE_CHUNK_BYTES, offset + length - at);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
        if (bytesRead === 0) throw shrunk(path, stat.size);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
    close: () => file.close(),
  };
}

function shrunk(name: string, size: number): IntegrityError {
  return new IntegrityError(`${name} ended before the ${size} bytes it had when it was opened.`, {
    remedy: 'Another process is changing it. Use a copy that is not being modified.',
  });
}

/** Bytes in memory. */
export function bufferSource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async *read(offset, length) {
      if (offset + length > bytes.length) throw shrunk(name, bytes.length);
      if (length > 0) yield bytes.subarray(offset, offset + length);
    },
  };
}

/**
 * An object in S3, read by ranges. All of them come from the version that existed when it was opened: a changed
 * object is an IntegrityError. A read that is cut off resumes where it stopped. Throws InvalidInputError if the
 * object does not exist.
 */
export async function s3Source(
  s3: S3Client,
  bucket: string,
  key: string,
  versionId?: string,
): Promise<ByteSource> {
  const name = addressOf(s3, bucket, key);
  const version = versionId === undefined ? {} : { VersionId: versionId };
  const head = new HeadObjectCommand({ Bucket: bucket, Key: key, ...version });
  const { ContentLength: size, ETag } = await sendS3(s3, 'read', head, {
    expected: ['NotFound', 'NoSuchKey'],
  }).catch((error) => {
    if (!['NotFound', 'NoSuchKey'].includes(errorFields(error).name)) throw error;
    throw new InvalidInputError(`There is no object ${name}.`, {
      remedy: 'Check bucket and key; it may have been removed.',
      cause: error,
    });
  });
  if (size === undefined || ETag === undefined) {
    throw new InvalidInputError(`${name} has no size or ETag.`, { remedy: 'Check the endpoint.' });
  }
  return objectSource(s3, { bucket, key, versionId, size, etag: ETag });
}

/** An object whose size and ETag are already known. */
export function objectSource(
  s3: S3Client,
  object: {
    bucket: string;
    key: string;
    versionId?: string | undefined;
    size: number;
    etag: string;
    /** Timeout for the next bytes of a response, in milliseconds. */
    silence?: number;
  },
): ByteSource {
  const { bucket, key, versionId, size, etag: ETag, silence = SILENCE } = object;
  const name = addressOf(s3, bucket, key);
  const version = versionId === undefined ? {} : { VersionId: versionId };
  return {
    name,
    size,
    async *read(offset, length) {
      const end = offset + length;
      let stalls = 0;
      for (let at = offset; at < end; ) {
        const Range = `bytes=${at}-${end - 1}`;
        const before = at;
        const get = new GetObjectCommand({ Bucket: bucket, Key: key, Range, IfMatch: ETag, ...version });
        try {
          const { Body, ContentRange } = await sendS3(s3, 'read', get, { expected: ['PreconditionFailed'] });
          if (!(Body instanceof Readable)) throw new TypeError('S3 responded without a body');
          // A server may answer with more than the range (RFC 9110, 14.2), then without stating a range.
          let position = ContentRange === undefined ? 0 : Number(/^bytes (\d+)-/.exec(ContentRange)?.[1]);
          for await (const chunk of notSilent(Body, silence)) {
            const wanted = chunk.subarray(Math.max(0, at - position), Math.max(0, end - position));
            position += chunk.length;
            // Advanced before the chunk is yielded, so that no chunk is yielded twice.
            at += wanted.length;
            if (wanted.length > 0) yield wanted;
            if (at === end && ContentRange === undefined) return;
          }
          if (at < end) throw Object.assign(new Error('S3 ended its response early'), { code: 'ECONNRESET' });
        } catch (error) {
          if (errorFields(error).name === 'PreconditionFailed') {
            throw new IntegrityError(`${name} was replaced while it was read.`, {
              remedy: 'Start again when nothing is writing to it.',
              cause: error,
            });
          }
          stalls = at > before ? 0 : stalls + 1;
          if (stalls >= STALLS_MAX || !isTransient(error)) throw explainS3Error(error, 'read', name);
        }
      }
    },
  };
}

/** Passes on chunks; closes the connection if the next one takes longer than `silence` milliseconds. */
async function* notSilent(body: Readable, silence: number): AsyncGenerator<Uint8Array> {
  const chunks = body[Symbol.asyncIterator]();
  const silent = Object.assign(new Error(`S3 sent nothing for ${silence / 1000} s`), { code: 'ETIMEDOUT' });
  try {
    for (;;) {
      // Only the wait for S3 is limited, not the time that the consumer takes.
      const timer = setTimeout(() => body.destroy(silent), silence);
      const next = await chunks.next().finally(() => clearTimeout(timer));
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await chunks.return?.();
  }
}
