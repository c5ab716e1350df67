import {
  SendTaskFailureCommand,
  SendTaskSuccessCommand,
  type SFNClient,
  TaskTimedOut,
} from '@aws-sdk/client-sfn';
import { z } from 'zod';
import type { Bucket } from '../bucket/bucket.ts';
import { confirmationKey } from '../bucket/layout.ts';
import type { Environment } from '../environment.ts';
import { InvalidInputError } from '../errors.ts';
import { Id } from '../ids.ts';
import { readJob, updateJob } from '../jobs/record.ts';
import { isConfirmed } from './request.ts';

/** The question that a restore waits with: `jobs/<job>/confirmation.json`. */
const Confirmation = z.object({ job_id: Id, task_token: z.string(), asked_at: z.iso.datetime() });

/** Records the workflow's task token, with which somebody confirms or rejects, and says so in the job. */
export async function askForConfirmation(
  environment: Environment,
  jobId: string,
  token: string,
): Promise<void> {
  await environment.bucket.writeRecord(confirmationKey(jobId), {
    job_id: jobId,
    task_token: token,
    asked_at: new Date().toISOString(),
  });
  await updateJob(environment.bucket, jobId, () => ({ state: 'awaiting_confirmation' }));
}

/**
 * Answers a restore that waits. To confirm, `phrase` must be the target's name. Throws InvalidInputError where the
 * job waits for no answer.
 */
export async function answerConfirmation(
  { bucket, sfn }: { bucket: Bucket; sfn: SFNClient },
  jobId: string,
  answer: { confirm: true; phrase: string } | { confirm: false; reason?: string },
): Promise<void> {
  const job = await readJob(bucket, jobId);
  const question = (await bucket.readRecord(confirmationKey(jobId), Confirmation))?.value;
  if (!job || !question || job.state !== 'awaiting_confirmation') {
    throw new InvalidInputError(
      job ? `Job ${jobId} is ${job.state}: it waits for no confirmation.` : `There is no job "${jobId}".`,
      { remedy: 'List the jobs with `ngbak jobs` and take one that is awaiting_confirmation.' },
    );
  }
  if (answer.confirm) isConfirmed(answer.phrase, job.target);
  try {
    const taskToken = question.task_token;
    if (answer.confirm) {
      await sfn.send(new SendTaskSuccessCommand({ taskToken, output: JSON.stringify({ job_id: jobId }) }));
    } else {
      const cause = answer.reason ?? 'The operator rejected the restore. Nothing was changed.';
      await sfn.send(new SendTaskFailureCommand({ taskToken, error: 'RestoreRejected', cause }));
    }
  } catch (error) {
    if (!(error instanceof TaskTimedOut)) throw error;
    throw new InvalidInputError(`Job ${jobId} no longer waits: its time ran out or it was stopped.`, {
      remedy: 'Upload the archive again.',
      cause: error,
    });
  }
}
