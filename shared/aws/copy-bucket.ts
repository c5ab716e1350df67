import { S3Client } from '@aws-sdk/client-s3';
import { type CopyConfig, copyPlace } from '../core/copies.ts';
import { Bucket } from './bucket.ts';
import { awsClient } from './clients.ts';

/** By place and role: each has a client of its own, with connections and credentials that are used again. */
const opened = new Map<string, Bucket>();

/**
 * The bucket of a copy, with keys below its prefix as in the archive bucket. For reading with the configured role, if
 * there is one; for writing always with the caller's own.
 */
export function copyBucket(
  copy: Pick<CopyConfig, 'bucket' | 'prefix' | 'region' | 'read_role_arn'>,
  use: 'read' | 'write',
): Bucket {
  const role = use === 'read' ? copy.read_role_arn : undefined;
  const key = JSON.stringify([copyPlace(copy), copy.region, role]);
  const known = opened.get(key);
  if (known) return known;
  const s3 = awsClient('s3', S3Client, {
    ...(copy.region === undefined ? {} : { region: copy.region }),
    ...(role === undefined ? {} : { credentials: () => credentialsOf(role) }),
  });
  const bucket = new Bucket(copyPlace(copy), s3);
  opened.set(key, bucket);
  return bucket;
}

async function credentialsOf(role: string) {
  const { assumeRole } = await import('./assume-role.ts');
  return assumeRole(role);
}
