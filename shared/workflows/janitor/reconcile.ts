import type { DescribeExecutionCommandOutput } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { describeError, NgbakError } from '../../core/errors.ts';
import { startDueCopies } from '../copy/start.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { foldJobDays } from '../job/days.ts';
import { cleanUpAfter, closeForgotten, ExecutionEnded } from './janitor.ts';
import { OVERDUE_MS, overdueJobs } from './overdue.ts';
import { cleanRemaining } from './unclean.ts';
import type { UndeliveredEvents } from './undelivered.ts';
import { removeUnowned, type Unowned } from './unowned.ts';

/** Input that makes the janitor look for executions whose events were lost. */
export const ReconcileInput = z.strictObject({
  reconcile: z.strictObject({
    /** Seconds after the end of an execution until its event is considered lost. */
    grace_seconds: z.number().int().min(0).optional(),
    /** Age in seconds at which leftovers that belong to no job are removed. */
    unowned_seconds: z.number().int().min(0).optional(),
  }),
});
export type ReconcileInput = z.infer<typeof ReconcileInput>;

/** The result of a reconciliation. */
export interface Reconciled {
  /** Jobs that were cleaned up, or whose servers could finally be cleaned. */
  readonly jobs: string[];
  /** Messages of the dead-letter queue that were handled and removed. */
  readonly redriven: number;
  /** Leftovers that belonged to no job. */
  readonly unowned: Unowned;
  /** Executions that were started to copy backups. */
  readonly copies: string[];
}

/** Jobs known to have ended, cached for the lifetime of this process. */
const closed = new Set<string>();

/**
 * Cleans up after every execution whose end was never handled, whether its event was lost or is in the dead-letter
 * queue, removes leftovers that belong to no job, and starts the copies that are due. A failed cleanup does not prevent the others. At the end, throws
 * an NgbakError that names all failed ones; the next call retries them.
 */
export async function reconcile(
  environment: Environment,
  { reconcile: { grace_seconds, unowned_seconds } }: ReconcileInput,
  leg: LegLimits,
  undelivered?: UndeliveredEvents,
): Promise<Reconciled> {
  const jobs: string[] = [];
  const problems: string[] = [];
  const graceMs = grace_seconds === undefined ? OVERDUE_MS : grace_seconds * 1000;
  for await (const { job, ended } of overdueJobs(environment, { graceMs, closed })) {
    if (leg.timeLeft() <= 0) break;
    try {
      environment.log('The event for the end of an execution was not delivered.', { job_id: job.job_id });
      if (ended) await cleanUpAfter(environment, eventOf(ended), leg);
      else await closeForgotten(environment, job, leg);
      jobs.push(job.job_id);
    } catch (error) {
      problems.push(`job ${job.job_id}: ${describeError(error)}`);
    }
  }
  try {
    jobs.push(...(await cleanRemaining(environment, leg)));
  } catch (error) {
    problems.push(`servers with leftovers of jobs: ${describeError(error)}`);
  }
  let redriven = 0;
  for await (const message of undelivered?.receive(leg) ?? []) {
    try {
      await cleanUpAfter(environment, message.event, leg);
      await message.remove();
      redriven++;
    } catch (error) {
      problems.push(`undelivered event of ${message.event.detail.name}: ${describeError(error)}`);
    }
  }
  const timeLeft = () => leg.timeLeft();
  await foldJobDays(environment.bucket, timeLeft);
  const ageMs = unowned_seconds === undefined ? undefined : unowned_seconds * 1000;
  const unowned = await removeUnowned(environment.bucket, timeLeft, { ageMs });
  if (unowned.objects + unowned.uploads > 0) {
    environment.log('Removed objects that belonged to no job.', { ...unowned });
  }
  let copies: string[] = [];
  try {
    copies = await startDueCopies(environment, leg);
  } catch (error) {
    problems.push(`copies of backups: ${describeError(error)}`);
  }
  if (problems.length === 0) return { jobs, redriven, unowned, copies };
  throw new NgbakError(`Could not clean up after ${problems.length} executions: ${problems.join('; ')}`, {
    remedy: 'ngbak retries every 15 minutes. Correct the problems listed above.',
  });
}

/** The event that EventBridge sends when an execution ends, reconstructed from its description. */
function eventOf(ended: DescribeExecutionCommandOutput): ExecutionEnded {
  const { executionArn, name, status, input, output, error, cause } = ended;
  return ExecutionEnded.parse({ detail: { executionArn, name, status, input, output, error, cause } });
}
