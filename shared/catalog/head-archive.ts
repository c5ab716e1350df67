import { HeadObjectCommand, type HeadObjectCommandOutput, S3ServiceException } from '@aws-sdk/client-s3';
import type { Bucket } from '../aws/bucket.ts';
import { explainS3Error } from '../aws/s3-error.ts';
import type { CatalogRecord } from './record.ts';

/**
 * What S3 says of a backup's archive, of the version that was catalogued, or of the newest one; undefined where it is
 * gone.
 */
export async function headArchive(
  bucket: Bucket,
  { archive }: { archive: Pick<CatalogRecord['archive'], 'key' | 'version_id'> },
): Promise<HeadObjectCommandOutput | undefined> {
  try {
    return await bucket.s3.send(
      new HeadObjectCommand({
        Bucket: bucket.name,
        Key: archive.key,
        ...(archive.version_id === undefined ? {} : { VersionId: archive.version_id }),
      }),
    );
  } catch (error) {
    if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return undefined;
    throw explainS3Error(error, 'look at', `s3://${bucket.name}/${archive.key}`);
  }
}

/** Why S3 would not delete the archive, in words; undefined where it would. */
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
