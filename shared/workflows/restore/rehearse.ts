import { openArchive } from '../../archive/read/open.ts';
import type { Tallies } from '../../core/digest.ts';
import { damagedArchive, InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { resolveStore } from '../../profiles/open.ts';
import { viewOf } from '../../profiles/view.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { checkLeg } from '../job/check-leg.ts';
import type { ProgressWriter } from '../job/progress.ts';
import { openSource } from './open-source.ts';
import { type RestorePlan, storeOptions } from './plan.ts';

/** What a rehearsal may use of a store: nothing that writes. */
type RehearsedStore = Pick<Store, 'name' | 'probe' | 'admits'>;

/** The result of one leg of a rehearsal. */
export interface RehearsalLeg {
  readonly cursor: Json;
  /** Returned by the last leg: counts and digests of the records that were parsed. */
  readonly tallies: Tallies;
}

/**
 * One leg of the rehearsal of one store, in the function that would restore it: connects to the server with the
 * credentials of the target, measures it, asks whether it could load the archive, and reads and parses every record as
 * a load does. Writes nothing. Throws InvalidInputError if the server could not load the archive, IntegrityError if the
 * archive is damaged.
 */
export async function rehearse(
  environment: Environment,
  plan: RestorePlan,
  store: RehearsedStore,
  cursor: Json,
  { leg, context, progress }: { leg: LegLimits; context: LegContext; progress: ProgressWriter },
): Promise<RehearsalLeg> {
  const { bucket } = environment;
  const source = await openSource(bucket, plan.archive);
  if (cursor === null) await requireLoadable(environment, plan, store, context);
  const { name } = store;
  if (name === 'config') return { cursor: null, tallies: {} };
  const { adapter } = resolveStore(environment.config, plan.target, name);
  // Each store has a check of its own, of its entries only.
  const checked = await checkLeg(bucket, `${plan.job_id}/${name}`, source, {
    cursor,
    leg,
    only: adapter,
    progress: (done, total) => progress.report('bytes', done, total),
  });
  for (const { store: _, ...warning } of checked.warnings) context.warn(warning);
  const [problem, ...others] = checked.problems;
  if (problem === undefined) return { cursor: checked.cursor, tallies: checked.tallies[name] ?? {} };
  throw damagedArchive(`${problem}${others.length === 0 ? '' : `; and ${others.length} more problems`}.`);
}

async function requireLoadable(
  environment: Environment,
  plan: RestorePlan,
  store: RehearsedStore,
  context: LegContext,
): Promise<void> {
  await store.probe(context);
  const opened = await openArchive(await openSource(environment.bucket, plan.archive));
  const archive = viewOf(environment.config, plan, opened, store.name);
  const problems = await store.admits({ archive, options: storeOptions(plan), context });
  if (problems.length === 0) return;
  throw new InvalidInputError(`A restore could not load ${store.name}: ${problems.join('; ')}.`, {
    remedy: 'Correct these problems, and rehearse again. Nothing was written.',
  });
}
