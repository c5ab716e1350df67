import type { SFNClient } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { ConflictError } from '../../aws/bucket.ts';
import { lockKey } from '../../aws/keys.ts';
import { type Advice, NgbakError } from '../../core/errors.ts';
import { HELP } from '../../core/help.ts';
import { Id } from '../../core/ids.ts';
import { hasEnded } from '../../core/job-state.ts';
import { type RetryOptions, retry } from '../../core/retry.ts';
import { describeExecution, isRunning } from './execution.ts';
import { readJob } from './record.ts';

/**
 * How long the cleanup after an execution may take before an operator should intervene, in milliseconds: the janitor
 * looks for lost events every 15 minutes, and may run for 15 minutes each time.
 */
const CLEAN_UP_MS = 60 * 60 * 1000;

/** Another job uses the target. */
export class TargetLockedError extends NgbakError {
  /** True if a running job holds the lock, so that it will be freed. False if the target waits for an operator. */
  readonly inUse: boolean;
  /** True if the job that holds the lock has ended, and its cleanup frees the lock, usually within seconds. */
  readonly endsSoon: boolean;

  constructor(message: string, options: Advice & { inUse: boolean; endsSoon?: boolean }) {
    super(message, options);
    this.inUse = options.inUse;
    this.endsSoon = options.endsSoon === true;
  }
}

/** Exclusive use of a target: `locks/<target>.json`. Drills use `locks/drill.<target>.json`. */
export const Lock = z.object({
  target: z.string(),
  job_id: Id,
  kind: z.string(),
  execution_arn: z.string(),
  since: z.iso.datetime(),
  /**
   * Why the lock is kept after its execution has ended: the contents of the target are incomplete. Only another restore
   * may take it over.
   */
  kept: z.string().optional(),
  /** True if the execution has ended. Steps of it that still run stop by themselves. */
  ended: z.boolean().optional(),
  /** The job whose lock was taken over. */
  taken_from: Id.optional(),
});
export type Lock = z.infer<typeof Lock>;

/** Attempts while other jobs try to take the same lock. */
const SIMULTANEOUS = { attempts: 5, firstMs: 20 };
/** Attempts while the holder's job is being cleaned up: one and a half to two minutes. */
const CLEAN_UP = { attempts: 30, firstMs: 250, longestMs: 5000 };

/**
 * Takes the target's lock with a conditional write. A lock whose execution has ended is taken over; taking a lock that
 * this execution already holds succeeds. Returns the job that the lock was taken over from, whose functions may still
 * be running. Throws TargetLockedError, which names the holder.
 */
export async function takeLock(
  bucket: Bucket,
  sfn: SFNClient,
  wanted: Pick<Lock, 'target' | 'job_id' | 'kind' | 'execution_arn'>,
): Promise<string | undefined> {
  try {
    return await retry(() => tryLock(bucket, sfn, wanted), {
      ...SIMULTANEOUS,
      isTransient: (error) => error instanceof ConflictError,
    });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    throw new TargetLockedError(`Target "${wanted.target}" is requested by several jobs at the same time.`, {
      remedy: 'Start again in a minute.',
      help: HELP.targetInUse,
      inUse: true,
    });
  }
}

