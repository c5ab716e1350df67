import { z } from 'zod';
import { Id } from './ids.ts';
import { SELFTEST_TARGET } from './selftest.ts';
import { StorageClass } from './storage-class.ts';

/** S3 Object Lock. A lock in mode `compliance` cannot be removed before it expires. */
export const ObjectLock = z.strictObject({
  mode: z.enum(['governance', 'compliance']),
  days: z.number().int().min(1).max(36_500),
});
export type ObjectLock = z.infer<typeof ObjectLock>;

/** Another bucket that gets a copy of each backup: docs/copies.md. */
export const CopyConfig = z.strictObject({
  bucket: z.string().min(3).max(63),
  /** Prefix of all keys, without a `/` at the end. */
  prefix: z.string().min(1).max(256).optional(),
  /** Region of the bucket. If omitted: that of the deployment. */
  region: z.string().min(1).max(30).optional(),
  /** The account that must own the bucket. If omitted: not checked. */
  account: z.string().optional(),
  /** ARN of the KMS key that encrypts the bucket. If omitted: the default encryption of the bucket. */
  key_arn: z.string().optional(),
  /** Storage class of the archives. Records and signatures are always in `STANDARD`. */
  storage_class: StorageClass.default('STANDARD'),
  /** For information: when the lifecycle rules of the bucket delete a copy, in days. */
  keep_days: z.number().int().min(1).optional(),
  /** Lock of each object of a copy, in days from its creation. */
  lock: ObjectLock.optional(),
  /** The targets whose backups are copied. If omitted: all. */
  targets: z.array(Id).min(1).optional(),
  /** ARN of the role to assume for reading copies. If omitted: the own role of each function. */
  read_role_arn: z.string().optional(),
});
export type CopyConfig = z.infer<typeof CopyConfig>;

export const CopiesConfig = z.record(Id, CopyConfig);
export type CopiesConfig = z.infer<typeof CopiesConfig>;

export const COPY_STATES = ['pending', 'complete', 'failed', 'damaged'] as const;

/** One copy of a backup, as its catalog record states it. */
export const BackupCopy = z.object({
  /** Name in the configuration. */
  name: Id,
  bucket: z.string(),
  prefix: z.string().optional(),
  /** Absent: the region of the deployment. */
  region: z.string().optional(),
  /** ARN of the role to assume for reading it. */
  read_role_arn: z.string().optional(),
  storage_class: StorageClass.optional(),
  /**
   * `pending`: not made yet. `complete`: archive and record are in the bucket, and S3 confirmed the checksum of the
   * archive. `failed`: the last attempt failed; it is retried. `damaged`: a verification found errors.
   */
  state: z.enum(COPY_STATES),
  /** When the state was last changed. */
  at: z.iso.datetime(),
  /** Size of the archive in bytes, once it was copied. */
  bytes: z.number().int().positive().optional(),
  /** The full-object CRC-32 with which S3 created the archive, base64. */
  crc32: z.string().optional(),
  /** Version of the archive in the bucket, if that has versions. */
  version_id: z.string().optional(),
  /** When every byte of the copy was last read back without errors. Absent if it never was. */
  verified_at: z.iso.datetime().optional(),
  /** When the bucket deletes the copy, according to the configuration. */
  expires_at: z.iso.datetime().optional(),
  /** Why the last attempt failed, or the errors that a verification found. */
  problem: z.string().optional(),
  /** Number of failed attempts. */
  attempts: z.number().int().nonnegative().optional(),
  /** Earliest time of the next attempt. */
  next_attempt_at: z.iso.datetime().optional(),
  /** The unfinished multipart upload that the next attempt continues. Useless without credentials for the bucket. */
  upload_id: z.string().optional(),
});
export type BackupCopy = z.infer<typeof BackupCopy>;

/** The configured copies of a target's backups, by name. Self-tests, which delete their backups, are not copied. */
export function copiesOf(copies: CopiesConfig | undefined, target: string): [string, CopyConfig][] {
  if (target === SELFTEST_TARGET) return [];
  return Object.entries(copies ?? {}).filter(([, { targets }]) => targets?.includes(target) ?? true);
}

/** The place of a copy in the form `bucket/prefix`. */
export function copyPlace({ bucket, prefix }: Pick<CopyConfig, 'bucket' | 'prefix'>): string {
  return prefix === undefined ? bucket : `${bucket}/${prefix}`;
}
