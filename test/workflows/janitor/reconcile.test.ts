import { randomBytes } from 'node:crypto';
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import {
  CreateStateMachineCommand,
  DescribeExecutionCommand,
  type SFNClient,
  StartExecutionCommand,
  StopExecutionCommand,
} from '@aws-sdk/client-sfn';
import { CreateQueueCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { archiveKey, backupPlanKey, lockKey, stagingPrefix } from '../../../shared/aws/keys.ts';
import { relatedJobId } from '../../../shared/core/job-ids.ts';
import { checkHealth } from '../../../shared/operations/health.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { reconcile } from '../../../shared/workflows/janitor/reconcile.ts';
import { readUndelivered, UndeliveredEvents } from '../../../shared/workflows/janitor/undelivered.ts';
import { takeLock } from '../../../shared/workflows/job/lock.ts';
import { createJob, type JobRecord, readJob } from '../../../shared/workflows/job/record.ts';
import { freshEnvironment, untilEnded } from '../../support/aws.ts';
import { catalogue } from '../../support/catalog.ts';
import { begun } from '../../support/restore-records.ts';

/** No rule forwards the end of these executions: every event is lost. */

const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
/** Runs the scheduled task, for executions that have just ended. */
const NOW = { reconcile: { grace_seconds: 0 } };
const ENDS = {
  SUCCEEDED: { Type: 'Pass', Result: { backup_id: 'b' }, End: true },
  FAILED: { Type: 'Fail', Error: 'IntegrityError', Cause: 'lost a row' },
  ABORTED: { Type: 'Wait', Seconds: 600, End: true },
} as const;
type End = keyof typeof ENDS | 'TIMED_OUT';

let environment: Environment;
const machines = new Map<keyof typeof ENDS, string>();

async function machine(sfn: SFNClient, end: keyof typeof ENDS): Promise<string> {
  const { stateMachineArn = '' } = await sfn.send(
    new CreateStateMachineCommand({
      name: `ends-${end}-${randomBytes(4).toString('hex')}`,
      roleArn: 'arn:aws:iam::000000000000:role/test',
      definition: JSON.stringify({ StartAt: 'End', States: { End: ENDS[end] } }),
    }),
  );
  return stateMachineArn;
}

beforeAll(async () => {
  const { sfn } = await freshEnvironment();
  for (const end of Object.keys(ENDS) as (keyof typeof ENDS)[]) machines.set(end, await machine(sfn, end));
});
beforeEach(async () => {
  environment = await freshEnvironment();
});

/** Starts an execution that ends in that way, and waits for its end. */
async function ended(name: string, end: End, { stop = true } = {}): Promise<string> {
  const { sfn } = environment;
  // The emulator's executions never time out: the status of a failed one is replaced where it is read.
  const stateMachineArn = machines.get(end === 'TIMED_OUT' ? 'FAILED' : end);
  const { executionArn = '' } = await sfn.send(
    new StartExecutionCommand({ stateMachineArn, name, input: '{}' }),
  );
  if (end === 'ABORTED' && stop) await sfn.send(new StopExecutionCommand({ executionArn, cause: 'by me' }));
  if (end === 'TIMED_OUT') {
    sfn.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const output = result.output as {
          executionArn?: string;
          status?: string;
          error?: string;
          cause?: string;
        };
        if (output.executionArn === executionArn && output.status === 'FAILED') {
          Object.assign(output, { status: 'TIMED_OUT', error: undefined, cause: undefined });
        }
        return result;
      },
      { step: 'initialize' },
    );
  }
  if (stop) await untilEnded(sfn, executionArn);
  return executionArn;
}

const newName = (kind: string) => `${kind}_${randomBytes(6).toString('hex')}`;

async function job(
  name: string,
  kind: JobRecord['kind'],
  execution_arn: string,
  changes: Partial<JobRecord> = {},
) {
  const now = new Date().toISOString();
  await createJob(environment.bucket, {
    job_id: name,
    kind,
    target: 'default',
    state: 'processing',
    execution_arn,
    created_at: now,
    updated_at: now,
    ...changes,
  });
  const lock = { target: 'default', job_id: name, kind, execution_arn, since: now };
  await environment.bucket.writeRecord(lockKey('default'), lock);
}

const lockHolder = async () => {
  for await (const { key } of environment.bucket.keys('locks/')) return key;
  return undefined;
};

async function unfinishedUploads(): Promise<string[]> {
  const { bucket } = environment;
  const { Uploads = [] } = await bucket.s3.send(new ListMultipartUploadsCommand({ Bucket: bucket.name }));
  return Uploads.map(({ Key = '' }) => Key);
}

/** A backup that was interrupted while its archive was composed. */
async function cutOffBackup(name: string, executionArn: string, backupId: string): Promise<void> {
  const { bucket } = environment;
  await job(name, 'backup', executionArn, { backup_id: backupId });
  await bucket.writeRecord(backupPlanKey(name), {
    job_id: name,
    backup_id: backupId,
    target: 'default',
    execution_arn: executionArn,
    created_at: new Date().toISOString(),
    type: 'full',
    request: {},
    quiesced: false,
    stores: [],
  });
  for (const Key of [archiveKey(backupId), `${stagingPrefix(name)}segments/a.seg`]) {
    await bucket.s3.send(new CreateMultipartUploadCommand({ Bucket: bucket.name, Key }));
  }
}

