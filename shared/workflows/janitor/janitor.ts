import { DescribeExecutionCommand, StartExecutionCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { OWNER } from '../../archive/write/compose.ts';
import {
  archiveKey,
  backupPlanKey,
  catalogKey,
  confirmationKey,
  lockKey,
  signatureKey,
  stagingPrefix,
  UPLOADS,
  uploadPrefix,
} from '../../aws/keys.ts';
import { headArchive } from '../../catalog/head-archive.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import { HELP, seeAlso, withPlatformHelp } from '../../core/help.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { hasEnded, type JobState } from '../../core/job-state.ts';
import { BackupPlan } from '../backup/plan.ts';
import { startDueCopies } from '../copy/start.ts';
import { isRehearsal, lockNameOf } from '../drill/destination.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { resumeWriters } from '../job/hooks.ts';
import { changeLock, freeLock, Lock } from '../job/lock.ts';
import { createJob, type JobRecord, parseResult, readJob, SKIPPED, updateJob } from '../job/record.ts';
import { type JobEnd, reportEnd, reportRefusedBackup } from '../job/report.ts';
import { writeDrillRecord } from '../restore/drill-record.ts';
import { untilStepsEnded } from '../restore/lease.ts';
import { isVerified } from '../restore/leg.ts';
import {
  type AdmittedRestore,
  findAdmitted,
  findRestorePlan,
  jobIdsOfInput,
  jobIdsOfUpload,
  rollbackOfInput,
  uploadOfInput,
} from '../restore/plan.ts';
import { findSafetyBackup } from '../restore/safety.ts';
import { cleanServers } from './unclean.ts';

/** EventBridge's "Step Functions Execution Status Change" event: the fields that ngbak uses. */
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
 * what it left on servers and in the bucket, frees the target's lock and closes the job's record. This is the only
 * place that does so, because a `Catch` never runs in an execution that is stopped. Idempotent, since events may be
 * delivered twice.
 */
export async function cleanUpAfter(
  environment: Environment,
  event: ExecutionEnded,
  leg: LegLimits,
): Promise<void> {
  const { executionArn, name, input } = event.detail;
  const job = await findJob(environment, [...jobIdsOfInput(environment.bucket, input), name], executionArn);
  if (!job) {
    const undone = rollbackOfInput(input);
    if (undone !== undefined) return closeUnbegunRollback(environment, undone, event);
    // Another execution owns the job (a second event for the same upload), or the job was refused before it began.
    return closeUnclaimed(environment, event);
  }
  if (job.kind === 'backup') {
    const backupId = await cleanUpBackup(environment, job, leg, event.detail.status !== 'SUCCEEDED');
    await release(environment, job, event);
    if (backupId !== undefined) await startDueCopies(environment, leg, { backup_id: backupId });
    return;
  }
  const restore = await findAdmitted(environment.bucket, job.job_id);
  const lock = lockOf(job, restore);
  // The functions of a stopped execution continue to run. Their writes must not interleave with those of the next job,
  // or with the removal of what a drill has loaded.
  await changeLock(environment.bucket, lock, executionArn, { ended: true });
  await untilStepsEnded(environment.bucket, job.job_id, leg);
  const undone = restore?.rollback_of;
  const intact = undone !== undefined && (await isVerified(environment, job.job_id));
  await cleanUpRestore(environment, job, restore, closing(event), leg);
  if (undone !== undefined) await closeRollback(environment, job, undone, event, intact);
  else if (!(await rollBack(environment, job, event))) await release(environment, job, event, lock);
}

/**
 * Closes a requested job whose execution ended unsuccessfully before it could claim the job, and removes an upload that
 * arrived after its job had ended, which no job will use.
 */
async function closeUnclaimed(environment: Environment, event: ExecutionEnded): Promise<void> {
  const { bucket } = environment;
  const failed = event.detail.status !== 'SUCCEEDED';
  const { error } = closing(event);
  if (failed && error) await reportRefusedBackup(environment, event.detail, error.message);
  for (const id of jobIdsOfInput(bucket, event.detail.input)) {
    const job = await updateJob(bucket, id, (record) =>
      failed && record.execution_arn === undefined && !hasEnded(record.state) ? closing(event) : undefined,
    );
    if (!job || !hasEnded(job.state)) continue;
    await bucket.removeAll(uploadPrefix(id));
    await reportEnd(environment, job);
  }
  await recordRefusedUpload(environment, event);
}

/**
 * Records a failed job for a manual upload that could not become a job, for example because its target is ambiguous.
 * The uploader finds the reason in the list of jobs, and the upload is removed.
 */
async function recordRefusedUpload(environment: Environment, event: ExecutionEnded): Promise<void> {
  const { bucket } = environment;
  const upload = uploadOfInput(bucket, event.detail.input);
  if (!upload || event.detail.status === 'SUCCEEDED') return;
  const { requested, byHand } = jobIdsOfUpload(upload);
  if ((requested !== undefined && (await readJob(bucket, requested))) || (await readJob(bucket, byHand)))
    return;
  const { key, 'version-id': version_id } = upload.detail.object;
  // Removed before the record is written, because a repeated call takes the record as proof that everything was done.
  await bucket.removeVersion({ key, version_id });
  const now = new Date().toISOString();
  const job: JobRecord = {
    job_id: byHand,
    kind: 'restore',
    target: requested ?? 'unknown',
    state: 'failed',
    created_at: now,
    updated_at: now,
    upload: { file_name: key.slice(key.lastIndexOf('/') + 1) },
    ...closing(event),
  };
  await createJob(bucket, job);
  await reportEnd(environment, job);
}

/** The name of the lock that a job may hold. */
function lockOf(job: JobRecord, restore: AdmittedRestore | undefined): string {
  return restore ? lockNameOf(restore) : job.target;
}

/** Releases the target: lock, job record, writers. */
async function release(
  environment: Environment,
  job: JobRecord,
  event: ExecutionEnded,
  lock = job.target,
): Promise<void> {
  await freeLock(environment.bucket, lock, event.detail.executionArn);
  await closeJob(environment, job.job_id, closing(event));
  // Last, because only this step can fail permanently. The function then fails, but everything else is done. A drill
  // pauses no writers.
  if (job.kind !== 'drill') await resumeWriters(environment, job.target, job.job_id);
}

async function closeJob(
  environment: Environment,
  jobId: string,
  changes: Partial<JobRecord>,
  end?: JobEnd,
): Promise<void> {
  const job = await updateJob(environment.bucket, jobId, (record) =>
    hasEnded(record.state) ? undefined : changes,
  );
  // Also for a job that had ended: the call that ended it may have been killed before it reported that.
  if (job) await reportEnd(environment, job, end);
}

/**
 * Starts the rollback of a restore that failed, timed out or was stopped after it may have written: restores its safety
 * backup, under the lock of the restore. Does nothing and returns false if nothing was written or there is no safety
 * backup. The job stays open, with the reason of the failure, until the rollback has ended.
 */
async function rollBack(environment: Environment, job: JobRecord, event: ExecutionEnded): Promise<boolean> {
  const { bucket, sfn } = environment;
  const { executionArn, status } = event.detail;
  if (status === 'SUCCEEDED' || hasEnded(job.state)) return false;
  if (!(await findSafetyBackup(bucket, job.job_id))) return false;
  const name = relatedJobId('rollback', job.job_id);
  const { stateMachineArn } = await sfn.send(new DescribeExecutionCommand({ executionArn }));
  const started = await sfn.send(
    new StartExecutionCommand({ stateMachineArn, name, input: JSON.stringify({ rollback_of: job.job_id }) }),
  );
  await changeLock(bucket, job.target, executionArn, {
    job_id: name,
    execution_arn: started.executionArn ?? '',
    ended: false,
  });
  const { error } = closing(event);
  if (error) await closeJob(environment, job.job_id, { error });
  return true;
}

/** Closes a restore whose rollback ended before it could create its own job. */
async function closeUnbegunRollback(
  environment: Environment,
  undone: string,
  event: ExecutionEnded,
): Promise<void> {
  const failed = await readJob(environment.bucket, undone);
  if (!failed || hasEnded(failed.state)) return;
  const safety = await findSafetyBackup(environment.bucket, undone);
  await closeRollback(
    environment,
    { job_id: event.detail.name, target: failed.target, backup_id: safety?.backup_id },
    undone,
    event,
  );
}

/**
 * Closes a job whose execution is unknown to Step Functions, because it is older than 90 days or the stack was
 * recreated, so that its outcome cannot be determined. Whatever a restore may have left in its target is not touched,
 * and the target stays locked.
 */
export async function closeForgotten(
  environment: Environment,
  job: JobRecord,
  leg: LegLimits,
): Promise<void> {
  const { bucket } = environment;
  const arn = job.execution_arn ?? '';
  const cause = 'Step Functions no longer has its execution, so its outcome is unknown.';
  const event: ExecutionEnded = {
    detail: { executionArn: arn, name: job.job_id, status: 'FAILED', error: 'ExecutionForgotten', cause },
  };
  if (job.kind === 'backup') {
    await cleanUpBackup(environment, job, leg, false);
    return release(environment, job, event);
  }
  const restore = await findAdmitted(bucket, job.job_id);
  await cleanUpRestore(environment, job, restore, closing(event), leg);
  const safety = await findSafetyBackup(bucket, restore?.rollback_of ?? job.job_id);
  let end: JobEnd | undefined;
  if (safety) {
    const kept = `Restore ${job.job_id} may have left it incomplete. Its previous contents are in ${safety.backup_id}: restore it with \`ngbak restore ${safety.backup_id}\`.`;
    await changeLock(bucket, job.target, arn, { kept });
    end = { locked: { backup_id: safety.backup_id, reason: kept } };
  } else await freeLock(bucket, lockOf(job, restore), arn);
  await closeJob(environment, job.job_id, closing(event), end);
  if (job.kind !== 'drill') await resumeWriters(environment, job.target, job.job_id);
}

/**
 * Closes a rollback and the restore that it undid: both errors are reported, and the target stays locked if its
 * contents may be incomplete.
 *
 * @param intact  whether the rollback has verified everything, even if it failed afterwards
 */
async function closeRollback(
  environment: Environment,
  job: Pick<JobRecord, 'job_id' | 'target' | 'backup_id'>,
  undone: string,
  event: ExecutionEnded,
  intact = false,
): Promise<void> {
  const { bucket } = environment;
  const { executionArn, status } = event.detail;
  const end = closing(event);
  const failed = await readJob(bucket, undone);
  const reason = failed?.error ?? { name: 'Failed', message: 'The restore failed.' };
  const safety = job.backup_id ?? 'its safety backup';
  const restored = status === 'SUCCEEDED' || intact;
  const uncleanText =
    status === 'SUCCEEDED'
      ? ''
      : ` Everything was verified, but the rollback ended with an error and may have left auxiliary marks, which the next restore removes: ${end.error?.message ?? status}`;
  const message = restored
    ? `${reason.message} The target was rolled back to ${safety}.${uncleanText}`
    : `${reason.message} The rollback failed as well: ${end.error?.message ?? status} Its previous contents are in ${safety}: restore it with \`ngbak restore ${safety}\`. Until then, the target is locked for backups. ${seeAlso(HELP.rollbackFailed)}`;
  if (restored) await freeLock(bucket, job.target, executionArn);
  else await changeLock(bucket, job.target, executionArn, { kept: message });
  await closeJob(
    environment,
    undone,
    {
      state: restored ? 'rolled_back' : 'failed',
      finished_at: new Date().toISOString(),
      error: { name: reason.name, message },
    },
    restored ? undefined : { locked: { backup_id: job.backup_id, reason: message } },
  );
  await closeJob(environment, job.job_id, end);
  await resumeWriters(environment, job.target, undone);
  await resumeWriters(environment, job.target, job.job_id);
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

/** The final state of the job's record, derived from how its execution ended. */
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
            message: withPlatformHelp(
              detail.error ?? '',
              detail.cause ??
                (detail.status === 'TIMED_OUT'
                  ? 'The execution timed out. Start it again; raise the limit in cdk.json if the data needs it.'
                  : 'The execution failed without a cause. See its history in the Step Functions console.'),
            ),
          },
        }
      : {}),
    ...(detail.status === 'ABORTED'
      ? { error: { name: 'Cancelled', message: detail.cause || 'The execution was stopped.' } }
      : {}),
  };
}

