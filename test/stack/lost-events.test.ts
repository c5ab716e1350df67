import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { CreateMultipartUploadCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from '@jest/globals';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { cancelJob } from '../../shared/operations/cancel-job.ts';
import { RequestRestoreInput, requestRestore } from '../../shared/operations/restore.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { until } from '../support/until.ts';
import { fillTarget, readTarget, SCRATCH } from './content.ts';
import { deployedStack } from './harness.ts';
import { LOADS, whileHeld } from './held.ts';

/** The emulator loses the events of executions whose names contain `lost_event`: local/emulator/lost_events.py. */

const stack = deployedStack();
const target = 'scratch';
const RUN = process.pid;

/** Runs the scheduled task, without waiting for an event that may still arrive. */
async function reconcile(
  more: object = {},
): Promise<{ jobs: string[]; unowned: { objects: number; uploads: number } }> {
  const answer = await new LambdaClient({}).send(
    new InvokeCommand({
      FunctionName: 'NgbakTest-janitor',
      Payload: JSON.stringify({ reconcile: { grace_seconds: 0, ...more } }),
    }),
  );
  const text = Buffer.from(answer.Payload ?? []).toString('utf8');
  if (answer.FunctionError !== undefined) throw new Error(text);
  return JSON.parse(text);
}

beforeAll(() => fillTarget());

test('a backup, a failed restore and its rollback are cleaned up although no event of them arrives', async () => {
  const name = `backup_lost_event_${RUN}`;
  const backup = await stack.run('Backup', { target }, name);
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  expect((await readJob(stack.bucket, name))?.state).toBe('processing');
  // It also closes jobs of other tests whose event has not arrived yet.
  expect((await reconcile()).jobs).toContain(name);
  expect((await readJob(stack.bucket, name))?.state).toBe('completed');
  expect(await stack.keys(`staging/${name}/`)).toEqual([]);
  const { backup_id } = JSON.parse(backup.output ?? '{}') as { backup_id: string };

  // The contents when the restore begins differ from those of the backup.
  await fillTarget({ ...SCRATCH, prefix: 'scratch:later:' });
  const before = await readTarget();
  const restore = `restore_lost_event_${RUN}`;
  const { executionArn } = await whileHeld(LOADS, async () => {
    const started = await stack.start('Restore', { backup_id, confirm: target }, restore);
    await until('there is a safety backup', () => findSafetyBackup(stack.bucket, restore));
    await stack.sfn.send(
      new StopExecutionCommand({ executionArn: started.executionArn, cause: 'a test stopped it' }),
    );
    return started;
  });
  await stack.waitForExecution(executionArn);

  // One run closes the job of the safety backup and starts the rollback; a later one closes both.
  const rollback = relatedJobId('rollback', restore);
  await until('the rollback has begun', async () => {
    await reconcile();
    return (await readJob(stack.bucket, rollback)) !== undefined;
  });
  const rollbackArn = executionArn.replace(restore, rollback);
  expect((await stack.waitForExecution(rollbackArn)).status).toBe('SUCCEEDED');
  await until('the restore has ended', async () => {
    await reconcile();
    return hasEnded((await readJob(stack.bucket, restore))?.state ?? 'pending');
  });
  expect((await readJob(stack.bucket, restore))?.state).toBe('rolled_back');
  expect((await readJob(stack.bucket, rollback))?.state).toBe('completed');
  expect(await readTarget()).toEqual(before);
  expect(await stack.keys(`locks/${target}.`)).toEqual([]);
});

test('staging objects, uploads and unfinished uploads that belong to no job are removed; those of a waiting job stay', async () => {
  const { bucket } = stack;
  const requested = await requestRestore(
    { bucket, sfn: stack.sfn, stateMachines: { backup: '', restore: '' } },
    RequestRestoreInput.parse({ target, file_name: 'later.ngbak' }),
    { requestedBy: 'test' },
  );
  const put = (Key: string) => bucket.s3.send(new PutObjectCommand({ Bucket: bucket.name, Key, Body: '' }));
  const begin = (Key: string) =>
    bucket.s3.send(new CreateMultipartUploadCommand({ Bucket: bucket.name, Key }));
  const waiting = `uploads/${requested.job_id}/part-of-it`;
  // Empty objects are not uploads, so that no restore starts.
  await put(waiting);
  await put(`staging/never-was-${RUN}/segments/a`);
  await put(`uploads/never-was-${RUN}/a`);
  await begin(`${waiting}-unfinished`);
  await begin(`uploads/never-was-${RUN}/b`);
  const unfinished = async () => {
    const keys: string[] = [];
    for await (const { key } of bucket.uploads('uploads/')) keys.push(key);
    return keys;
  };
  expect((await reconcile()).unowned).toEqual({ objects: 0, uploads: 0 });
  const { unowned } = await reconcile({ unowned_seconds: 0 });
  expect(unowned.objects).toBeGreaterThanOrEqual(2);
  expect(unowned.uploads).toBeGreaterThanOrEqual(1);
  expect(await stack.keys(`staging/never-was-${RUN}/`)).toEqual([]);
  expect(await stack.keys(`uploads/never-was-${RUN}/`)).toEqual([]);
  expect(await stack.keys(`uploads/${requested.job_id}/`)).toEqual([waiting]);
  expect(await unfinished()).toEqual([`${waiting}-unfinished`]);
  await cancelJob({ bucket, sfn: stack.sfn, stateMachines: { backup: '', restore: '' } }, requested.job_id, {
    requestedBy: 'test',
  });
  await reconcile({ unowned_seconds: 0 });
  expect(await unfinished()).toEqual([]);
});
