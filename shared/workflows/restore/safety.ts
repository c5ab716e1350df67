import type { Bucket } from '../../aws/bucket.ts';
import { catalogKey } from '../../aws/keys.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { type BackupRequest, SAFETY_TAG } from '../../catalog/request.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { SELFTEST_RETENTION, SELFTEST_TARGET } from '../../core/selftest.ts';
import { readJob } from '../job/record.ts';
import { type RestorePlan, scopesOf } from './plan.ts';

/** Default retention of a safety backup. */
const SAFETY_RETENTION = '14d';
/** Input of the backup workflow for the safety backup of a restore. It runs under the restore's lock. */
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

/** The catalogued safety backup of a restore. Undefined if none was taken or it was not completed. */
export async function findSafetyBackup(bucket: Bucket, jobId: string): Promise<CatalogRecord | undefined> {
  const job = await readJob(bucket, relatedJobId('safety', jobId));
  if (job?.backup_id === undefined) return undefined;
  const record = (await bucket.readRecord(catalogKey(job.backup_id), CatalogRecord))?.value;
  // The id of a backup is derived from a time in seconds, so it is not proof: only a record of this very job is its
  // safety backup.
  return record?.job_id === job.job_id ? record : undefined;
}
