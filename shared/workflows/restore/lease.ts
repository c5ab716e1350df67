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
 * A step that could not confirm its lease for this long stops, in milliseconds. `NGBAK_LEASE_SECONDS` shortens it in
 * deployments for tests.
 */
const LEASE_MS = Number(process.env.NGBAK_LEASE_SECONDS ?? 10) * 1000;
/** A step that writes to a store renews its lease, and checks that it still holds the lock, this often, in milliseconds. */
const RENEW_MS = LEASE_MS / 5;
/** Between two looks at a lease that somebody waits for, in milliseconds. */
const LOOK_MS = LEASE_MS / 20;
/** A lease that was not renewed for so many looks, one and a half times {@link LEASE_MS}, has expired. */
const SILENT_LOOKS_MAX = 30;

/** A step at work on one store: `jobs/<job>/leases/<store>.json`, rewritten while it works. */
const Lease = z.object({ invocation: z.string(), at: z.iso.datetime(), ended: z.boolean() });

/**
 * Lets a step write to a store for as long as its execution holds the target's lock, and no other step of this job works
 * on that store. Stopping an execution does not stop its functions, and one that was given up may still run: whoever
 * continues with the target, be it a rollback, waits for `untilStepsEnded`, and this makes the wait short.
 *
 * `work` gets a leg whose signal is aborted when the lock is lost. Throws TargetLockedError then, and UnavailableError
 * where the bucket could not be asked for too long, or an earlier attempt continues for longer than this leg may wait.
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
      // Nothing is lost by it but time: whoever waits for this step takes it for gone a little later.
      log('Could not record that a step has ended.', { store, error: String(error) });
    });
  }
}

/**
 * Waits until no step of that job works on a store any more. Steps that were killed say nothing: they count as gone
 * after a while of silence. Throws UnavailableError where one continues for longer than `leg` may wait.
 */
export async function untilStepsEnded(bucket: Bucket, jobId: string, leg: LegLimits): Promise<void> {
  for await (const { key } of bucket.keys(leasePrefix(jobId))) await untilEnded(bucket, key, leg);
}

async function untilEnded(bucket: Bucket, key: string, leg: LegLimits): Promise<void> {
  let seen: { etag: string; looks: number } | undefined;
  for (;;) {
    const lease = await bucket.readRecord(key, Lease);
    if (!lease || lease.value.ended) return;
    // Looks and no times: clocks differ, and a machine that stood still finds its clock gone on.
    if (seen?.etag !== lease.etag) seen = { etag: lease.etag, looks: 0 };
    else if (++seen.looks >= SILENT_LOOKS_MAX) return;
    if (leg.timeLeft() <= 0) {
      throw new UnavailableError(
        `An earlier step is still running: s3://${bucket.place}/${key} is rewritten.`,
        {
          remedy: 'Wait until its function has timed out, 15 minutes at most.',
        },
      );
    }
    await sleep(LOOK_MS, undefined, { signal: leg.signal });
  }
}

function unconfirmed(plan: RestorePlan, store: StoreName, cause: unknown): UnavailableError {
  return new UnavailableError(
    `The ${store} step of job ${plan.job_id} could not confirm for ${LEASE_MS / 1000} s that it still holds target "${plan.target}", and stopped.`,
    { remedy: 'Check that the functions can reach S3. The step is retried automatically.', cause },
  );
}
