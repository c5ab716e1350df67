import type { DescribeExecutionCommandOutput } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { describeError, NgbakError } from '../../core/errors.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { foldJobDays } from '../job/days.ts';
import { cleanUpAfter, closeForgotten, ExecutionEnded } from './janitor.ts';
import { OVERDUE_MS, overdueJobs } from './overdue.ts';
import { cleanRemaining } from './unclean.ts';
import type { UndeliveredEvents } from './undelivered.ts';
import { removeUnowned, type Unowned } from './unowned.ts';

/** Input of the janitor by which it looks for what its events did not tell. */
export const ReconcileInput = z.strictObject({
  reconcile: z.strictObject({
    /** For how long an execution must have ended, in seconds, before its event is taken for lost. */
    grace_seconds: z.number().int().min(0).optional(),
    /** How old a leftover of no job must be, in seconds, before it is removed. */
    unowned_seconds: z.number().int().min(0).optional(),
  }),
});
export type ReconcileInput = z.infer<typeof ReconcileInput>;

/** The janitor's report of what it caught up on. */
export interface Reconciled {
  /** Jobs that were cleaned up after, or whose servers could be cleaned at last. */
  readonly jobs: string[];
  /** Messages of the queue of undelivered events that were handled and removed. */
  readonly redriven: number;
  /** What belonged to no job. */
  readonly unowned: Unowned;
}

/** Jobs that had ended when this process last looked. */
const closed = new Set<string>();

/**
 * Cleans up after every execution whose end was never handled, whether the event was lost or waits among the undelivered
 * ones, and removes leftovers that belong to no job. One that can't be cleaned up after does not keep the others from it. Throws NgbakError at the end that names all
 * of these; they are tried again by the next call.
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
  if (problems.length === 0) return { jobs, redriven, unowned };
  throw new NgbakError(`Could not clean up after ${problems.length} executions: ${problems.join('; ')}`, {
    remedy: 'ngbak retries every 15 minutes. Correct the problems listed above.',
  });
}

/** The event that EventBridge sends of the end of an execution, from what Step Functions says of it. */
function eventOf(ended: DescribeExecutionCommandOutput): ExecutionEnded {
  const { executionArn, name, status, input, output, error, cause } = ended;
  return ExecutionEnded.parse({ detail: { executionArn, name, status, input, output, error, cause } });
}
