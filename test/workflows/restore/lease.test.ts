import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { restoreLeaseKey } from '../../../shared/aws/keys.ts';
import type { Environment, LegLimits } from '../../../shared/workflows/environment.ts';
import { changeLock, takeLock } from '../../../shared/workflows/job/lock.ts';
import { underLease, untilStepsEnded } from '../../../shared/workflows/restore/lease.ts';
import type { RestorePlan } from '../../../shared/workflows/restore/plan.ts';
import { freshEnvironment, waitingMachine } from '../../support/aws.ts';
import { until } from '../../support/until.ts';

let environment: Environment;
let plan: RestorePlan;
const leg = (ms = 60_000): LegLimits => {
  const end = Date.now() + ms;
  return { timeLeft: () => end - Date.now(), signal: new AbortController().signal };
};
const events: string[] = [];
const work = (name: string, ms: number, after?: string) => async (leased: LegLimits) => {
  events.push(`${name} begins`);
  if (after !== undefined) await until(after, () => events.includes(after));
  await sleep(ms, undefined, { signal: leased.signal }).catch(() => undefined);
  events.push(`${name} ${leased.signal.aborted ? 'stops' : 'ends'}`);
  leased.signal.throwIfAborted();
  return name;
};

beforeEach(async () => {
  events.length = 0;
  environment = await freshEnvironment();
  const execution_arn = await (await waitingMachine(environment.sfn)).start();
  plan = {
    job_id: 'job',
    target: 'default',
    execution_arn,
    created_at: new Date().toISOString(),
    source: { bucket: 'b', key: 'k' },
    options: { mode: 'replace', on_conflict: 'fail', dry_run: false, safety_backup: true },
    stores: ['graph'],
    confirmed: true,
  } as RestorePlan;
  await takeLock(environment.bucket, environment.sfn, {
    target: 'default',
    job_id: 'job',
    kind: 'restore',
    execution_arn,
  });
});

describe('a step that writes to a store', () => {
  test('stops once its job has ended, and the next user of the target waits for that', async () => {
    const running = underLease(environment, plan, 'graph', leg(), work('old', 60_000));
    running.catch(() => undefined);
    await until('the step has begun', () => events.length > 0);
    await changeLock(environment.bucket, 'default', plan.execution_arn, { ended: true });
    await untilStepsEnded(environment.bucket, 'job', leg());
    events.push('rollback begins');
    await expect(running).rejects.toThrow(/has ended/);
    expect(events).toEqual(['old begins', 'old stops', 'rollback begins']);
  });

  test('does not start for a job that has ended', async () => {
    await changeLock(environment.bucket, 'default', plan.execution_arn, { ended: true });
    await expect(underLease(environment, plan, 'graph', leg(), work('late', 0))).rejects.toThrow(/has ended/);
    expect(events).toEqual([]);
  });

  test('waits for an earlier attempt that still runs on the same store, and not for other stores', async () => {
    const first = underLease(environment, plan, 'graph', leg(), work('first', 2000, 'other ends'));
    await until('the step has begun', () => events.length > 0);
    await Promise.all([
      first,
      underLease(environment, plan, 'graph', leg(), work('again', 0)),
      underLease(environment, plan, 'kv', leg(), work('other', 0)),
    ]);
    expect(events).toEqual([
      'first begins',
      'other begins',
      'other ends',
      'first ends',
      'again begins',
      'again ends',
    ]);
  });

  test('that was killed is considered gone after a period of silence', async () => {
    await environment.bucket.writeRecord(restoreLeaseKey('job', 'graph'), {
      invocation: 'killed',
      at: new Date().toISOString(),
      ended: false,
    });
    await expect(underLease(environment, plan, 'graph', leg(1000), work('early', 0))).rejects.toThrow(
      /still running/,
    );
    await underLease(environment, plan, 'graph', leg(), work('again', 0));
    expect(events).toEqual(['again begins', 'again ends']);
  });
});
