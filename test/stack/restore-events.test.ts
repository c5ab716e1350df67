import { randomBytes } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { SendTaskFailureCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { confirmationKey, lockKey } from '../../shared/aws/keys.ts';
import { answerConfirmation } from '../../shared/workflows/restore/confirmation.ts';
import { jobIdsOfUpload, UploadEvent } from '../../shared/workflows/restore/plan.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { until } from '../support/until.ts';
import { functionStates, progressOf } from './follow.ts';
import { whileHeld } from './held.ts';
import { look } from './kill-sweep.ts';
import { untilIdle } from './processes.ts';
import {
  begin,
  type Followed,
  POLL_MS,
  type Prepared,
  prepareTrial,
  readTarget,
  type Side,
  settled,
  whichSide,
} from './restore-trial.ts';

let prepared: Prepared;
let now: Side;
let other: Side;

beforeAll(async () => {
  prepared = await prepareTrial();
  ({ now, before: other } = prepared);
});

afterAll(() => prepared.remove());

/** Waits until a restore is in a state, by its name in the machine's definition. */
async function untilIn(followed: Followed, state: string): Promise<void> {
  const isThere = async () => {
    const { running, over } = await look(prepared.trial, followed);
    if (over && !running.has(state)) throw new Error(`The restore never was in "${state}".`);
    return running.has(state);
  };
  await until(`the restore is in "${state}"`, isThere, { pauseMs: POLL_MS });
}

/** Expects that the job left the target unchanged, and nothing in the bucket. */
async function expectAsBefore(jobId: string): Promise<void> {
  expect(await settled(prepared.trial, jobId)).toEqual([]);
  expect(await readTarget(prepared.trial)).toEqual(now.held);
}

/** The event that S3 sends for a new object. */
function uploadEvent(
  key: string,
  { VersionId, ETag }: { VersionId?: string | undefined; ETag?: string | undefined },
) {
  return {
    'detail-type': 'Object Created',
    detail: {
      bucket: { name: prepared.trial.stack.bucket.name },
      object: { key, etag: ETag?.replaceAll('"', ''), ...(VersionId && { 'version-id': VersionId }) },
    },
  };
}

describe('a restore that is cancelled', () => {
  /** The states, each with a function that runs in it, and how the job ends. */
  const outcomes: [string, string, 'cancelled' | 'rolled_back'][] = [
    ['Inspect archive', 'inspect-restore', 'cancelled'],
    ['Wait for confirmation', 'await-confirmation', 'cancelled'],
    ['Back up target', 'seal-backup', 'cancelled'],
    ['Load stores', 'restore-graph', 'rolled_back'],
    ['Verify stores', 'restore-graph', 'rolled_back'],
    ['Finish stores', 'restore-graph', 'rolled_back'],
  ];
  test.each(outcomes)(
    'in "%s" (%s) is %s: the target is unchanged, nothing is left',
    async (state, name, outcome) => {
      const { trial } = prepared;
      const held = { functionName: `NgbakTest-${name}`, seenAs: state };
      const followed = await whileHeld([held], async () => {
        const begun = await begin(trial, other, state !== 'Wait for confirmation');
        await untilIn(begun, state);
        await trial.stack.sfn.send(new StopExecutionCommand({ executionArn: begun.executions[0] }));
        return begun;
      });
      const job = await trial.stack.waitForJob(followed.jobId);
      expect(job.state).toBe(outcome);
      await expectAsBefore(followed.jobId);
    },
  );
});

test('a backup that is cancelled while it exports leaves nothing, although its functions keep running', async () => {
  const { stack, target } = prepared.trial;
  const exporting = { functionName: 'NgbakTest-export-graph', seenAs: 'Export stores' };
  const name = await whileHeld([exporting], async () => {
    const started = await stack.start('Backup', { target });
    await until('the backup exports its stores', () => progressOf(stack.sfn, started.executionArn), {
      holds: (progress) => progress?.running.includes(exporting.seenAs) === true,
    });
    await stack.sfn.send(new StopExecutionCommand({ executionArn: started.executionArn }));
    return started.name;
  });
  expect(await stack.waitForJob(name)).toMatchObject({ state: 'cancelled' });
  // Functions of a stopped execution are not stopped: what they leave after the cleanup is deleted when they notice.
  const states = await functionStates(stack.sfn, stack.output('BackupStateMachineArn'));
  const functions = states.map(({ functionName }) => functionName);
  await until('the functions have left nothing', async () => {
    await untilIdle(functions);
    await settled(prepared.trial, name);
    return isDeepStrictEqual(await readTarget(prepared.trial), prepared.now.held);
  });
  await expectAsBefore(name);
});

describe('a confirmation', () => {
  async function waiting() {
    const followed = await begin(prepared.trial, other, false);
    await prepared.trial.stack.waitForJob(followed.jobId, ({ state }) => state === 'awaiting_confirmation');
    return followed;
  }

  test('that is refused leaves no trace but the record of the job', async () => {
    const { jobId } = await waiting();
    await answerConfirmation(prepared.trial.stack, jobId, { confirm: false, reason: 'not today' });
    expect(await prepared.trial.stack.waitForJob(jobId)).toMatchObject({
      state: 'cancelled',
      error: { message: 'not today' },
    });
    await expectAsBefore(jobId);
  });

  test('that never arrives leaves no trace either, and reports what to do', async () => {
    const { trial } = prepared;
    const { jobId } = await waiting();
    const { task_token: taskToken } = await trial.stack.bucket.requireRecord(
      confirmationKey(jobId),
      z.object({ task_token: z.string() }),
      'A restore that waits has one.',
    );
    // The action of Step Functions itself at the timeout: the test cannot wait 24 hours.
    await trial.stack.sfn.send(new SendTaskFailureCommand({ taskToken, error: 'States.Timeout' }));
    expect(await trial.stack.waitForJob(jobId)).toMatchObject({
      state: 'cancelled',
      error: {
        message: expect.stringMatching(/Nobody confirmed within \d+ hours.*Upload the archive again/),
      },
    });
    await expectAsBefore(jobId);
  });
});

describe('an upload', () => {
  test('whose event arrives again after the restore has ended restores nothing, and leaves nothing', async () => {
    const { trial } = prepared;
    const { stack, target } = trial;
    const upload = await createRestoreRequest(stack.bucket, { target, fileName: 'x.ngbak', confirm: target });
    const put = () =>
      stack.bucket.s3.send(
        new PutObjectCommand({ Bucket: stack.bucket.name, Key: upload.key, Body: now.archive }),
      );
    const written = await put();
    const job = await stack.waitForJob(upload.job_id);
    expect(job.state).toBe('completed');
    const late = await stack.run('Restore', uploadEvent(upload.key, written));
    expect(JSON.parse(late.output ?? '{}')).toMatchObject({ admitted: false });
    // The same address once more, while it is valid: the job has ended, and the object has no owner.
    await put();
    await expectAsBefore(upload.job_id);
    expect(await stack.waitForJob(upload.job_id)).toEqual(job);
  });

  test('of two versions whose events arrive out of order is restored once, from the version that was inspected', async () => {
    const { trial } = prepared;
    const { stack, target } = trial;
    const Key = `uploads/${target}/order-${randomBytes(4).toString('hex')}.ngbak`;
    const put = (Body: Uint8Array) =>
      stack.bucket.s3.send(new PutObjectCommand({ Bucket: stack.bucket.name, Key, Body }));
    const first = await put(now.archive);
    const second = await put(other.archive);
    // By hand: each version is a separate job that waits. Then its event arrives again, the later one first.
    const events = [second, first].map((written) => uploadEvent(Key, written));
    const jobs = events.map((event) => jobIdsOfUpload(UploadEvent.parse(event)).byHand);
    expect(new Set(jobs).size).toBe(2);
    for (const jobId of jobs) {
      await stack.waitForJob(jobId, ({ state }) => state === 'awaiting_confirmation');
    }
    for (const event of events) {
      const { output } = await stack.run('Restore', event);
      expect(JSON.parse(output ?? '{}')).toMatchObject({ admitted: false });
    }
    const [later = '', earlier = ''] = jobs;
    await answerConfirmation(stack, later, { confirm: false });
    await stack.waitForJob(later);
    await answerConfirmation(stack, earlier, { confirm: true, phrase: target });
    expect(await stack.waitForJob(earlier)).toMatchObject({ state: 'completed' });
    await expectAsBefore(earlier);
  });
});

describe('a target', () => {
  test('that is being restored refuses backups and other restores, and names the job', async () => {
    const { trial } = prepared;
    const { stack, target } = trial;
    // One waits for its confirmation, so that it requests the lock as soon as it gets it.
    const waiting = await begin(trial, now, false);
    await stack.waitForJob(waiting.jobId, ({ state }) => state === 'awaiting_confirmation');
    const followed = await begin(trial, other);
    await untilIn(followed, 'Load stores');
    const [backup, refused] = await Promise.all([
      stack.run('Backup', { target }),
      answerConfirmation(stack, waiting.jobId, { confirm: true, phrase: target }).then(() =>
        stack.waitForJob(waiting.jobId),
      ),
    ]);
    expect(backup).toMatchObject({ status: 'FAILED', error: 'TargetLockedError' });
    expect(backup.cause).toContain(followed.jobId);
    expect(refused).toMatchObject({ state: 'failed', error: { name: 'TargetLockedError' } });
    expect(refused.error?.message).toContain(followed.jobId);
    expect(await stack.waitForJob(followed.jobId)).toMatchObject({ state: 'completed' });
    await settled(trial, followed.jobId);
    expect(await whichSide(trial, now, other)).toBe('the archive');
    [now, other] = [other, now];
  });

  test('whose lock was left by an ended execution is taken over; if that still runs, it is not', async () => {
    const { trial } = prepared;
    const { stack, target } = trial;
    const ended = await stack.run('Backup', { target });
    expect(ended.status).toBe('SUCCEEDED');
    await stack.waitForJob(ended.name ?? '');
    const waiting = await begin(trial, other, false);
    await stack.waitForJob(waiting.jobId, ({ state }) => state === 'awaiting_confirmation');
    const leave = (execution_arn = '') =>
      stack.bucket.writeRecord(lockKey(target), {
        target,
        job_id: 'left-behind',
        kind: 'backup',
        execution_arn,
        since: new Date().toISOString(),
      });
    await leave(waiting.executions[0]);
    const refused = await stack.run('Backup', { target });
    expect(refused).toMatchObject({ status: 'FAILED', cause: expect.stringContaining('left-behind') });
    await leave(ended.executionArn);
    const taken = await stack.run('Backup', { target });
    expect(taken.cause ?? taken.status).toBe('SUCCEEDED');
    await answerConfirmation(stack, waiting.jobId, { confirm: false });
    await stack.waitForJob(waiting.jobId);
    await expectAsBefore(waiting.jobId);
  });
});
