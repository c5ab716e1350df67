import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { UNCLEAN, uncleanKey } from '../../aws/keys.ts';
import { describeError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { StoreList, type StoreName } from '../../core/store-name.ts';
import { withStore } from '../../profiles/open.ts';
import type { LegContext } from '../../stores/leg.ts';
import { removeLeftScratch } from '../drill/scratch.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { legContext } from '../job/leg-context.ts';

/** How long the cleanup of a server is retried, in milliseconds. */
const RETRY_PERIOD_MS = 14 * 24 * 60 * 60 * 1000;
/** Maximum number of begun operations that are kept per job. */
const BEGUN_MAX = 1000;

/** `jobs/.unclean/<job>.json`: the servers on which a job may have left data that could not be removed yet. */
const UncleanServers = z.object({
  job_id: Id,
  target: z.string(),
  stores: StoreList,
  since: z.iso.datetime(),
  /** Operations that its steps recorded as begun, copied here because the job's staging area is emptied. */
  begun: z.array(z.json()).default([]),
});
type UncleanServers = z.infer<typeof UncleanServers>;

/**
 * Removes what a job left on the servers of its target. If a server does not respond, or rejects the login during a
 * password rotation, the others are still cleaned; the failed one is recorded and cleaned later by
 * {@link cleanRemaining}.
 */
export async function cleanServers(
  environment: Environment,
  { job_id, target }: { readonly job_id: string; readonly target: string },
  stores: readonly StoreName[],
  leg: LegLimits,
): Promise<void> {
  const context = legContext(environment, leg, job_id);
  const remaining = await clean(environment, { target, stores }, context);
  if (remaining.length === 0) return;
  const { bucket } = environment;
  const known = (await bucket.readRecord(uncleanKey(job_id), UncleanServers))?.value;
  const begun = [...(known?.begun ?? [])];
  for await (const value of context.leftovers?.all() ?? []) {
    if (begun.length < BEGUN_MAX) begun.push(value as UncleanServers['begun'][number]);
  }
  await bucket.writeRecord(uncleanKey(job_id), {
    job_id,
    target,
    stores: [...new Set([...(known?.stores ?? []), ...remaining])],
    since: known?.since ?? new Date().toISOString(),
    begun,
  });
}

/** Retries the cleanup of servers that could not be cleaned when their job ended. Returns the ids of finished jobs. */
export async function cleanRemaining(environment: Environment, leg: LegLimits): Promise<string[]> {
  const { bucket, log } = environment;
  const done: string[] = [];
  for await (const record of listUnclean(bucket)) {
    if (leg.timeLeft() <= 0) break;
    const { job_id, since, begun } = record;
    const all = async function* () {
      yield* begun;
    };
    const leftovers = { add: () => Promise.resolve(), all };
    const remaining = await clean(environment, record, {
      ...legContext(environment, leg, job_id),
      leftovers,
    });
    const isOver = Date.now() - Date.parse(since) > RETRY_PERIOD_MS;
    if (remaining.length > 0 && isOver) {
      log(
        'Giving up: the leftovers of a job on these servers must be removed manually; their names contain the name of the job.',
        {
          job_id,
          stores: [...remaining],
        },
      );
    }
    if (remaining.length === 0 || isOver) {
      await bucket.removeAll(uncleanKey(job_id));
      done.push(job_id);
    } else if (remaining.length < record.stores.length) {
      await bucket.writeRecord(uncleanKey(job_id), { ...record, stores: remaining });
    }
  }
  return done;
}

async function* listUnclean(bucket: Bucket): AsyncGenerator<UncleanServers> {
  for await (const { key } of bucket.keys(UNCLEAN)) {
    const record = (await bucket.readRecord(key, UncleanServers))?.value;
    if (record) yield record;
  }
}

/** Returns the stores that could not be cleaned. */
async function clean(
  environment: Environment,
  { target, stores }: Pick<UncleanServers, 'target'> & { readonly stores: readonly StoreName[] },
  context: LegContext,
): Promise<StoreName[]> {
  const { config, log } = environment;
  const remaining: StoreName[] = [];
  for (const name of stores) {
    try {
      await withStore(config, target, name, (store) => store.cleanup(context));
      await removeLeftScratch(environment, context.jobId, name, context);
    } catch (error) {
      remaining.push(name);
      log('Could not clean up on the server; the next run of the janitor retries.', {
        store: name,
        job_id: context.jobId,
        error: describeError(error),
      });
    }
  }
  return remaining;
}
