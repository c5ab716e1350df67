import {
  InvalidToken,
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  type SFNClient,
  TaskDoesNotExist,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { confirmationKey } from '../../aws/keys.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { noSuchJob, RefusedError, requireAllowed } from '../../core/refusals.ts';
import type { Environment } from '../environment.ts';
import { readJob, updateRunningJob } from '../job/record.ts';
import { reportJob } from '../job/report.ts';
import type { InspectState } from './inspect.ts';
import { readInspection } from './inspection.ts';
import { isConfirmed, type RestoreOptions } from './request.ts';

/** A pending confirmation: `jobs/<job>/confirmation.json`. */
const Confirmation = z.object({ job_id: Id, task_token: z.string(), asked_at: z.iso.datetime() });

/** Records the workflow's task token, which is needed to confirm or reject, and updates the state of the job. */
export async function requestConfirmation(
  environment: Environment,
  jobId: string,
  token: string,
): Promise<void> {
  await updateRunningJob(environment.bucket, jobId, {});
  await environment.bucket.writeRecord(confirmationKey(jobId), {
    job_id: jobId,
    task_token: token,
    asked_at: new Date().toISOString(),
  });
  await updateRunningJob(environment.bucket, jobId, { state: 'awaiting_confirmation' });
  const job = await readJob(environment.bucket, jobId);
  if (job) await reportJob(environment, 'restore.awaiting_approval', job);
}

/** A decision about a pending restore. */
export type RestoreDecision =
  /**
   * Approves a restore: `phrase` is the target's name, `inspectedAt` identifies the inspection that the operator has
   * seen.
   */
  | { readonly confirm: true; readonly phrase: string; readonly inspectedAt?: string | undefined }
  | { readonly confirm: false; readonly reason?: string }
  /** Inspects again with other options, and then waits again. */
  | { readonly options: RestoreOptions };

/**
 * Decides a pending restore. Throws RefusedError if the job is not waiting for a decision, InvalidInputError if the
 * phrase is not the target's name, or if the newest inspection refuses the restore or is not the one that the operator
 * has seen. Of concurrent decisions, one takes effect; the others get a RefusedError.
 */
export async function answerConfirmation(
  { bucket, sfn }: { bucket: Bucket; sfn: SFNClient },
  jobId: string,
  answer: RestoreDecision,
): Promise<void> {
  const job = await readJob(bucket, jobId);
  const question = (await bucket.readRecord(confirmationKey(jobId), Confirmation))?.value;
  if (!job) throw noSuchJob(jobId);
  requireAllowed('confirmRestore', job);
  if (!question) throw noLongerWaiting(jobId);
  if ('confirm' in answer && answer.confirm) {
    isConfirmed(answer.phrase, job.target);
    await requireInspection(bucket, jobId, answer.inspectedAt);
  }
  try {
    const taskToken = question.task_token;
    if ('options' in answer) {
      const { options } = answer;
      // The archive has already been verified. Only the comparison with the target is repeated.
      const state: z.input<typeof InspectState> = { job_id: jobId, cursor: { stage: 'target' }, options };
      await sfn.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify(state) }));
    } else if (answer.confirm) {
      await sfn.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify({ job_id: jobId }) }));
    } else {
      const cause = answer.reason ?? 'The operator rejected the restore. Nothing was changed.';
      await sfn.send(new SendTaskFailureCommand({ taskToken, error: 'RestoreRejected', cause }));
    }
  } catch (error) {
    if (![TaskTimedOut, TaskDoesNotExist, InvalidToken].some((kind) => error instanceof kind)) throw error;
    throw noLongerWaiting(jobId, error);
  }
}

function noLongerWaiting(jobId: string, cause?: unknown): RefusedError {
  return new RefusedError(
    `Job ${jobId} is no longer waiting: it was already approved or rejected, has timed out, or was stopped.`,
    { remedy: `Show it with \`ngbak job ${jobId}\`.`, cause },
  );
}

/**
 * The options may have been changed since the operator looked at them. Only an inspection that was seen can be
 * confirmed.
 */
async function requireInspection(
  bucket: Bucket,
  jobId: string,
  inspectedAt: string | undefined,
): Promise<void> {
  const { problems, inspected_at } = await readInspection(bucket, jobId);
  if (problems.length > 0) {
    throw new InvalidInputError(`Job ${jobId} cannot continue: ${problems.slice(0, 5).join('; ')}.`, {
      remedy: 'Choose other options, or reject it.',
    });
  }
  if (inspectedAt !== undefined && inspectedAt !== inspected_at) {
    throw new InvalidInputError(`Job ${jobId} was inspected again, with other options, at ${inspected_at}.`, {
      remedy: 'Review the new findings, then confirm.',
    });
  }
}
