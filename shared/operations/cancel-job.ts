import { ExecutionDoesNotExist, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { restoreRequestKey, uploadPrefix } from '../aws/keys.ts';
import { hasEnded, JOB_STATES } from '../core/job-state.ts';
import { requireAllowed } from '../core/refusals.ts';
import { type JobRecord, updateJob } from '../workflows/job/record.ts';
import { findAdmitted } from '../workflows/restore/plan.ts';
import { UploadRequest } from '../workflows/restore/request.ts';
import { abortUpload } from '../workflows/restore/upload-parts.ts';
import type { OperationsContext } from './context.ts';
import { showJob } from './show-job.ts';

export const Cancellation = z.object({
  job_id: z.string(),
  /**
   * `cancelled` immediately for a job that was waiting for its upload. Otherwise the current state, which changes after
   * the cleanup.
   */
  state: z.enum(JOB_STATES),
  message: z.string(),
});
export type Cancellation = z.infer<typeof Cancellation>;

/** The effect of stopping a job, by kind. */
const EFFECTS: Readonly<Record<JobRecord['kind'], string>> = {
  backup: '; the unfinished backup is removed',
  restore: '. If it had started to write, its target is rolled back',
  drill: '; what it has restored is removed',
};

/**
 * Stops a job. The janitor cleans up after it, and rolls back a restore that had begun to write. Throws RefusedError
 * for jobs that have ended, and for rollbacks, which would leave the target with incomplete data.
 */
export async function cancelJob(
  context: OperationsContext,
  jobId: string,
  by: { requestedBy: string },
): Promise<Cancellation> {
  const { bucket, sfn } = context;
  const job = await showJob(context, jobId);
  const restore = await findAdmitted(bucket, job.job_id);
  const isRollback = restore?.rollback_of !== undefined;
  requireAllowed('cancelJob', { ...job, isRollback });
  if (job.execution_arn === undefined) {
    const changed = await updateJob(bucket, job.job_id, (record) =>
      record.execution_arn === undefined && !hasEnded(record.state)
        ? {
            state: 'cancelled',
            finished_at: new Date().toISOString(),
            error: { name: 'Cancelled', message: `Cancelled by ${by.requestedBy} before its upload.` },
          }
        : undefined,
    );
    if (changed?.state === 'cancelled') {
      const request = (await bucket.readRecord(restoreRequestKey(job.job_id), UploadRequest))?.value;
      if (request?.multipart) {
        await abortUpload(bucket, { key: request.key, upload_id: request.multipart.upload_id });
      }
      await bucket.removeAll(uploadPrefix(job.job_id));
      return { job_id: job.job_id, state: 'cancelled', message: 'The job was cancelled before its upload.' };
    }
    // The upload arrived in the meantime, so the job is now running.
    return cancelJob(context, jobId, by);
  }
  try {
    await sfn.send(
      new StopExecutionCommand({
        executionArn: job.execution_arn,
        error: 'Cancelled',
        cause: `Cancelled by ${by.requestedBy}.`,
      }),
    );
  } catch (error) {
    if (!(error instanceof ExecutionDoesNotExist)) throw error;
    requireAllowed('cancelJob', { ...job, state: 'gone', isRollback });
  }
  return {
    job_id: job.job_id,
    state: job.state,
    message: `The job is being stopped${EFFECTS[job.kind]}.`,
  };
}
