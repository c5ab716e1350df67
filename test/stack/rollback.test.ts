import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeAll, expect, test } from '@jest/globals';
import { lockKey } from '../../shared/aws/keys.ts';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { until } from '../support/until.ts';
import { fillTarget, readTarget, SCRATCH } from './content.ts';
import { deployedStack } from './harness.ts';
import { LOADS, whileHeld } from './held.ts';

const stack = deployedStack();
const target = 'scratch';

beforeAll(() => fillTarget());

test('a restore that is stopped after its safety backup is rolled back: the target is as before', async () => {
  const backup = await stack.run('Backup', { target });
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  const archive = await stack.download(
    (JSON.parse(backup.output ?? '{}') as { backup_id: string }).backup_id,
  );
  // The contents when the restore begins differ from those of the archive.
  await fillTarget({ ...SCRATCH, prefix: 'scratch:later:' });
  const before = await readTarget();

  const upload = await createRestoreRequest(stack.bucket, { target, fileName: 'x.ngbak', confirm: target });
  await whileHeld(LOADS, async () => {
    const answer = await fetch(upload.put.url, {
      method: 'PUT',
      headers: upload.put.headers,
      body: archive as BodyInit,
    });
    expect(answer.status).toBe(200);
    await until('there is a safety backup', () => findSafetyBackup(stack.bucket, upload.job_id));
    const { execution_arn } = (await readJob(stack.bucket, upload.job_id)) ?? {};
    await stack.sfn.send(
      new StopExecutionCommand({ executionArn: execution_arn, cause: 'a test stopped it', error: 'Stopped' }),
    );
  });

  const job = await stack.waitForJob(upload.job_id);
  expect(job.state).toBe('rolled_back');
  expect(job.error?.message).toMatch(/rolled back to snapshot_/);
  expect(await readTarget()).toEqual(before);
  const rollback = await stack.waitForJob(relatedJobId('rollback', upload.job_id));
  expect(rollback.state).toBe('completed');
  // The state of jobs of other tests is ignored.
  const own = [backup.name ?? '', upload.job_id, lockKey(target)];
  const left = (await stack.keys()).filter((key) => own.some((part) => key.includes(part)));
  expect(left.filter((key) => !key.startsWith('jobs/'))).toEqual([]);
});
