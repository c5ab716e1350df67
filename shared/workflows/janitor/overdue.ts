import type { DescribeExecutionCommandOutput, SFNClient } from '@aws-sdk/client-sfn';
import type { Bucket } from '../../aws/bucket.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { hasEnded } from '../../core/job-state.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { unsettledJobs } from '../job/days.ts';
import { describeExecution } from '../job/execution.ts';
import { type JobRecord, readJob } from '../job/record.ts';

/** Records read at once. */
const READS_AT_ONCE = 16;
/** By now the event of the end should have come and been handled, in milliseconds. */
export const OVERDUE_MS = 5 * 60 * 1000;

/** An execution that is unknown and began at least so long ago is forgotten, in milliseconds. */
const FORGOTTEN_MS = 24 * 60 * 60 * 1000;

/** A job that is still open, though its execution has ended. */
export interface OverdueJob {
  readonly job: JobRecord;
  /** How its execution ended; undefined where Step Functions does not know the execution any more. */
  readonly ended: DescribeExecutionCommandOutput | undefined;
}

/**
 * Jobs whose execution has ended for at least `graceMs`, and that nobody has closed: EventBridge delivers the events of
 * Step Functions by best effort only. A restore that is being rolled back is not among them: its rollback is.
 *
 * @param closed ids of jobs that are known to have ended; added to, so that a caller who keeps it reads each job once
 */
export async function* overdueJobs(
  { bucket, sfn }: { readonly bucket: Bucket; readonly sfn: SFNClient },
  { graceMs = OVERDUE_MS, closed = new Set<string>() }: { graceMs?: number; closed?: Set<string> } = {},
): AsyncGenerator<OverdueJob> {
  const open = mapOrdered(unsettledJobs(bucket), READS_AT_ONCE, async (id) => {
    if (closed.has(id)) return undefined;
    const job = await readJob(bucket, id).catch((error: unknown) => {
      // A record that can't be read is shown by the list of jobs, and must not hide the others.
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
  // A young execution may not be found yet: reads of Step Functions are eventually consistent.
  if (!ended && Date.now() - Date.parse(job.created_at) < FORGOTTEN_MS) return undefined;
  if (!hasStopped(ended, before)) return undefined;
  if (job.kind !== 'restore') return { job, ended };
  // The rollback, if there is one, closes the restore that it undoes.
  const name = relatedJobId('rollback', job.job_id);
  const rollback = await describeExecution(sfn, `${arn.slice(0, arn.lastIndexOf(':') + 1)}${name}`);
  if (!rollback) return { job, ended };
  const own = await readJob(bucket, name);
  // Its own record is among the open jobs.
  if (!hasStopped(rollback, before) || (own && !hasEnded(own.state))) return undefined;
  return { job, ended: rollback };
}

function hasStopped(execution: DescribeExecutionCommandOutput | undefined, before: number): boolean {
  if (!execution) return true;
  const { status, stopDate } = execution;
  if (status === 'RUNNING' || status === 'PENDING_REDRIVE') return false;
  return stopDate === undefined || stopDate.getTime() <= before;
}
