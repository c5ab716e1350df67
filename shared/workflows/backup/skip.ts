import type { BackupRequest } from '../../catalog/request.ts';
import { recordRun } from '../../schedules/runs.ts';
import type { Environment } from '../environment.ts';
import { TargetLockedError } from '../job/lock.ts';
import { SKIPPED, updateJob } from '../job/record.ts';

/**
 * Takes the target's lock for a scheduled run. If another job is running there, or if Scheduler started this run twice,
 * the run is skipped: its job is closed as cancelled, with the reason, and nothing fails that would need attention. A
 * target that waits for an operator still fails the run (TargetLockedError).
 *
 * @param start  when the execution began
 * @returns the reason if the run is skipped; undefined if it holds the lock
 */
export async function lockOrSkip(
  { bucket }: Pick<Environment, 'bucket'>,
  schedule: NonNullable<BackupRequest['schedule']>,
  jobId: string,
  start: string,
  lock: () => Promise<unknown>,
): Promise<string | undefined> {
  const { name, scheduled_at } = schedule;
  const run = await recordRun(bucket, {
    schedule: name,
    job_id: jobId,
    at: scheduled_at ?? start,
    by_hand: scheduled_at === undefined,
  });
  let reason: string;
  if (run.job_id === jobId) {
    try {
      await lock();
      return undefined;
    } catch (error) {
      if (!(error instanceof TargetLockedError) || !error.inUse) throw error;
      reason = `${error.message} This run of schedule "${name}" was skipped; the next one runs as planned.`;
    }
  } else {
    reason = `The run of schedule "${name}" for ${run.at} was started twice: it is job ${run.job_id}.`;
  }
  await updateJob(bucket, jobId, () => ({
    state: 'cancelled',
    finished_at: new Date().toISOString(),
    error: { name: SKIPPED, message: reason },
  }));
  return reason;
}
