import { restorePlanKey } from '../../aws/keys.ts';
import type { BackupRequest } from '../../catalog/request.ts';
import { relatedJobId } from '../../core/job-ids.ts';
import { roleOf, type ServedRole, type StoreName } from '../../core/store-names.ts';
import { lockNameOf } from '../drill/destination.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { HookError, pauseWriters } from '../job/hooks.ts';
import { freeLock, takeLock } from '../job/lock.ts';
import { updateRunningJob } from '../job/record.ts';
import { reportJob } from '../job/report.ts';
import { readResolved } from './inspection.ts';
import { untilStepsEnded } from './lease.ts';
import { type AdmittedRestore, type ResolvedRestore, type RestorePlan, readAdmitted } from './plan.ts';
import { safetyRequest } from './safety.ts';

/** Output of the step: whether and how the workflow takes a safety backup first. */
export interface BegunRestore {
  readonly job_id: string;
  readonly safety_backup: boolean;
  /** Whether this restore is a rollback, which loads as many stores as it can. */
  readonly rollback: boolean;
  /** The restored stores, by role: each has its own legs. */
  readonly stores: Readonly<Record<ServedRole, readonly StoreName[]>>;
  /** Name and input of the safety backup's execution. */
  readonly safety_name: string;
  readonly safety_input: Partial<BackupRequest>;
}

/**
 * Takes the target's lock, and records the plan of the restore: the admitted request with the results of the last
 * inspection. Earlier steps only read; later ones may write to the target's stores.
 */
export async function beginRestore(
  environment: Environment,
  jobId: string,
  leg: LegLimits,
): Promise<BegunRestore> {
  const { bucket } = environment;
  const admitted = await readAdmitted(bucket, jobId);
  const resolved = await readResolved(bucket, jobId);
  const plan: RestorePlan = {
    ...admitted,
    ...resolved,
    safety: safetyOf(admitted, resolved),
    begun_at: new Date().toISOString(),
  };
  const takenFrom = await takeLock(bucket, environment.sfn, {
    target: lockNameOf(plan),
    job_id: jobId,
    kind: plan.drill ? 'drill' : 'restore',
    execution_arn: plan.execution_arn,
  });
  try {
    await updateRunningJob(bucket, jobId, { state: 'processing' });
  } catch (error) {
    // The janitor has already handled the end of this job and will not run for it again, so nothing else would free the
    // lock.
    await freeLock(bucket, lockNameOf(plan), plan.execution_arn);
    throw error;
  }
  // Functions of a job that ended without cleanup notice that they have lost the lock, and stop.
  if (takenFrom !== undefined) await untilStepsEnded(bucket, takenFrom, leg);
  try {
    if (!plan.drill) await pauseWriters(environment, plan.target, jobId);
  } catch (error) {
    // The restore has already paused them, and restoring the data has priority.
    if (!(error instanceof HookError) || plan.rollback_of === undefined) throw error;
    environment.log('The writers could not be paused again for the rollback.', { error: error.message });
  }
  await bucket.writeOnce(restorePlanKey(jobId), plan);
  if (!plan.drill && plan.rollback_of === undefined) await reportJob(environment, 'restore.started', plan);
  if (plan.safety !== 'taken') {
    environment.log('No safety backup is taken.', { job_id: jobId, why: plan.safety });
  }
  const of = (role: ServedRole) => plan.stores.filter((store) => roleOf(store) === role);
  return {
    job_id: jobId,
    safety_backup: plan.safety === 'taken',
    rollback: plan.rollback_of !== undefined,
    stores: { graph: of('graph'), vectors: of('vectors'), kv: of('kv') },
    safety_name: relatedJobId('safety', jobId),
    safety_input: safetyRequest(plan),
  };
}

function safetyOf(
  { rollback_of, drill }: AdmittedRestore,
  { options }: ResolvedRestore,
): RestorePlan['safety'] {
  if (drill !== undefined) return 'not for a drill';
  if (rollback_of !== undefined) return 'not for a rollback';
  return options.safety_backup ? 'taken' : 'declined by the request';
}
