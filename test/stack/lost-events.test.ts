import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from '@jest/globals';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { hasEnded } from '../../shared/core/job-state.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { fillTarget, readTarget, SCRATCH } from './content.ts';
import { deployedStack, sleep } from './harness.ts';

/** The emulator loses the events of executions whose names contain `lost_event`: local/emulator/lost_events.py. */

const stack = deployedStack();
const target = 'scratch';
const RUN = process.pid;

/** Does what the schedule does, without waiting for an event that may still come. */
async function reconcile(): Promise<{ jobs: string[] }> {
  const answer = await new LambdaClient({}).send(
    new InvokeCommand({
      FunctionName: 'NgbakTest-janitor',
      Payload: JSON.stringify({ reconcile: { grace_seconds: 0 } }),
    }),
  );
  const text = Buffer.from(answer.Payload ?? []).toString('utf8');
  if (answer.FunctionError !== undefined) throw new Error(text);
  return JSON.parse(text) as { jobs: string[] };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 90_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: never happened.`);
    await sleep(100);
  }
}

beforeAll(() => fillTarget());

test('a backup, a failed restore and its rollback are cleaned up after though no event of any of them comes', async () => {
  const name = `backup_lost_event_${RUN}`;
  const backup = await stack.run('Backup', { target }, name);
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  expect((await readJob(stack.bucket, name))?.state).toBe('processing');
  expect((await reconcile()).jobs).toEqual([name]);
  expect((await readJob(stack.bucket, name))?.state).toBe('completed');
  expect(await stack.keys(`staging/${name}/`)).toEqual([]);
  const { backup_id } = JSON.parse(backup.output ?? '{}') as { backup_id: string };

  // What is there when the restore begins is not what the backup holds.
  await fillTarget({ ...SCRATCH, prefix: 'scratch:later:' });
  const before = await readTarget();
  const restore = `restore_lost_event_${RUN}`;
  const { executionArn } = await stack.start('Restore', { backup_id, confirm: target }, restore);
  await until('a safety backup', async () => (await findSafetyBackup(stack.bucket, restore)) !== undefined);
  await stack.sfn.send(new StopExecutionCommand({ executionArn, cause: 'a test stopped it' }));
  await stack.waitForExecution(executionArn);

  // One look closes the safety backup's job and starts the rollback; a later one closes both.
  const rollback = relatedJobId('rollback', restore);
  await until('the rollback', async () => {
    await reconcile();
    return (await readJob(stack.bucket, rollback)) !== undefined;
  });
  const rollbackArn = executionArn.replace(restore, rollback);
  expect((await stack.waitForExecution(rollbackArn)).status).toBe('SUCCEEDED');
  await until('the end of the restore', async () => {
    await reconcile();
    return hasEnded((await readJob(stack.bucket, restore))?.state ?? 'pending');
  });
  expect((await readJob(stack.bucket, restore))?.state).toBe('rolled_back');
  expect((await readJob(stack.bucket, rollback))?.state).toBe('completed');
  expect(await readTarget()).toEqual(before);
  expect(await stack.keys(`locks/${target}.`)).toEqual([]);
}, 300_000);
