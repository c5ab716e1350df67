import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { consistencyKey, proofsKey } from '../../aws/keys.ts';
import type { Consistency } from '../../catalog/consistency.ts';
import { byStore } from '../../core/store-name.ts';
import { withUsedStore } from '../../profiles/open.ts';
import type { LegContext } from '../../stores/leg.ts';
import { describeChanges } from '../../stores/proof.ts';
import type { Store } from '../../stores/store.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import { findWarnings } from './find-warnings.ts';
import { type BackupPlan, readBackupPlan, storeScopes } from './plan.ts';
import { sumTallies } from './tallies.ts';

/** By store: what proves that it did not change during the backup. `staging/<job>/proofs.json`. */
const Proofs = byStore(z.record(z.string(), z.string()));
type Proofs = z.infer<typeof Proofs>;

/** The result of {@link checkConsistency} for later backups. Empty for a job that an earlier version started. */
export async function readProofs(bucket: Bucket, jobId: string): Promise<Proofs> {
  return (await bucket.readRecord(proofsKey(jobId), Proofs))?.value ?? {};
}

/**
 * Runs after the last exporter: determines whether the stores changed, and records the consistency grade of the archive, the
 * warnings of the backup, and what proves to a later backup that a store is still the same.
 */
export async function checkConsistency(
  environment: Environment,
  jobId: string,
  leg: LegLimits,
): Promise<Consistency> {
  const plan = await readBackupPlan(environment, jobId);
  const changes: Record<string, string[]> = {};
  const proofs: Proofs = {};
  await Promise.all(
    plan.stores.map((planned) =>
      withUsedStore(
        environment.config,
        plan.target,
        planned.store,
        async (store) => {
          const { moved, proof } = await measureAgain(store, planned, legContext(environment, leg, jobId));
          if (moved.length > 0) changes[planned.store] = moved;
          else if (proof) proofs[planned.store] = proof;
        },
        storeScopes(plan),
      ),
    ),
  );
  const steady = plan.quiesced ? 'quiesced' : 'unchanged';
  const grade = Object.keys(changes).length === 0 ? steady : 'drifted';
  const consistency: Consistency = { grade, changes };
  await environment.bucket.writeRecord(consistencyKey(jobId), consistency);
  await environment.bucket.writeRecord(proofsKey(jobId), proofs);
  await findWarnings(environment, plan, await sumTallies(environment, plan), leg);
  return consistency;
}

/**
 * The changes of a store since it was planned, and its proof if there are none. An equal proof says more than equal
 * measurements, so that the store is not measured again. Without one, the measurement still tells whether it changed,
 * except for a store that is carried, which was not measured before either.
 */
async function measureAgain(
  store: Store,
  { probe, proof: before, carried }: BackupPlan['stores'][number],
  context: LegContext,
): Promise<{ moved: string[]; proof?: Record<string, string> }> {
  if (before !== undefined) {
    const after = await store.prove?.(context);
    const moved =
      after?.values === undefined ? [`no proof: ${after?.reason}`] : describeChanges(before, after.values);
    if (moved.length === 0) return { moved, proof: before };
    if (carried) return { moved };
  }
  return { moved: describeChanges(probe.fence, (await store.probe(context)).fence) };
}
