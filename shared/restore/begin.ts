import type { Environment } from '../environment.ts';
import { takeLock } from '../jobs/lock.ts';
import { updateJob } from '../jobs/record.ts';
import { readRestorePlan } from './plan.ts';

/** Takes the target's lock. Everything before only read; everything after may write to the target's stores. */
export async function beginRestore(environment: Environment, jobId: string): Promise<{ job_id: string }> {
  const plan = await readRestorePlan(environment.bucket, jobId);
  await takeLock(environment.bucket, environment.sfn, {
    target: plan.target,
    job_id: jobId,
    kind: 'restore',
    execution_arn: plan.execution_arn,
  });
  await updateJob(environment.bucket, jobId, () => ({ state: 'processing' }));
  return { job_id: jobId };
}