/**
 * Returns the id of the backup, if it was added to the catalog.
 *
 * @param mayRun  whether exporters of the job may still be running, as after an execution that failed or was stopped
 */
async function cleanUpBackup(
  environment: Environment,
  job: JobRecord,
  leg: LegLimits,
  mayRun: boolean,
): Promise<string | undefined> {
  const { bucket } = environment;
  const plan = (await bucket.readRecord(backupPlanKey(job.job_id), BackupPlan))?.value;
  // Without a plan, no exporter ran, or an earlier call of the janitor has already removed the plan.
  const stores = plan?.stores.map(({ store }) => store) ?? [];
  await cleanServers(environment, job, stores, leg);
  const record = plan && (await bucket.readRecord(catalogKey(plan.backup_id), CatalogRecord));
  if (plan) {
    if (!record) {
      await removeOwnArchive(environment, plan.backup_id, job.job_id);
      await abortSeal(environment, job, plan.backup_id);
    }
  }
  await emptyStaging(environment, job);
  // An exporter that ended since the first pass still found its plan and relied on this cleanup. One that ends from now
  // on finds no plan, and cleans up after itself.
  if (mayRun) await cleanServers(environment, job, stores, leg);
  return record?.value.backup_id;
}

/** Removes the job's staged objects, and unfinished uploads of killed functions. */
async function emptyStaging({ bucket }: Environment, { job_id }: JobRecord): Promise<void> {
  await bucket.abortUploads(stagingPrefix(job_id));
  await bucket.removeAll(stagingPrefix(job_id));
}

