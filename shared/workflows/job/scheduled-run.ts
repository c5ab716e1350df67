import type { ScheduledRunOf } from '../../catalog/request.ts';
import { recordRun } from '../../schedules/runs.ts';
import type { Environment } from '../environment.ts';
import { TargetLockedError } from './lock.ts';
import { SKIPPED, updateJob } from './record.ts';

type Bucketed = Pick<Environment, 'bucket'>;

/**
 * Records that a job is a run of its schedule. If Scheduler started this run twice, the second job is skipped: it is
 * closed as cancelled, with the reason, and nothing fails that would need attention.
 *
 * @param start  when the execution began
 * @returns the reason if the run is skipped
 */
export async function beginRun(
  environment: Bucketed,
  { name, scheduled_at }: ScheduledRunOf,
  jobId: string,
  start: string,
): Promise<string | undefined> {
  const run = await recordRun(environment.bucket, {
    schedule: name,
    job_id: jobId,
    at: scheduled_at ?? start,
    by_hand: scheduled_at === undefined,
  });
  if (run.job_id === jobId) return undefined;
  return skip(
    environment,
    jobId,
    `The run of schedule "${name}" for ${run.at} was started twice: it is job ${run.job_id}.`,
  );
}

/**
 * Takes a lock for a scheduled run. If another job holds it, the run is skipped, as in {@link beginRun}. A target that
 * waits for an operator still fails the run (TargetLockedError).
 *
 * @returns the reason if the run is skipped; undefined if it holds the lock
 */
export async function lockOrSkip(
  environment: Bucketed,
  { name }: ScheduledRunOf,
  jobId: string,
  lock: () => Promise<unknown>,
): Promise<string | undefined> {
  try {
    await lock();
    return undefined;
  } catch (error) {
    if (!(error instanceof TargetLockedError) || !error.inUse) throw error;
    return skip(
      environment,
      jobId,
      `${error.message} This run of schedule "${name}" was skipped; the next one runs as planned.`,
    );
  }
}

async function skip({ bucket }: Bucketed, jobId: string, reason: string): Promise<string> {
  await updateJob(bucket, jobId, () => ({
    state: 'cancelled',
    finished_at: new Date().toISOString(),
    error: { name: SKIPPED, message: reason },
  }));
  return reason;
}