async function tryLock(
  bucket: Bucket,
  sfn: SFNClient,
  wanted: Pick<Lock, 'target' | 'job_id' | 'kind' | 'execution_arn'>,
): Promise<string | undefined> {
  const key = lockKey(wanted.target);
  const held = await bucket.readRecord(key, Lock);
  if (held?.value.execution_arn === wanted.execution_arn) return held.value.taken_from;
  if (held?.value.kept !== undefined && wanted.kind !== 'restore') {
    throw new TargetLockedError(`Target "${wanted.target}" can't be used: ${held.value.kept}`, {
      remedy: 'Restore a good backup into it first, which releases the lock.',
      help: HELP.targetLocked,
      inUse: false,
    });
  }
  const execution = held && (await describeExecution(sfn, held.value.execution_arn));
  if (held && isRunning(execution)) {
    throw new TargetLockedError(
      `Target "${wanted.target}" is in use by ${held.value.kind} job ${held.value.job_id} since ${held.value.since}.`,
      {
        remedy: 'Wait until that job has ended, or cancel it, and start again.',
        help: HELP.targetInUse,
        inUse: true,
      },
    );
  }
  if (held && wanted.kind !== 'restore' && (await isBeingCleanedUp(bucket, held.value))) {
    // Unknown executions have ended long ago.
    const ended = execution ? (execution.stopDate?.getTime() ?? Date.now()) : 0;
    if (Date.now() - ended > CLEAN_UP_MS) {
      throw new TargetLockedError(
        `Target "${wanted.target}" is locked by restore job ${held.value.job_id}, which has ended ${execution?.stopDate ? `at ${execution.stopDate.toISOString()}` : 'long ago'} and was never cleaned up.`,
        {
          remedy: 'Check the log of the function "janitor" and correct the problem that it reports.',
          help: HELP.restoreNotClosed,
          inUse: false,
        },
      );
    }
    throw new TargetLockedError(
      `Target "${wanted.target}" is in use by restore job ${held.value.job_id}, which has ended and is being cleaned up.`,
      {
        remedy: 'Wait until that job is closed, and start again.',
        help: HELP.targetInUse,
        inUse: true,
        endsSoon: true,
      },
    );
  }
  const taken_from = held?.value.job_id;
  await bucket.writeRecord(
    key,
    { ...wanted, since: new Date().toISOString(), ...(taken_from === undefined ? {} : { taken_from }) },
    held ? { etag: held.etag } : { absent: true },
  );
  return taken_from;
}

/**
 * As {@link takeLock}, for a job that starts right after another one: waits up to two minutes for the cleanup of the
 * job that holds the lock. Throws TargetLockedError, immediately if that job is still running.
 */
export function takeLockSoon(
  bucket: Bucket,
  sfn: SFNClient,
  wanted: Pick<Lock, 'target' | 'job_id' | 'kind' | 'execution_arn'>,
  { signal, wait }: Pick<RetryOptions, 'signal' | 'wait'>,
): Promise<string | undefined> {
  return retry(() => takeLock(bucket, sfn, wanted), {
    ...CLEAN_UP,
    signal,
    ...(wait === undefined ? {} : { wait }),
    isTransient: (error) => error instanceof TargetLockedError && error.endsSoon,
  });
}

/**
 * Frees the target's lock if that execution holds it. Idempotent. The delete is conditional, because another job may
 * take the lock over between the read and the delete.
 */
export async function freeLock(bucket: Bucket, target: string, executionArn: string): Promise<void> {
  const key = lockKey(target);
  const held = await bucket.readRecord(key, Lock);
  if (held?.value.execution_arn !== executionArn) return;
  try {
    await bucket.removeRecord(key, held.etag);
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
  }
}

/**
 * Transfers the target's lock from an ended execution to another one, or marks it as kept for a reason. Does nothing if
 * the former does not hold it. Idempotent.
 */
export async function changeLock(
  bucket: Bucket,
  target: string,
  executionArn: string,
  change: Partial<Pick<Lock, 'job_id' | 'execution_arn' | 'kept' | 'ended'>>,
): Promise<void> {
  const held = await bucket.readRecord(lockKey(target), Lock);
  if (held?.value.execution_arn !== executionArn) return;
  await bucket.writeRecord(lockKey(target), { ...held.value, ...change }, { etag: held.etag });
}

/** Checks that this execution still holds the target's lock. Call it before a write. Throws TargetLockedError. */
export async function requireLock(bucket: Bucket, target: string, executionArn: string): Promise<void> {
  const held = await bucket.readRecord(lockKey(target), Lock);
  if (held?.value.execution_arn === executionArn && !held.value.ended) return;
  throw new TargetLockedError(
    held?.value.execution_arn === executionArn
      ? `The job that holds target "${target}" has ended.`
      : held
        ? `Target "${target}" was taken over by ${held.value.kind} job ${held.value.job_id}.`
        : `The lock of target "${target}" no longer exists.`,
    {
      remedy: 'Start again once no other job works on the target.',
      help: HELP.targetInUse,
      inUse: true,
    },
  );
}

/** Whether the janitor has not finished with an ended restore yet: the target may be about to be rolled back. */
async function isBeingCleanedUp(bucket: Bucket, { kind, job_id }: Lock): Promise<boolean> {
  if (kind === 'backup') return false;
  const job = await readJob(bucket, job_id);
  return job !== undefined && !hasEnded(job.state);
}
