import type { Bucket } from '../../aws/bucket.ts';
import { catalogKey } from '../../aws/keys.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { type BackupRequest, SAFETY_TAG } from '../../catalog/request.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { SELFTEST_RETENTION, SELFTEST_TARGET } from '../../core/selftest.ts';
import { readJob } from '../job/record.ts';
import { type RestorePlan, scopesOf } from './plan.ts';

/** How long a safety backup is kept, unless somebody changes it. */
const SAFETY_RETENTION = '14d';
/** Input of the backup workflow that saves what the restore is about to touch. It runs under the restore's lock. */
export function safetyRequest(plan: RestorePlan): Partial<BackupRequest> {
  const { only, rename } = plan.options;
  return {
    target: plan.target,
    stores: plan.stores,
    ...(only === undefined || rename !== undefined ? {} : { only }),
    tags: [SAFETY_TAG],
    note: `Contents of target "${plan.target}" before restore ${plan.job_id}.`,
    retention: plan.target === SELFTEST_TARGET ? SELFTEST_RETENTION : SAFETY_RETENTION,
    requested_by: `restore ${plan.job_id}`,
    part_of: {
      job_id: plan.job_id,
      execution_arn: plan.execution_arn,
      scopes: scopesOf(plan),
    },
  };
}

/** The catalogued safety backup of a restore; undefined where none was taken or it did not get to its end. */
export async function findSafetyBackup(bucket: Bucket, jobId: string): Promise<CatalogRecord | undefined> {
  const job = await readJob(bucket, relatedJobId('safety', jobId));
  if (job?.backup_id === undefined) return undefined;
  const record = (await bucket.readRecord(catalogKey(job.backup_id), CatalogRecord))?.value;
  // The id of a backup is a second of a clock: only the record of this very job is ours.
  return record?.job_id === job.job_id ? record : undefined;
}
