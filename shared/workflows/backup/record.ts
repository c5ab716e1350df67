import { ConflictError } from '../../aws/bucket.ts';
import { catalogKey, consistencyKey, signatureKey } from '../../aws/keys.ts';
import { KmsUnavailableError, type SigningKey, SigningKeyError } from '../../aws/signing-key.ts';
import { Consistency } from '../../catalog/consistency.ts';
import { lockObject, tagMovable } from '../../catalog/head-archive.ts';
import { makeRecord } from '../../catalog/make-record.ts';
import { metadataOf } from '../../catalog/metadata.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { signArchive } from '../../catalog/signature.ts';
import { type Assessment, detail } from '../../catalog/summaries.ts';
import { type BackupWarning, readAcknowledged } from '../../catalog/warnings.ts';
import { AccessDeniedError, describeError } from '../../core/errors.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import type { ArchiveSignature } from '../../core/signature.ts';
import { VERSION } from '../../core/version.ts';
import { plannedCopies } from '../copy/progress.ts';
import type { Environment } from '../environment.ts';
import { type CheckResult, readCheckResult } from '../job/check-leg.ts';
import { readWarnings } from './find-warnings.ts';
import { type BackupPlan, readBackupPlan } from './plan.ts';
import { type Sealed, systemOf } from './seal.ts';
import { isMovable, storageClassOf } from './storage-class.ts';
import { readSealed } from './verify.ts';

