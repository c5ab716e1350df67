import type { S3Client } from '@aws-sdk/client-s3';

/** The prefix that a client adds to the keys of one bucket: key-prefix.ts. */
interface Prefixed {
  readonly bucket: string;
  /** Ends in `/`. */
  readonly prefix: string;
}
const PREFIXED = new WeakMap<S3Client, Prefixed>();

/** Records the prefix that a client adds to keys. */
export function notePrefix(s3: S3Client, prefixed: Prefixed): void {
  PREFIXED.set(s3, prefixed);
}

/** The full address of an object or a prefix, for messages: includes the prefix that the client adds to its key. */
export function addressOf(s3: S3Client, bucket: string, key: string): string {
  const found = PREFIXED.get(s3);
  return `s3://${bucket}/${found?.bucket === bucket ? found.prefix : ''}${key}`;
}