/**
 * Aborts the multipart upload of an interrupted composition, whose parts can be as large as the whole archive. A backup
 * that began in the same second may have the same id; in that case it holds the lock of the target.
 */
async function abortSeal({ bucket }: Environment, job: JobRecord, backupId: string): Promise<void> {
  const lock = (await bucket.readRecord(lockKey(job.target), Lock))?.value;
  if (lock && lock.job_id !== job.job_id && (await readJob(bucket, lock.job_id))?.backup_id === backupId)
    return;
  await bucket.abortUploads(archiveKey(backupId));
}

/**
 * Removes the archive of a backup that was not catalogued, with its signature, if this job created it. A backup that began in the same
 * second, after this one had ended, may have reused the id if this job never created an archive.
 */
async function removeOwnArchive({ bucket }: Environment, backupId: string, jobId: string): Promise<void> {
  const key = archiveKey(backupId);
  const head = await headArchive(bucket, { archive: { key } });
  if (head?.Metadata?.[OWNER] === jobId) await bucket.removeAll(key);
}

/** Removes what a restore or a drill left on the servers that it wrote to. */
async function cleanDestination(
  environment: Environment,
  { job_id, target, stores }: AdmittedRestore,
  leg: LegLimits,
): Promise<void> {
  const plan = await findRestorePlan(environment.bucket, job_id);
  if (plan && isRehearsal(plan)) return;
  await cleanServers(environment, { job_id, target }, plan?.stores ?? stores, leg);
}

/**
 * Removes what a restore or a drill left, on servers and in the bucket. Of a drill, also records the result, after its
 * servers were cleaned.
 */
async function cleanUpRestore(
  environment: Environment,
  job: JobRecord,
  restore: AdmittedRestore | undefined,
  end: Partial<JobRecord>,
  leg: LegLimits,
): Promise<void> {
  const { bucket } = environment;
  if (restore) {
    await cleanDestination(environment, restore, leg);
    const { drill } = restore;
    // A scheduled drill that was skipped proves nothing.
    if (drill && job.error?.name !== SKIPPED) {
      await writeDrillRecord(environment, job, { ...restore, drill }, { state: 'failed', ...end });
    }
    if (restore.source.key.startsWith(UPLOADS)) {
      await bucket.removeVersion(restore.source);
      await bucket.removeAll(signatureKey(restore.source.key));
    }
  }
  await bucket.removeAll(uploadPrefix(job.job_id));
  await bucket.removeAll(confirmationKey(job.job_id));
  await emptyStaging(environment, job);
}
