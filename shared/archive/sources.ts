import type { S3Client } from '@aws-sdk/client-s3';
import type { ByteSource } from './types.ts';

/** A local file. Throws InvalidInputError where there is none. */
export async function fileSource(path: string): Promise<ByteSource> {
  throw new Error(`not yet: ${path}`);
}

/** An object in S3, read by ranges that all come from the same version of it. */
export async function s3Source(
  _s3: S3Client,
  bucket: string,
  key: string,
  _versionId?: string,
): Promise<ByteSource> {
  throw new Error(`not yet: ${bucket}/${key}`);
}

/** Bytes in memory. */
export function bufferSource(name: string, _bytes: Uint8Array): ByteSource {
  throw new Error(`not yet: ${name}`);
}
