import {
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ObjectLockRetentionMode,
  PutObjectRetentionCommand,
  PutObjectTaggingCommand,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import type { Bucket } from '../aws/bucket.ts';
import { sendS3 } from '../aws/send-s3.ts';
import { InvalidInputError } from '../core/errors.ts';
import { MOVABLE_TAG } from '../core/storage-class.ts';
import type { CatalogRecord } from './record.ts';

/**
 * S3's metadata of a backup's archive, of the version that was catalogued or of the newest one. Undefined if it does
 * not exist.
 */
export async function headArchive(
  bucket: Bucket,
  { archive }: { archive: Pick<CatalogRecord['archive'], 'key' | 'version_id'> },
): Promise<HeadObjectCommandOutput | undefined> {
  const { key: Key, version_id } = archive;
  const command = new HeadObjectCommand({
    Bucket: bucket.name,
    Key,
    ...(version_id === undefined ? {} : { VersionId: version_id }),
  });
  return sendS3(bucket.s3, 'look at', command, { expected: [404] }).catch((error) => {
    if (error instanceof S3ServiceException) return undefined;
    throw error;
  });
}

/** Why S3 would refuse to delete the archive, as text. Undefined if it would not. */
export async function objectLock(
  bucket: Bucket,
  record: Pick<CatalogRecord, 'archive'>,
): Promise<string | undefined> {
  const head = await headArchive(bucket, record);
  if (!head) return undefined;
  const { ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetainUntilDate } = head;
  if (ObjectLockLegalHoldStatus === 'ON') return 'it is under a legal hold';
  if (ObjectLockMode && ObjectLockRetainUntilDate && ObjectLockRetainUntilDate > new Date()) {
    return `Object Lock (${ObjectLockMode.toLowerCase()}) keeps it until ${ObjectLockRetainUntilDate.toISOString()}`;
  }
  return undefined;
}

/**
 * Locks one version of an object until a given time: before that, it cannot be deleted with any permission
 * (`compliance`), or only with a special permission (`governance`). Idempotent; a lock is never shortened.
 */
export async function lockObject(
  bucket: Bucket,
  { key, version_id }: { readonly key: string; readonly version_id?: string | undefined },
  { mode, until }: { readonly mode: 'governance' | 'compliance'; readonly until: Date },
): Promise<void> {
  const Mode =
    mode === 'governance' ? ObjectLockRetentionMode.GOVERNANCE : ObjectLockRetentionMode.COMPLIANCE;
  const retention = new PutObjectRetentionCommand({
    Bucket: bucket.name,
    Key: key,
    ...(version_id === undefined ? {} : { VersionId: version_id }),
    Retention: { Mode, RetainUntilDate: until },
  });
  await sendS3(bucket.s3, 'lock', retention, { expected: ['InvalidRequest'] }).catch((error) => {
    if (!(error instanceof S3ServiceException) || error.name !== 'InvalidRequest') throw error;
    throw new InvalidInputError(`Bucket ${bucket.name} has no Object Lock: ${error.message}`, {
      remedy:
        'Enable Object Lock for the bucket, or remove "objectLock" from cdk.json and deploy: docs/deploy.md.',
      cause: error,
    });
  });
}

/**
 * Allows lifecycle rules to move an archive to other storage classes: they select archives by this tag. Records have the
 * same prefix, may be larger than an archive, and must stay in STANDARD. Idempotent.
 */
export async function tagMovable(
  bucket: Bucket,
  { key, version_id }: { readonly key: string; readonly version_id?: string | undefined },
): Promise<void> {
  const tagging = new PutObjectTaggingCommand({
    Bucket: bucket.name,
    Key: key,
    ...(version_id === undefined ? {} : { VersionId: version_id }),
    Tagging: { TagSet: [{ Key: MOVABLE_TAG.key, Value: MOVABLE_TAG.value }] },
  });
  await sendS3(bucket.s3, 'tag', tagging);
}
