import type { S3Client } from '@aws-sdk/client-s3';
import type { ArchiveLimits } from './limits.ts';
import type { ByteSource } from './types.ts';

/** Rewrites an archive without footer (repacked, or of NGRAF-023) into a seekable one, as a stream of bytes. */
// biome-ignore lint/correctness/useYield: signature first
export async function* normalizeArchive(
  source: ByteSource,
  _options?: { signal?: AbortSignal; limits?: Partial<ArchiveLimits> },
): AsyncGenerator<Uint8Array> {
  throw new Error(`not yet: ${source.name}`);
}

/** The same into an object; nothing is left there where it fails. */
export async function normalizeToS3(
  source: ByteSource,
  _target: { s3: S3Client; bucket: string; key: string; signal?: AbortSignal },
): Promise<void> {
  throw new Error(`not yet: ${source.name}`);
}
