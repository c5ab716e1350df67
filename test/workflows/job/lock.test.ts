import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Environment } from '../../../shared/workflows/environment.ts';
import {
  changeLock,
  freeLock,
  requireLock,
  takeLock,
  takeLockSoon,
} from '../../../shared/workflows/job/lock.ts';
import { createJob, updateJob } from '../../../shared/workflows/job/record.ts';
import { freshEnvironment, waitingMachine } from '../../support/aws.ts';

let environment: Environment;
let first: string;
let second: string;
const lock = (execution_arn: string, kind = 'backup') => ({
  target: 'default',
  job_id: `job-of-${execution_arn.slice(-4)}`,
  kind,
  execution_arn,
});
const take = (wanted: ReturnType<typeof lock>) => takeLock(environment.bucket, environment.sfn, wanted);

beforeEach(async () => {
  environment = await freshEnvironment();
  const machine = await waitingMachine(environment.sfn);
  first = await machine.start('first');
  second = await machine.start('second');
});

describe('the lock of a target', () => {
  test('has one holder, whose job is named to everyone else', async () => {
    await take(lock(first));
    await expect(take(lock(second))).rejects.toThrow(/job-of-irst/);
  });

  test('may be acquired twice by its holder', async () => {
    await take(lock(first));
    await expect(take(lock(first))).resolves.toBeUndefined();
  });

  test('is acquired by exactly one of twenty concurrent requests', async () => {
    const machine = await waitingMachine(environment.sfn);
    const arns = await Promise.all(Array.from({ length: 20 }, (_, i) => machine.start(`e${i}`)));
    const results = await Promise.allSettled(arns.map((arn) => take(lock(arn))));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  test('is taken over once the execution of its holder has ended, and not before', async () => {
    await take(lock(first));
    await expect(take(lock(second))).rejects.toThrow();
    await environment.sfn.send(new StopExecutionCommand({ executionArn: first }));
    // The new holder must know whose functions may still be running, also when it asks again.
    expect(await take(lock(second))).toBe(lock(first).job_id);
    expect(await take(lock(second))).toBe(lock(first).job_id);
    await expect(requireLock(environment.bucket, 'default', second)).resolves.toBeUndefined();
    await expect(requireLock(environment.bucket, 'default', first)).rejects.toThrow(/taken over/);
  });

  test('of a restore that ended is not available for backups until the janitor has decided about the target', async () => {
    const job = { ...lock(first, 'restore'), job_id: 'restore-of-first' };
    await take(job);
    const now = new Date().toISOString();
    await createJob(environment.bucket, {
      job_id: job.job_id,
      kind: 'restore',
      target: 'default',
      state: 'processing',
      created_at: now,
      updated_at: now,
    });
    await environment.sfn.send(new StopExecutionCommand({ executionArn: first }));
    await expect(take(lock(second))).rejects.toThrow(
      /restore-of-first, which has ended and is being cleaned up/,
    );
    // A backup that is started right after the restore waits for that.
    let waits = 0;
    const wait = async () => {
      if (++waits === 3) await updateJob(environment.bucket, job.job_id, () => ({ state: 'failed' }));
    };
    const waiting = (name: string) => takeLockSoon(environment.bucket, environment.sfn, lock(name), { wait });
    expect(await waiting(second)).toBe(job.job_id);
    expect(waits).toBe(3);
    // It does not wait for a job that is still running.
    await expect(waiting(first)).rejects.toThrow(/is in use by backup job/);
    expect(waits).toBe(3);
  });

  test('is released by its holder only', async () => {
    await take(lock(first));
    await freeLock(environment.bucket, 'default', second);
    await expect(take(lock(second))).rejects.toThrow();
    await freeLock(environment.bucket, 'default', first);
    await take(lock(second));
  });

  test('that is kept after a failed rollback admits a restore, but no backup', async () => {
    await take(lock(first, 'restore'));
    await environment.sfn.send(new StopExecutionCommand({ executionArn: first }));
    await changeLock(environment.bucket, 'default', first, { kept: 'it holds half of a restore.' });
    await expect(take(lock(second))).rejects.toThrow(/half of a restore/);
    await take(lock(second, 'restore'));
  });
});
