import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { leasePrefix, restoreLeaseKey } from '../../aws/keys.ts';
import { UnavailableError } from '../../core/errors.ts';
import type { StoreName } from '../../core/store-names.ts';
import { lockNameOf } from '../drill/destination.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { requireLock, TargetLockedError } from '../job/lock.ts';
import type { RestorePlan } from './plan.ts';

/**
 * A step that has not been able to confirm its lease for this long stops, in milliseconds. `NGBAK_LEASE_SECONDS`
 * shortens it in test deployments.
 */
const LEASE_MS = Number(process.env.NGBAK_LEASE_SECONDS ?? 10) * 1000;
/**
 * Interval at which a step that writes to a store renews its lease and checks that it still holds the lock, in
 * milliseconds.
 */
const RENEW_MS = LEASE_MS / 5;
/** Interval at which the lease of another step is polled, in milliseconds. */
const POLL_MS = LEASE_MS / 20;
/** A lease that was not renewed during this many polls, one and a half times {@link LEASE_MS}, has expired. */
const UNCHANGED_POLLS_MAX = 30;

/** A step that is working on one store: `jobs/<job>/leases/<store>.json`, rewritten while it works. */
const Lease = z.object({ invocation: z.string(), at: z.iso.datetime(), ended: z.boolean() });

/**
 * Lets a step write to a store as long as its execution holds the target's lock, and no other step of this job works on
 * that store. Stopping an execution does not stop its functions, and a function that was given up may still run. The
 * next user of the target, such as a rollback, therefore waits with `untilStepsEnded`; the lease keeps this wait short.
 *
 * `work` gets a leg whose signal is aborted when the lock is lost. Throws TargetLockedError in that case, and
 * UnavailableError if the bucket was unreachable for too long, or if an earlier attempt runs for longer than this leg
 * may wait.
 */
export async function underLease<T>(
  { bucket, log }: Environment,
  plan: RestorePlan,
  store: StoreName,
  leg: LegLimits,
  work: (leg: LegLimits) => Promise<T>,
): Promise<T> {
  const key = restoreLeaseKey(plan.job_id, store);
  const invocation = randomUUID();
  const write = (ended: boolean) =>
    bucket.writeRecord(key, { invocation, at: new Date().toISOString(), ended });
  const leaseLost = new AbortController();
  let confirmed = Date.now();
  const renew = async () => {
    try {
      await requireLock(bucket, lockNameOf(plan), plan.execution_arn);
      await write(false);
      confirmed = Date.now();
    } catch (error) {
      if (error instanceof TargetLockedError) leaseLost.abort(error);
      else if (Date.now() - confirmed >= LEASE_MS) leaseLost.abort(unconfirmed(plan, store, error));
    }
  };

  await requireLock(bucket, lockNameOf(plan), plan.execution_arn);
  await untilEnded(bucket, key, leg);
  await write(false);
  let renewing = Promise.resolve();
  const timer = setInterval(() => {
    renewing = renewing.then(renew);
  }, RENEW_MS);
  try {
    return await work({ timeLeft: leg.timeLeft, signal: AbortSignal.any([leg.signal, leaseLost.signal]) });
  } catch (error) {
    leaseLost.signal.throwIfAborted();
    throw error;
  } finally {
    clearInterval(timer);
    await renewing;
    await write(true).catch((error: unknown) => {
      // This costs only time: a job that waits for this step considers it ended a little later.
      log('Could not record that a step has ended.', { store, error: String(error) });
    });
  }
}

/**
 * Waits until no step of that job works on a store. Killed steps do not report their end; they are considered ended
 * once their lease expires. Throws UnavailableError if a step runs for longer than `leg` may wait.
 */
export async function untilStepsEnded(bucket: Bucket, jobId: string, leg: LegLimits): Promise<void> {
  for await (const { key } of bucket.keys(leasePrefix(jobId))) await untilEnded(bucket, key, leg);
}

async function untilEnded(bucket: Bucket, key: string, leg: LegLimits): Promise<void> {
  let seen: { etag: string; polls: number } | undefined;
  for (;;) {
    const lease = await bucket.readRecord(key, Lease);
    if (!lease || lease.value.ended) return;
    // Counts polls instead of comparing times: clocks differ, and the clock of a suspended machine jumps.
    if (seen?.etag !== lease.etag) seen = { etag: lease.etag, polls: 0 };
    else if (++seen.polls >= UNCHANGED_POLLS_MAX) return;
    if (leg.timeLeft() <= 0) {
      throw new UnavailableError(
        `An earlier step is still running: s3://${bucket.place}/${key} is rewritten.`,
        {
          remedy: 'Wait until its function has timed out, 15 minutes at most.',
        },
      );
    }
    await sleep(POLL_MS, undefined, { signal: leg.signal });
  }
}

function unconfirmed(plan: RestorePlan, store: StoreName, cause: unknown): UnavailableError {
  return new UnavailableError(
    `The ${store} step of job ${plan.job_id} could not confirm for ${LEASE_MS / 1000} s that it still holds target "${plan.target}", and stopped.`,
    { remedy: 'Check that the functions can reach S3. The step is retried automatically.', cause },
  );
}
