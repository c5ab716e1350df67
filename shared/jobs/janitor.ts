import { z } from 'zod';
import { BackupPlan } from '../backup/plan.ts';
import {
  archiveKey,
  backupPlanKey,
  catalogKey,
  confirmationKey,
  restorePlanKey,
  stagingPrefix,
  uploadPrefix,
} from '../bucket/layout.ts';
import { CatalogRecord } from '../catalog/record.ts';
import type { Environment, Leg } from '../environment.ts';
import { jobIdsOfInput, RestorePlan } from '../restore/plan.ts';
import { withStore } from '../stores/open.ts';
import type { StoreName } from '../stores/port.ts';
import { legContext } from './leg-context.ts';
import { freeLock } from './lock.ts';
import { hasEnded, type JobRecord, type JobState, parseResult, readJob, updateJob } from './record.ts';

/** EventBridge's "Step Functions Execution Status Change", the part we use. */
export const ExecutionEnded = z.object({
  detail: z.object({
    executionArn: z.string(),
    name: z.string(),
    status: z.enum(['SUCCEEDED', 'FAILED', 'TIMED_OUT', 'ABORTED']),
    input: z.string().nullish(),
    output: z.string().nullish(),
    error: z.string().nullish(),
    cause: z.string().nullish(),
  }),
});
export type ExecutionEnded = z.infer<typeof ExecutionEnded>;

/**
 * Cleans up after one execution of either workflow, whether it succeeded, failed, timed out or was stopped: removes
 * what it left on servers and in the bucket, frees the target's lock and closes the job's record. The only place that
 * does so, since a `Catch` never runs in an execution that is stopped. Idempotent: events may come twice.
 */
export async function cleanUpAfter(environment: Environment, event: ExecutionEnded, leg: Leg): Promise<void> {
  const { executionArn, name, input } = event.detail;
  const job = await findJob(environment, [...jobIdsOfInput(input), name], executionArn);
  // Another execution owns the job (a second event of the same upload), or the job was refused before it began.
  if (!job) return;
  if (job.kind === 'backup') await cleanUpBackup(environment, job, leg);
  else await cleanUpRestore(environment, job, leg);
  await freeLock(environment.bucket, job.target, executionArn);
  await updateJob(environment.bucket, job.job_id, (record) =>
    hasEnded(record.state) ? undefined : closing(event),
  );
}

async function findJob(
  { bucket }: Environment,
  ids: readonly string[],
  executionArn: string,
): Promise<JobRecord | undefined> {
  for (const id of ids) {
    const job = await readJob(bucket, id);
    if (job?.execution_arn === executionArn) return job;
  }
  return undefined;
}

/** How the job's record ends, read from how its execution ended. */
export function closing({ detail }: ExecutionEnded): Partial<JobRecord> {
  const now = new Date().toISOString();
  const states: Record<typeof detail.status, JobState> = {
    SUCCEEDED: 'completed',
    FAILED: 'failed',
    TIMED_OUT: 'failed',
    ABORTED: 'cancelled',
  };
  const result = parseResult(detail.output);
  return {
    state: detail.error === 'RestoreRejected' ? 'cancelled' : states[detail.status],
    finished_at: now,
    ...(result === undefined ? {} : { result }),
    ...(detail.status === 'FAILED' || detail.status === 'TIMED_OUT'
      ? {
          error: {
            name: detail.error ?? detail.status,
            message:
              detail.cause ??
              (detail.status === 'TIMED_OUT'
                ? 'The execution ran into its time limit. Start it again; raise the limit in cdk.json if the data needs it.'
                : 'The execution failed without a cause. Its history in the Step Functions console says where.'),
          },
        }
      : {}),
    ...(detail.status === 'ABORTED'
      ? { error: { name: 'Cancelled', message: detail.cause || 'The execution was stopped.' } }
      : {}),
  };
}

async function cleanUpBackup(environment: Environment, job: JobRecord, leg: Leg): Promise<void> {
  const { bucket } = environment;
  const plan = (await bucket.readRecord(backupPlanKey(job.job_id), BackupPlan))?.value;
  // Without a plan no exporter ran, or an earlier call of the janitor got as far as removing it.
  if (plan) {
    await cleanServers(
      environment,
      job,
      plan.stores.map(({ store }) => store),
      leg,
    );
    const record = await bucket.readRecord(catalogKey(plan.backup_id), CatalogRecord);
    if (!record) await bucket.removeAll(archiveKey(plan.backup_id));
  }
  await bucket.removeAll(stagingPrefix(job.job_id));
}

async function cleanUpRestore(environment: Environment, job: JobRecord, leg: Leg): Promise<void> {
  const { bucket } = environment;
  const plan = (await bucket.readRecord(restorePlanKey(job.job_id), RestorePlan))?.value;
  if (plan) {
    await cleanServers(environment, job, plan.stores, leg);
    if (plan.source.key.startsWith('uploads/')) await bucket.removeAll(plan.source.key);
  }
  await bucket.removeAll(uploadPrefix(job.job_id));
  await bucket.removeAll(confirmationKey(job.job_id));
  await bucket.removeAll(stagingPrefix(job.job_id));
}

/** Removes what the job left on the servers. A server that is gone is told, and does not keep the rest from its end. */
async function cleanServers(
  environment: Environment,
  job: JobRecord,
  stores: readonly StoreName[],
  leg: Leg,
): Promise<void> {
  for (const name of stores) {
    try {
      await withStore(environment.config, job.target, name, (store) =>
        store.cleanup(legContext(environment, leg, job.job_id)),
      );
    } catch (error) {
      environment.log('Could not clean up on the server; what is left there carries the name of the job.', {
        store: name,
        job_id: job.job_id,
        error: error instanceof Error ? error.message : String(error),
      });
    }
  }
}