describe('an execution whose end was not reported', () => {
  test.each<[End, object]>([
    ['SUCCEEDED', { state: 'completed', result: { backup_id: 'b' } }],
    ['FAILED', { state: 'failed', error: { name: 'IntegrityError', message: 'lost a row' } }],
    [
      'TIMED_OUT',
      { state: 'failed', error: { name: 'TIMED_OUT', message: expect.stringContaining('timed out') } },
    ],
    ['ABORTED', { state: 'cancelled', error: { message: 'by me' } }],
  ])('of a backup that %s is cleaned up, unfinished uploads included', async (end, expected) => {
    const name = newName('backup');
    await cutOffBackup(name, await ended(name, end), 'snapshot_a');
    expect(await unfinishedUploads()).toHaveLength(2);
    expect(await reconcile(environment, NOW, leg)).toMatchObject({ jobs: [name], redriven: 0 });
    expect(await readJob(environment.bucket, name)).toMatchObject(expected);
    expect(await lockHolder()).toBeUndefined();
    expect(await unfinishedUploads()).toEqual([]);
    expect(await environment.bucket.readRecord(backupPlanKey(name), z.unknown())).toBeUndefined();
    // Again: nothing is left to do.
    expect(await reconcile(environment, NOW, leg)).toMatchObject({ jobs: [], redriven: 0 });
  });

  test.each<[End]>([['FAILED'], ['TIMED_OUT'], ['ABORTED']])(
    'of a restore that %s after its safety backup is rolled back, once',
    async (end) => {
      const { bucket, sfn } = environment;
      const name = newName('restore');
      const executionArn = await ended(name, end);
      await job(name, 'restore', executionArn);
      await begun(environment, { job_id: name, execution_arn: executionArn, stores: [] });
      const safety = relatedJobId('safety', name);
      await job(safety, 'backup', 'arn:aws:states:us-east-1:000000000000:execution:x:gone', {
        backup_id: 'snapshot_safe',
        state: 'completed',
      });
      await bucket.writeRecord(lockKey('default'), {
        target: 'default',
        job_id: name,
        kind: 'restore',
        execution_arn: executionArn,
        since: new Date().toISOString(),
      });
      await catalogue(bucket, { backup_id: 'snapshot_safe', job_id: safety });
      expect((await reconcile(environment, NOW, leg)).jobs).toEqual([name]);
      const rollback = relatedJobId('rollback', name);
      const rollbackArn = executionArn.replace(name, rollback);
      const { input } = await sfn.send(new DescribeExecutionCommand({ executionArn: rollbackArn }));
      expect(JSON.parse(input ?? '')).toEqual({ rollback_of: name });
      expect((await readJob(bucket, name))?.state).toBe('processing');
      if (end === 'ABORTED') {
        // While the rollback runs, the restore is left alone.
        expect((await reconcile(environment, NOW, leg)).jobs).toEqual([]);
        await sfn.send(new StopExecutionCommand({ executionArn: rollbackArn, cause: 'stopped too' }));
      }
      await untilEnded(sfn, rollbackArn);
      // It ended before it could record its own job: the restore is closed nevertheless, and the target stays locked.
      expect((await reconcile(environment, NOW, leg)).jobs).toEqual([name]);
      const closed = await readJob(bucket, name);
      expect(closed?.state).toBe('failed');
      expect(closed?.error?.message).toContain('snapshot_safe');
      const lock = { target: 'default', job_id: 'next', kind: 'backup', execution_arn: 'arn:next' };
      await expect(takeLock(bucket, sfn, lock)).rejects.toThrow(/can't be used/);
    },
  );

  test('is ignored while its event may still arrive, and while it runs', async () => {
    const [done, running] = [newName('backup'), newName('backup')];
    await job(done, 'backup', await ended(done, 'SUCCEEDED'));
    await job(running, 'backup', await ended(running, 'ABORTED', { stop: false }));
    expect((await reconcile(environment, { reconcile: {} }, leg)).jobs).toEqual([]);
    expect((await reconcile(environment, NOW, leg)).jobs).toEqual([done]);
  });

  test('that Step Functions no longer knows is closed as failed, and a restore keeps the lock of its target', async () => {
    const { bucket, sfn } = environment;
    const name = newName('restore');
    const arn = `arn:aws:states:us-east-1:000000000000:execution:no-such-machine:${name}`;
    const safety = relatedJobId('safety', name);
    await job(safety, 'backup', arn, { backup_id: 'snapshot_safe', state: 'completed' });
    await catalogue(bucket, { backup_id: 'snapshot_safe', job_id: safety });
    await job(name, 'restore', arn, { created_at: new Date(Date.now() - 100 * 86_400_000).toISOString() });
    expect((await reconcile(environment, NOW, leg)).jobs).toEqual([name]);
    expect(await readJob(bucket, name)).toMatchObject({
      state: 'failed',
      error: { name: 'ExecutionForgotten' },
    });
    const lock = { target: 'default', job_id: 'next', kind: 'backup', execution_arn: 'arn:next' };
    await expect(takeLock(bucket, sfn, lock)).rejects.toThrow(/ngbak restore snapshot_safe/);
  });

  test('and that cannot be cleaned up does not prevent the cleanup of others', async () => {
    const { bucket } = environment;
    const [bad, good] = [`backup_0${randomBytes(4).toString('hex')}`, newName('backup_1')];
    await job(bad, 'backup', await ended(bad, 'SUCCEEDED'));
    await bucket.s3.send(
      new PutObjectCommand({ Bucket: bucket.name, Key: backupPlanKey(bad), Body: '{"not": "a plan"}' }),
    );
    await job(good, 'backup', await ended(good, 'SUCCEEDED'));
    await expect(reconcile(environment, NOW, leg)).rejects.toThrow(new RegExp(`1 executions: job ${bad}`));
    expect((await readJob(bucket, good))?.state).toBe('completed');
  });

  test('is reported by health, which is degraded', async () => {
    const { bucket, sfn } = environment;
    const name = newName('backup');
    const executionArn = await ended(name, 'FAILED');
    await job(name, 'backup', executionArn);
    // As if it had ended ten minutes ago.
    sfn.middlewareStack.add(
      (next) => async (args) => {
        const result = await next(args);
        const output = result.output as { stopDate?: Date };
        if (output.stopDate) output.stopDate = new Date(output.stopDate.getTime() - 10 * 60_000);
        return result;
      },
      { step: 'initialize' },
    );
    const stateMachineArn = machines.get('FAILED') ?? '';
    const health = await checkHealth({
      bucket,
      sfn,
      stateMachines: { backup: stateMachineArn, restore: stateMachineArn },
    });
    const cleanUp = health.checks.find((check) => check.name === 'clean-up');
    expect(cleanUp).toMatchObject({ ok: false, message: expect.stringContaining(name) });
    expect(health.status).toBe('degraded');
  });
});

test('a scheduled backup fails if a restore was not cleaned up for more than an hour', async () => {
  const { bucket, sfn } = environment;
  const name = newName('restore');
  const executionArn = await ended(name, 'FAILED');
  await job(name, 'restore', executionArn);
  const lock = { target: 'default', job_id: 'next', kind: 'backup', execution_arn: 'arn:next' };
  await expect(takeLock(bucket, sfn, lock)).rejects.toMatchObject({ inUse: true });
  sfn.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args);
      const output = result.output as { stopDate?: Date };
      if (output.stopDate) output.stopDate = new Date(output.stopDate.getTime() - 61 * 60_000);
      return result;
    },
    { step: 'initialize' },
  );
  await expect(takeLock(bucket, sfn, lock)).rejects.toMatchObject({
    inUse: false,
    message: expect.stringContaining('never cleaned up'),
  });
});

