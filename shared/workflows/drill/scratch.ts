import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { scratchKey } from '../../aws/keys.ts';
import { IntegrityError, InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import type { ServedStore, StoreName } from '../../core/store-names.ts';
import { withStore } from '../../profiles/open.ts';
import type { LegContext, LegResult } from '../../stores/leg.ts';
import type { Store } from '../../stores/store.ts';
import type { Environment } from '../environment.ts';
import { DrillPlace } from './destination.ts';
import { targetsAt } from './separate.ts';

/** Items that a message lists. */
const SHOWN_MAX = 5;

/**
 * The scope into which a drill loads a store: `jobs/<job>/scratch/<store>.json`, written after the scope was found
 * empty and before anything is created there. Cleanup removes only what such a record names.
 */
const ScratchRecord = z.object({
  job_id: Id,
  /** The configured target whose connection is used. */
  target: Id,
  drill: DrillPlace,
  scope: z.json(),
  claimed_at: z.iso.datetime(),
  /** When everything in it had been removed. */
  removed_at: z.iso.datetime().optional(),
});
type ScratchRecord = z.infer<typeof ScratchRecord>;

/** The scope into which a drill is about to load a store. */
export interface ScratchScope {
  readonly job_id: string;
  readonly target: string;
  readonly drill: DrillPlace;
  readonly scope: unknown;
}

/** The reasons why a drill may not load a store into that scope. Empty if it may. Read-only. */
export async function scratchProblems(
  { config }: Pick<Environment, 'config'>,
  scratch: ScratchScope,
  store: Store,
  context: LegContext,
): Promise<string[]> {
  const others = await targetsAt(config, scratch, store.name as ServedStore);
  const occupied = others.length > 0 ? [] : await store.occupied(context);
  return [
    ...(others.length === 0
      ? []
      : [
          `what the drill would create also belongs to target ${quoted(others)}; configure a target on other servers for drills, with "drills_of"`,
        ]),
    ...(occupied.length === 0
      ? []
      : [`a drill restores only to an empty place, which already contains ${shorten(occupied)}`]),
  ];
}

/**
 * Checks, while holding the lock, that a drill may load a store into that scope, and records the claim. A repeated call
 * finds the record of the first one, and possibly data that it loaded. Throws InvalidInputError.
 */
export async function claimScratch(
  environment: Environment,
  scratch: ScratchScope,
  store: Store,
  context: LegContext,
): Promise<void> {
  const { bucket } = environment;
  if (await findScratch(bucket, scratch.job_id, store.name)) return;
  const problems = await scratchProblems(environment, scratch, store, context);
  if (problems.length > 0) {
    throw new InvalidInputError(`The drill can't load ${store.name}: ${problems.join('; ')}.`, {
      remedy: 'Nothing was changed. Find out what writes there, and start the drill again.',
    });
  }
  const record = { ...scratch, claimed_at: new Date().toISOString() };
  await bucket.writeRecord(scratchKey(scratch.job_id, store.name), record, { absent: true });
}

/**
 * Removes what a drill loaded into a store, and checks that nothing remains. Does nothing if the drill never claimed a
 * scope there. Throws IntegrityError if something remains, InvalidInputError if the scope has since been configured for
 * a target.
 */
export async function removeScratch(
  environment: Environment,
  jobId: string,
  store: Store,
  context: LegContext,
): Promise<LegResult> {
  const { bucket, config } = environment;
  const record = await findScratch(bucket, jobId, store.name);
  if (!record) return { cursor: null, tallies: {} };
  const others = await targetsAt(config, record, store.name as ServedStore);
  if (others.length > 0) {
    throw new InvalidInputError(
      `What drill ${jobId} has created in ${store.name} now belongs to target ${quoted(others)} and is not removed.`,
      { remedy: 'Change the scope of that target in cdk.json and deploy; the janitor then removes it.' },
    );
  }
  const leg = await store.remove(context);
  if (leg.cursor !== null) return leg;
  const leftover = await store.occupied(context);
  if (leftover.length > 0) {
    throw new IntegrityError(
      `After drill ${jobId} was removed from ${store.name}, there is still ${shorten(leftover)}.`,
      { remedy: 'Find out what writes there. The janitor tries again to remove it.' },
    );
  }
  await bucket.writeRecord(scratchKey(jobId, store.name), {
    ...record,
    removed_at: new Date().toISOString(),
  });
  return leg;
}

/** Removes what an ended drill left in a store, in a single call. Does nothing if it was already removed. */
export async function removeLeftScratch(
  environment: Environment,
  jobId: string,
  name: StoreName,
  context: LegContext,
): Promise<void> {
  const { bucket, config } = environment;
  const record = await findScratch(bucket, jobId, name);
  if (!record || record.removed_at !== undefined) return;
  const work = async (store: Store) => {
    await store.cleanup(context);
    while ((await removeScratch(environment, jobId, store, context)).cursor !== null) {
      context.signal.throwIfAborted();
    }
  };
  await withStore(config, record.target, name, work, { [name]: record.scope });
}

/** The scratch record of a store. Undefined if the drill has not created anything there. */
export async function findScratch(
  bucket: Bucket,
  jobId: string,
  store: StoreName,
): Promise<ScratchRecord | undefined> {
  return (await bucket.readRecord(scratchKey(jobId, store), ScratchRecord))?.value;
}

function quoted(targets: readonly string[]): string {
  return targets.map((name) => `"${name}"`).join(', ');
}

function shorten(things: readonly string[]): string {
  const more = things.length - SHOWN_MAX;
  return `${things.slice(0, SHOWN_MAX).join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}