/** Output of a backup, as shown to operators in the Step Functions console. */
export interface BackupResult {
  readonly job_id: string;
  readonly backup_id: string;
  readonly target: string;
  /** `s3://` address of the archive. */
  readonly archive: string;
  readonly type: 'full' | 'partial';
  readonly bytes: number;
  /** Numbers of records and of files. */
  readonly record_count: number;
  readonly file_count: number;
  readonly includes_files: boolean;
  readonly storage_type: 's3';
  readonly storage_class: string;
  readonly storage_path: string;
  readonly duration_seconds: number;
  readonly checksum: string;
  readonly statistics: Record<string, number>;
  readonly consistency: Consistency['grade'];
  readonly verified: true;
  /** `complete_with_warnings` if it has a warning that was not already acknowledged. */
  readonly state: Assessment['state'];
  readonly open_warnings: number;
  readonly good: boolean;
  /** The first warnings, each with a few samples. The catalog record has all of them. */
  readonly warnings: readonly BackupWarning[];
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Warnings in the output of a workflow, the size of which is limited. */
const WARNINGS_IN_RESULT_MAX = 20;
/** Warning of a safety backup that could not be signed. */
const NOT_SIGNED: BackupWarning = {
  store: 'config',
  code: 'not-signed',
  text: 'The archive is not signed, because the signing key could not be used: a restore that requires a signature refuses it.',
};
/** Warning of an archive that lifecycle rules ignore. */
const NOT_MOVABLE: BackupWarning = {
  store: 'config',
  code: 'not-movable',
  text: 'The archive stays in its storage class although "transitions" are configured: it could not be tagged for the lifecycle rule of the bucket (s3:PutObjectTagging, s3:PutObjectVersionTagging).',
};
/** Samples of each warning in the output. The catalog record has more. */
const SAMPLES_IN_RESULT_MAX = 3;

/**
 * Last step of a backup: signs the archive, and writes the catalog record, which adds the backup to the catalog. The
 * record is created only if it does not exist; a repeated attempt finds its own.
 *
 * @param signer  the key of the deployment, if it signs
 */
export async function recordBackup(
  environment: Environment,
  jobId: string,
  signer?: SigningKey,
): Promise<BackupResult> {
  const { bucket } = environment;
  const plan = await readBackupPlan(environment, jobId);
  const sealed = await readSealed(bucket, jobId);
  const consistency = await bucket.requireRecord(consistencyKey(jobId), Consistency, 'Start a new backup.');
  const checked = await readCheckResult(bucket, jobId);
  const signature = signer && (await sign(environment, plan, sealed, signer));
  const warnings = [
    ...(await readWarnings(bucket, jobId)),
    ...checked.warnings,
    ...(signer && !signature ? [NOT_SIGNED] : []),
    ...((await letMove(environment, plan, sealed)) ? [] : [NOT_MOVABLE]),
  ];
  const now = new Date();
  const { tags, note, retention, requested_by, codec, only } = plan.request;
  const { version: system_version, evidence: system_evidence } = systemOf(environment, plan);
  const record = makeRecord(
    {
      backup_id: plan.backup_id,
      target: plan.target,
      job_id: jobId,
      type: plan.type,
      stores: plan.stores.map(({ store }) => store),
      only,
      created_at: plan.created_at,
      completed_at: now.toISOString(),
      verified_at: now.toISOString(),
      by_checksum: byChecksum(checked),
      archive: {
        key: sealed.key,
        version_id: sealed.version_id,
        bytes: sealed.bytes,
        entries: sealed.entries,
        codec,
        crc32: sealed.crc32,
        checksum: sealed.checksum,
      },
      signature,
      storage_class: storageClassOf(environment, plan),
      uncompressed_bytes: sealed.uncompressed_bytes,
      statistics: sealed.statistics,
      tallies: sealed.tallies,
      consistency,
      readings: sealed.readings,
      regions: checked.regions,
      warnings,
      references: checked.references,
      copies: plannedCopies(environment.config, { target: plan.target, tags }, now),
      ngbak_version: VERSION,
      system_version,
      system_evidence,
      tags,
      note,
      retention,
      requested_by,
    },
    bucket.place,
    `The records of job ${jobId}`,
    'Start a new backup.',
  );
  const lock = lockOf(environment, plan);
  // Locked first, so that every catalogued backup is locked.
  if (lock) await lockObject(bucket, record.archive, lock);
  if (lock && signature) await lockObject(bucket, { key: signatureKey(sealed.key) }, lock);
  try {
    await bucket.writeRecord(catalogKey(plan.backup_id), record, { absent: true });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    const other = await bucket.readRecord(catalogKey(plan.backup_id), CatalogRecord);
    if (other?.value.job_id !== jobId) throw error;
  }
  if (lock) await lockObject(bucket, { key: catalogKey(plan.backup_id) }, lock);
  const { tag_pairs: _, ...metadata } = metadataOf(record, bucket.place);
  const { state, open_warnings, good } = detail(record, await readAcknowledged(bucket), bucket.place);
  return {
    job_id: jobId,
    backup_id: plan.backup_id,
    target: plan.target,
    archive: `s3://${bucket.place}/${sealed.key}`,
    type: plan.type,
    bytes: sealed.bytes,
    ...metadata,
    duration_seconds: record.duration_seconds,
    checksum: sealed.checksum,
    statistics: sealed.statistics,
    consistency: consistency.grade,
    verified: true,
    state,
    open_warnings,
    good,
    warnings: warnings.slice(0, WARNINGS_IN_RESULT_MAX).map(({ samples, ...warning }) => ({
      ...warning,
      ...(samples === undefined ? {} : { samples: samples.slice(0, SAMPLES_IN_RESULT_MAX) }),
    })),
  };
}

/** The stores that were not read, and when the oldest of them was read last. Undefined if every byte was read. */
function byChecksum({ unread = [], regions = {} }: CheckResult): object | undefined {
  const [read_at] = unread.map((store) => regions[store]?.at ?? '').sort();
  return read_at === undefined ? undefined : { stores: unread, read_at };
}

/**
 * Signs the archive. A failure fails the backup, except that of a restore: a restore in an emergency must not depend on
 * the signing key. Its safety backup is then recorded without a signature, and has a warning.
 */
async function sign(
  { bucket, log }: Environment,
  { request, job_id }: BackupPlan,
  sealed: Sealed,
  signer: SigningKey,
): Promise<ArchiveSignature | undefined> {
  try {
    return await signArchive(bucket, sealed, signer);
  } catch (error) {
    const isOfKey = error instanceof SigningKeyError || error instanceof KmsUnavailableError;
    if (request.part_of === undefined || !isOfKey) throw error;
    log('The safety backup could not be signed.', { job_id, error: describeError(error) });
    return undefined;
  }
}

/**
 * Lets lifecycle rules move the archive, if transitions are configured. Not before now: an archive that is still being
 * verified must stay readable. Returns false without permission: a backup must not fail because of its costs.
 */
async function letMove(environment: Environment, plan: BackupPlan, sealed: Sealed): Promise<boolean> {
  if (!isMovable(environment, plan)) return true;
  try {
    await tagMovable(environment.bucket, sealed);
    return true;
  } catch (error) {
    if (!(error instanceof AccessDeniedError)) throw error;
    environment.log('The archive could not be tagged.', { job_id: plan.job_id, error: describeError(error) });
    return false;
  }
}

/**
 * How long archive and record are locked. Undefined without Object Lock, and for self-tests, which delete their
 * backups.
 */
function lockOf({ config }: Environment, { target, created_at }: BackupPlan) {
  if (config.object_lock === undefined || target === SELFTEST_TARGET) return undefined;
  const { mode, days } = config.object_lock;
  return { mode, until: new Date(Date.parse(created_at) + days * DAY_MS) };
}
