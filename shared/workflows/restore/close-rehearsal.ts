import type { Tallies } from '../../core/digest.ts';
import { IntegrityError } from '../../core/errors.ts';
import { isRehearsal } from '../drill/destination.ts';
import type { Environment } from '../environment.ts';
import { closeRestore, type RestoreResult } from './close.ts';
import { readInspection } from './inspection.ts';
import { sumLegs } from './leg.ts';
import { type RestorePlan, readRestorePlan } from './plan.ts';

/** Output of a rehearsal. It lacks `verified`, because nothing was restored. */
export interface RehearsalResult {
  readonly job_id: string;
  readonly target: string;
  readonly backup_id: string;
  readonly rehearsal: true;
  /** Why it took the place of a drill, if it was not requested. */
  readonly reason?: string;
  /** By store: the records that its restore function has parsed. */
  readonly stores: Record<string, { parsed: Tallies }>;
  readonly finished_at: string;
}

/** Last step of the restore workflow, whatever it has done. */
export async function closeExecution(
  environment: Environment,
  jobId: string,
): Promise<RestoreResult | RehearsalResult> {
  const plan = await readRestorePlan(environment.bucket, jobId);
  return isRehearsal(plan) ? closeRehearsal(environment, plan) : closeRestore(environment, jobId);
}

/** Requires that the restore function of every store has parsed its records. */
async function closeRehearsal(environment: Environment, plan: RestorePlan): Promise<RehearsalResult> {
  const { archive } = await readInspection(environment.bucket, plan.job_id);
  const stores: RehearsalResult['stores'] = {};
  for (const store of plan.stores) {
    const { complete, tallies } = await sumLegs(environment, plan.job_id, store, 'rehearse');
    if (!complete) {
      throw new IntegrityError(`The restore of the ${store} of target "${plan.target}" was not rehearsed.`, {
        remedy: 'Start the rehearsal again.',
      });
    }
    stores[store] = { parsed: tallies };
  }
  return {
    job_id: plan.job_id,
    target: plan.target,
    backup_id: archive.backup_id,
    rehearsal: true,
    ...(plan.drill?.reason === undefined ? {} : { reason: plan.drill.reason }),
    stores,
    finished_at: new Date().toISOString(),
  };
}
