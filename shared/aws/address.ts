import type { S3Client } from '@aws-sdk/client-s3';

/** What a client puts in front of the keys of one bucket: key-prefix.ts. */
interface Prefixed {
  readonly bucket: string;
  /** Ends in `/`. */
  readonly prefix: string;
}
const PREFIXED = new WeakMap<S3Client, Prefixed>();

/** Notes what a client puts in front of keys. */
export function notePrefix(s3: S3Client, prefixed: Prefixed): void {
  PREFIXED.set(s3, prefixed);
}

/** The full address of an object or a prefix, for messages: with what the client puts in front of its key. */
export function addressOf(s3: S3Client, bucket: string, key: string): string {
  const found = PREFIXED.get(s3);
  return `s3://${bucket}/${found?.bucket === bucket ? found.prefix : ''}${key}`;
}
