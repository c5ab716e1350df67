import { S3Client } from '@aws-sdk/client-s3';
import { type CopyConfig, copyPlace } from '../core/copies.ts';
import { Bucket } from './bucket.ts';
import { awsClient } from './clients.ts';

/** For each archive bucket, by place and role: each has a client of its own, with connections and credentials. */
const opened = new WeakMap<Bucket, Map<string, Bucket>>();

/** The address of a copy, and the role that may read it. */
type CopyAddress = Pick<CopyConfig, 'bucket' | 'prefix' | 'region' | 'read_role_arn'>;

/**
 * The bucket of a copy of what is in an archive bucket, as {@link openCopyBucket} opens it. It is opened once for as long
 * as the process uses that archive bucket.
 */
export function copyBucket(archives: Bucket, copy: CopyAddress, use: 'read' | 'write'): Bucket {
  const ofArchives = opened.get(archives) ?? new Map<string, Bucket>();
  opened.set(archives, ofArchives);
  const key = JSON.stringify([copyPlace(copy), copy.region, roleOf(copy, use)]);
  const bucket = ofArchives.get(key) ?? openCopyBucket(copy, use);
  ofArchives.set(key, bucket);
  return bucket;
}

/**
 * The bucket of a copy, with keys below its prefix as in the archive bucket. For reading with the configured role, if
 * there is one; for writing always with the caller's own.
 */
export function openCopyBucket(copy: CopyAddress, use: 'read' | 'write'): Bucket {
  const role = roleOf(copy, use);
  const s3 = awsClient('s3', S3Client, {
    ...(copy.region === undefined ? {} : { region: copy.region }),
    ...(role === undefined ? {} : { credentials: () => credentialsOf(role) }),
  });
  return new Bucket(copyPlace(copy), s3);
}

function roleOf(copy: CopyAddress, use: 'read' | 'write'): string | undefined {
  return use === 'read' ? copy.read_role_arn : undefined;
}

async function credentialsOf(role: string) {
  const { assumeRole } = await import('./assume-role.ts');
  return assumeRole(role);
}