describe('the queue of undelivered events', () => {
  const event = (name: string, executionArn: string) => ({
    'detail-type': 'Step Functions Execution Status Change',
    source: 'aws.states',
    detail: { executionArn, name, status: 'SUCCEEDED', input: '{}', output: '{}', stopDate: 1 },
  });

  test('is processed in both formats, and messages in an unknown format stay', async () => {
    const { bucket } = environment;
    const sqs = new SQSClient({});
    const { QueueUrl = '' } = await sqs.send(
      new CreateQueueCommand({ QueueName: `undelivered-${randomBytes(4).toString('hex')}` }),
    );
    const send = (body: unknown) =>
      sqs.send(
        new SendMessageCommand({
          QueueUrl,
          MessageBody: typeof body === 'string' ? body : JSON.stringify(body),
        }),
      );
    const [plain, wrapped] = [newName('backup'), newName('backup')];
    for (const name of [plain, wrapped]) {
      await job(name, 'backup', `arn:aws:states:us-east-1:000000000000:execution:m:${name}`);
    }
    await send(event(plain, `arn:aws:states:us-east-1:000000000000:execution:m:${plain}`));
    await send({
      version: '1.0',
      requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 3 },
      requestPayload: event(wrapped, `arn:aws:states:us-east-1:000000000000:execution:m:${wrapped}`),
      responsePayload: { errorType: 'Error' },
    });
    await send({ version: '1.0', requestPayload: { reconcile: {} } });
    await send('not ours');
    const queue = new UndeliveredEvents(QueueUrl, () => undefined);
    expect(await reconcile(environment, { reconcile: {} }, leg, queue)).toMatchObject({
      jobs: [],
      redriven: 2,
    });
    for (const name of [plain, wrapped]) {
      expect((await readJob(bucket, name))?.state).toBe('completed');
    }
    expect(await reconcile(environment, { reconcile: {} }, leg, queue)).toMatchObject({
      jobs: [],
      redriven: 0,
    });
  });

  test('accepts only messages that contain an event', () => {
    expect(readUndelivered(undefined)).toBeUndefined();
    expect(readUndelivered('[]')).toBeUndefined();
    expect(readUndelivered('{"requestPayload": {"detail": {"status": "RUNNING"}}}')).toBeUndefined();
  });
});
