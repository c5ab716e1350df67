import { jobProgressPrefix } from '../bucket/layout.ts';
import type { Tallies } from '../digest.ts';
import type { Environment } from '../environment.ts';
import { IntegrityError } from '../errors.ts';
import { readInspection } from './inspection.ts';
import { sumLegs } from './leg.ts';
import { readRestorePlan } from './plan.ts';

/** Output of a restore: what came back, and how that was proved. */
export interface RestoreResult {
  readonly job_id: string;
  readonly target: string;
  readonly backup_id: string;
  /** By store: what was loaded, and what was then read back from the target and found equal to the archive. */
  readonly stores: Record<string, { loaded: Tallies; read_back: Tallies; differences: 0 }>;
  readonly verified: true;
  readonly finished_at: string;
}

/**
 * Last step of a restore: puts together what the legs recorded. The verification of every store must have been
 * recorded, with no difference; a restore is never reported without it.
 */
export async function closeRestore(environment: Environment, jobId: string): Promise<RestoreResult> {
  const plan = await readRestorePlan(environment.bucket, jobId);
  const inspection = await readInspection(environment.bucket, jobId);
  const stores: RestoreResult['stores'] = {};
  for (const store of plan.stores) {
    const loaded = await sumLegs(environment, jobId, store, 'load');
    const verified = await sumLegs(environment, jobId, store, 'verify');
    if (verified.legs === 0 || verified.differences > 0) {
      throw new IntegrityError(`The ${store} of target "${plan.target}" was not verified.`, {
        remedy: `Restore again; the records of the steps are under s3://${environment.bucket.name}/${jobProgressPrefix(jobId)}.`,
      });
    }
    stores[store] = { loaded: loaded.tallies, read_back: verified.tallies, differences: 0 };
  }
  return {
    job_id: jobId,
    target: plan.target,
    backup_id: inspection.archive.backup_id,
    stores,
    verified: true,
    finished_at: new Date().toISOString(),
  };
}
