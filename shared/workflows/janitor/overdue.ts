import type { DescribeExecutionCommandOutput, SFNClient } from '@aws-sdk/client-sfn';
import type { Bucket } from '../../aws/bucket.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { hasEnded } from '../../core/job-state.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { unsettledJobs } from '../job/days.ts';
import { describeExecution, isRunning } from '../job/execution.ts';
import { type JobRecord, readJob } from '../job/record.ts';

/** Records read concurrently. */
const READS_AT_ONCE = 16;
/** Time after which the event about the end of an execution should have been handled, in milliseconds. */
export const OVERDUE_MS = 5 * 60 * 1000;

/** Age after which an execution that Step Functions does not know is considered forgotten, in milliseconds. */
const FORGOTTEN_MS = 24 * 60 * 60 * 1000;

/** A job that is still open although its execution has ended. */
export interface OverdueJob {
  readonly job: JobRecord;
  /** How its execution ended. Undefined if Step Functions no longer knows the execution. */
  readonly ended: DescribeExecutionCommandOutput | undefined;
}

/**
 * Jobs that are still open although their execution ended at least `graceMs` ago: EventBridge delivers the events of
 * Step Functions on a best-effort basis only. Excludes a restore while its rollback is in progress; the rollback is
 * checked instead.
 *
 * @param closed  ids of jobs that are known to have ended. New ones are added, so that a caller who keeps the set reads
 *   each job once
 */
export async function* overdueJobs(
  { bucket, sfn }: { readonly bucket: Bucket; readonly sfn: SFNClient },
  { graceMs = OVERDUE_MS, closed = new Set<string>() }: { graceMs?: number; closed?: Set<string> } = {},
): AsyncGenerator<OverdueJob> {
  const open = mapOrdered(unsettledJobs(bucket), READS_AT_ONCE, async (id) => {
    if (closed.has(id)) return undefined;
    const job = await readJob(bucket, id).catch((error: unknown) => {
      // The list of jobs reports records that can't be read. They must not hide the others.
      if (!(error instanceof InvalidInputError)) throw error;
      return undefined;
    });
    if (job && hasEnded(job.state)) closed.add(id);
    return job?.execution_arn === undefined || hasEnded(job.state) ? undefined : job;
  });
  for await (const job of open) {
    const overdue = job && (await isOverdue(bucket, sfn, job, Date.now() - graceMs));
    if (overdue) yield overdue;
  }
}

async function isOverdue(
  bucket: Bucket,
  sfn: SFNClient,
  job: JobRecord,
  before: number,
): Promise<OverdueJob | undefined> {
  const arn = job.execution_arn ?? '';
  const ended = await describeExecution(sfn, arn);
  // A recent execution may not be visible yet: reads of Step Functions are eventually consistent.
  if (!ended && Date.now() - Date.parse(job.created_at) < FORGOTTEN_MS) return undefined;
  if (!hasStopped(ended, before)) return undefined;
  if (job.kind !== 'restore') return { job, ended };
  // The rollback, if there is one, closes the restore that it undoes.
  const name = relatedJobId('rollback', job.job_id);
  const rollback = await describeExecution(sfn, `${arn.slice(0, arn.lastIndexOf(':') + 1)}${name}`);
  if (!rollback) return { job, ended };
  const own = await readJob(bucket, name);
  // The rollback's own record is checked as an open job.
  if (!hasStopped(rollback, before) || (own && !hasEnded(own.state))) return undefined;
  return { job, ended: rollback };
}

function hasStopped(execution: DescribeExecutionCommandOutput | undefined, before: number): boolean {
  if (isRunning(execution)) return false;
  const stopDate = execution?.stopDate;
  return stopDate === undefined || stopDate.getTime() <= before;
}
