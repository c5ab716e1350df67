import { consistencyKey } from '../../aws/keys.ts';
import type { Consistency } from '../../catalog/consistency.ts';
import { withUsedStore } from '../../profiles/open.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';
import { findWarnings } from './find-warnings.ts';
import { readBackupPlan, storeScopes } from './plan.ts';
import { sumSegments } from './tallies.ts';

/** Differences listed per store. Further ones are only counted. */
const CHANGES_SHOWN_MAX = 20;

/** Describes the differences between two fences of a store. Empty if they are equal. */
export function compareFences(before: Record<string, string>, after: Record<string, string>): string[] {
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  const changes = names
    .filter((name) => before[name] !== after[name])
    .map((name) => `${name}: ${before[name] ?? 'absent'} → ${after[name] ?? 'absent'}`);
  return changes.length <= CHANGES_SHOWN_MAX
    ? changes
    : [...changes.slice(0, CHANGES_SHOWN_MAX), `and ${changes.length - CHANGES_SHOWN_MAX} more`];
}

/**
 * Runs after the last exporter: measures every store again, and records the consistency grade of the archive and the
 * warnings of the backup.
 */
export async function checkConsistency(
  environment: Environment,
  jobId: string,
  leg: LegLimits,
): Promise<Consistency> {
  const plan = await readBackupPlan(environment, jobId);
  const changes: Record<string, string[]> = {};
  await Promise.all(
    plan.stores.map(({ store: name, probe }) =>
      withUsedStore(
        environment.config,
        plan.target,
        name,
        async (store) => {
          const after = await store.probe(legContext(environment, leg, jobId));
          const moved = compareFences(probe.fence, after.fence);
          if (moved.length > 0) changes[name] = moved;
        },
        storeScopes(plan),
      ),
    ),
  );
  const steady = plan.quiesced ? 'quiesced' : 'unchanged';
  const grade = Object.keys(changes).length === 0 ? steady : 'drifted';
  const consistency: Consistency = { grade, changes };
  await environment.bucket.writeRecord(consistencyKey(jobId), consistency);
  await findWarnings(environment, plan, await sumSegments(environment, jobId), leg);
  return consistency;
}
