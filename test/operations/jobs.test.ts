import { PutObjectCommand } from '@aws-sdk/client-s3';
import {
  CreateStateMachineCommand,
  DescribeExecutionCommand,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { confirmationKey, jobProgressPrefix, uploadPrefix } from '../../shared/aws/keys.ts';
import { cancelJob } from '../../shared/operations/cancel-job.ts';
import { ListJobsInput, listJobs } from '../../shared/operations/list-jobs.ts';
import {
  confirmRestore,
  RequestRestoreInput,
  RestoreBackupInput,
  requestRestore,
  restoreBackup,
} from '../../shared/operations/restore.ts';
import { showJob } from '../../shared/operations/show-job.ts';
import { StartBackupInput, startBackup } from '../../shared/operations/start-backup.ts';
import {
  applyUploadDeadline,
  createJob,
  type JobRecord,
  NEVER_UPLOADED,
  readJob,
  updateJob,
} from '../../shared/workflows/job/record.ts';
import { SingleUpload } from '../../shared/workflows/restore/request.ts';
import { catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { freshContext } from './context.ts';

let context: Awaited<ReturnType<typeof freshContext>>;
const me = { requestedBy: 'ada' };
const inputOf = async (executionArn: string) => {
  const { input } = await context.sfn.send(new DescribeExecutionCommand({ executionArn }));
  return JSON.parse(input ?? 'null');
};
const job = (job_id: string, changes: Partial<JobRecord> = {}) =>
  createJob(context.bucket, {
    job_id,
    kind: 'backup',
    target: 'default',
    state: 'processing',
    created_at: '2026-01-01T00:00:00.000Z',
    updated_at: '2026-01-01T00:00:00.000Z',
    ...changes,
  });

beforeEach(async () => {
  context = await freshContext({ config: true });
});

describe('starting a backup', () => {
  test('starts an execution that is named after the job and records who requested it', async () => {
    const started = await startBackup(context, StartBackupInput.parse({ tags: ['weekly'] }), me);
    expect(started.execution_arn).toMatch(new RegExp(`:${started.job_id}$`));
    expect(await inputOf(started.execution_arn)).toEqual({
      target: 'default',
      tags: ['weekly'],
      codec: 'gzip',
      requested_by: 'ada',
    });
    expect(started).toMatchObject({ target: 'default', replayed: false });
    expect(started.backup_id).toMatch(/^snapshot_/);
  });

  test('twice with the same key is one job; another request with that key is refused', async () => {
    const input = StartBackupInput.parse({});
    const first = await startBackup(context, input, { ...me, idempotencyKey: 'k1' });
    const second = await startBackup(context, input, { ...me, idempotencyKey: 'k1' });
    expect(second).toEqual({ ...first, replayed: true });
    await cancelJob(context, first.job_id, me);
    expect(await startBackup(context, input, { ...me, idempotencyKey: 'k1' })).toEqual(second);
    await expect(
      startBackup(context, StartBackupInput.parse({ note: 'x' }), { ...me, idempotencyKey: 'k1' }),
    ).rejects.toThrow(/another request/);
  });

  test('refuses an unknown target before anything is started', async () => {
    await expect(startBackup(context, StartBackupInput.parse({ target: 'nowhere' }), me)).rejects.toThrow(
      /no target "nowhere"/,
    );
  });

  test('refuses fields that are reserved for workflows', () => {
    expect(() => StartBackupInput.parse({ part_of: { job_id: 'x', execution_arn: 'y' } })).toThrow();
  });
});

describe('starting a restore', () => {
  test('of a catalogued backup passes the request to the workflow', async () => {
    await catalogue(context.bucket, { backup_id: 'snapshot_1' });
    const input = RestoreBackupInput.parse({ backup_id: 'snapshot_1', confirm: 'default' });
    const started = await restoreBackup(context, input, me);
    expect(await inputOf(started.execution_arn)).toMatchObject({
      backup_id: 'snapshot_1',
      confirm: 'default',
      mode: 'replace',
      safety_backup: true,
      requested_by: 'ada',
    });
  });

  test('with a wrong confirmation, or of a backup that does not exist, starts nothing', async () => {
    await catalogue(context.bucket, { backup_id: 'snapshot_1', target: 'legal' });
    const wrong = RestoreBackupInput.parse({ backup_id: 'snapshot_1', confirm: 'default' });
    await expect(restoreBackup(context, wrong, me)).rejects.toThrow(/does not match the name of the target/);
    const gone = RestoreBackupInput.parse({ backup_id: 'snapshot_2' });
    await expect(restoreBackup(context, gone, me)).rejects.toThrow(/no backup/);
  });

  test('of an upload returns an address that accepts the file, and a job that waits for it', async () => {
    const input = RequestRestoreInput.parse({ file_name: '../my file.ngbak' });
    const upload = SingleUpload.parse(await requestRestore(context, input, me));
    expect(upload.key).toBe(`${uploadPrefix(upload.job_id)}my-file.ngbak`);
    const answer = await fetch(upload.put.url, {
      method: 'PUT',
      headers: upload.put.headers,
      body: 'bytes',
    });
    expect(answer.status).toBe(200);
    expect(await showJob(context, upload.job_id)).toMatchObject({ state: 'pending', target: 'default' });
  });

  test.each([
    ['a day', { file_name: 'x.ngbak' }],
    ['a week', { file_name: 'x.ngbak', upload: 'multipart', bytes: 20_000_000 }],
  ])('waits for %s, and is then cancelled with the reason, in the list as well', async (wait, input) => {
    const { job_id } = await requestRestore(context, RequestRestoreInput.parse(input), me);
    const waiting = await readJob(context.bucket, job_id);
    const until = String(waiting?.upload?.until);
    const days = (Date.parse(until) - Date.parse(String(waiting?.created_at))) / 86_400_000;
    expect(days).toBe(wait === 'a day' ? 1 : 7);
    if (!waiting) throw new Error('no job');
    expect(applyUploadDeadline(waiting, new Date(Date.parse(until) - 1))).toEqual(waiting);
    await updateJob(context.bucket, job_id, ({ upload }) =>
      upload ? { upload: { ...upload, until: '2026-01-01T00:00:00.000Z' } } : undefined,
    );
    const cancelled = {
      state: 'cancelled',
      finished_at: '2026-01-01T00:00:00.000Z',
      error: { name: NEVER_UPLOADED, message: expect.stringContaining('not received') },
    };
    expect(await showJob(context, job_id)).toMatchObject(cancelled);
    const list = (state: string) => listJobs(context, ListJobsInput.parse({ state }));
    expect((await list('cancelled')).jobs).toEqual([expect.objectContaining({ job_id, ...cancelled })]);
    expect((await list('pending')).total).toBe(0);
    await expect(cancelJob(context, job_id, me)).rejects.toThrow('is cancelled');
  });
});

describe('the list of jobs', () => {
  test('is newest first, filtered, and states the number of all matches', async () => {
    for (let i = 0; i < 7; i++) {
      await job(`job-${i}`, {
        created_at: `2026-01-0${((i * 3) % 7) + 1}T00:00:00.000Z`,
        state: i % 2 ? 'failed' : 'completed',
        kind: i > 4 ? 'restore' : 'backup',
      });
    }
    const list = (input: object) => listJobs(context, ListJobsInput.parse(input));
    const all = await list({});
    expect(all.jobs.map(({ created_at }) => created_at.slice(8, 10))).toEqual([
      '07',
      '06',
      '05',
      '04',
      '03',
      '02',
      '01',
    ]);
    const some = await list({ limit: 2 });
    expect(some.jobs).toEqual(all.jobs.slice(0, 2));
    expect(some.total).toBe(7);
    expect((await list({ state: 'failed' })).jobs.map(({ job_id }) => job_id).sort()).toEqual([
      'job-1',
      'job-3',
      'job-5',
    ]);
    expect((await list({ kind: 'restore', state: 'completed' })).total).toBe(1);
  });
});

describe('a job', () => {
  test('that was just started is shown, before its workflow has written a record', async () => {
    const { job_id } = await startBackup(context, StartBackupInput.parse({}), me);
    expect(await readJob(context.bucket, job_id)).toBeUndefined();
    const shown = await showJob(context, job_id);
    expect(shown).toMatchObject({ job_id, kind: 'backup', target: 'default', state: 'pending' });
    let log = shown.log;
    while (log.length === 0) log = (await showJob(context, job_id)).log;
    expect(log.map(({ text }) => text)).toContain('Wait');
  });

  test('that does not exist is reported as such', async () => {
    await expect(showJob(context, 'nothing')).rejects.toThrow(/no job "nothing"/);
  });

  test('shows for each store what is done, the rate, and the remaining time', async () => {
    await job('job-1');
    const now = Date.now();
    const part = (store: string, shard: string, done: number, total?: number) => {
      const unit = store === 'graph' ? 'nodes' : 'points:a';
      const at = (seconds: number) => new Date(now - seconds * 1000).toISOString();
      return context.bucket.writeRecord(`${jobProgressPrefix('job-1')}${store}-${shard}.json`, {
        store,
        shard,
        phase: 'load',
        units: { [unit]: { done, ...(total === undefined ? {} : { total }) } },
        samples: [{ at: at(20), work: 0, units: { [unit]: 0 } }],
        started_at: at(500),
        updated_at: at(10),
        finished: false,
      });
    };
    await part('graph', 'nodes', 100, 200);
    await part('graph', 'more', 100, 400);
    await part('vectors', 'points', 7);
    const { progress, overall } = await showJob(context, 'job-1');
    const nodes = { done: 200, total: 600, rate: 20, remaining_seconds: 20 };
    expect(progress.find(({ store }) => store === 'graph')).toMatchObject({
      units: { nodes },
      work: { ...nodes, measure: 'records', percent: 33 },
    });
    expect(progress.find(({ store }) => store === 'vectors')?.units).toEqual({
      'points:a': { done: 7, rate: 0.7 },
    });
    // A total that is known in part would be misleading.
    expect(overall).toBeUndefined();
  });

  test('shows what was done, not an estimated total, once a store is finished', async () => {
    await job('job-1');
    await context.bucket.writeRecord(`${jobProgressPrefix('job-1')}graph-all.json`, {
      store: 'graph',
      shard: 'all',
      phase: 'export',
      units: { relationships: { done: 3940, total: 7880 } },
      started_at: '2026-01-01T00:00:00.000Z',
      updated_at: '2026-01-01T00:00:10.000Z',
      finished: true,
    });
    const [graph] = (await showJob(context, 'job-1')).progress;
    expect(graph?.units).toEqual({ relationships: { done: 3940, total: 3940, rate: 394 } });
  });

  test('logs the steps of its workflow, without choice and pass states', async () => {
    const machine = await context.sfn.send(
      new CreateStateMachineCommand({
        name: `choices-${Date.now()}`,
        roleArn: 'arn:aws:iam::000000000000:role/test',
        definition: JSON.stringify({
          QueryLanguage: 'JSONata',
          StartAt: 'Is all of it done?',
          States: {
            'Is all of it done?': { Type: 'Choice', Choices: [{ Condition: '{% true %}', Next: 'Hand on' }] },
            'Hand on': { Type: 'Pass', Next: 'Work' },
            Work: { Type: 'Wait', Seconds: 0, Next: 'Complete' },
            Complete: { Type: 'Succeed' },
          },
        }),
      }),
    );
    const { executionArn = '' } = await context.sfn.send(
      new StartExecutionCommand({ stateMachineArn: machine.stateMachineArn, name: 'job-1' }),
    );
    await job('job-1', { execution_arn: executionArn });
    const log = await until(
      'the log is complete',
      async () => (await showJob(context, 'job-1')).log.map(({ text }) => text),
      { holds: (lines) => lines.includes('Complete') },
    );
    expect(log).toEqual(['Work', 'Complete']);
  });
});

describe('cancelling', () => {
  test('stops the execution and records who did it', async () => {
    const { job_id, execution_arn } = await startBackup(context, StartBackupInput.parse({}), me);
    await cancelJob(context, job_id, me);
    const stopped = await context.sfn.send(new DescribeExecutionCommand({ executionArn: execution_arn }));
    expect(stopped).toMatchObject({ status: 'ABORTED', cause: 'Cancelled by ada.' });
    expect(await showJob(context, job_id)).toMatchObject({ state: 'cancelled' });
    await expect(cancelJob(context, job_id, me)).rejects.toThrow(/nothing to cancel/);
  });

  test('a job that waits for its upload ends it, and removes the uploaded data', async () => {
    const upload = await requestRestore(context, RequestRestoreInput.parse({ file_name: 'a.ngbak' }), me);
    await context.bucket.s3.send(
      new PutObjectCommand({ Bucket: context.bucket.name, Key: upload.key, Body: 'x' }),
    );
    expect(await cancelJob(context, upload.job_id, me)).toMatchObject({ state: 'cancelled' });
    expect((await readJob(context.bucket, upload.job_id))?.state).toBe('cancelled');
    for await (const { key } of context.bucket.keys(uploadPrefix(upload.job_id))) {
      throw new Error(`${key} is still there`);
    }
  });

  test('a job that has ended is refused', async () => {
    await job('job-1', { state: 'completed' });
    await expect(cancelJob(context, 'job-1', me)).rejects.toThrow(/is completed/);
  });
});

describe('confirming', () => {
  test('is refused for a job that is not waiting, and with a phrase other than the target', async () => {
    await job('job-1', { kind: 'restore' });
    await expect(confirmRestore(context, 'job-1', 'default')).rejects.toThrow(/not waiting for confirmation/);
    await context.bucket.writeRecord(confirmationKey('job-1'), {
      job_id: 'job-1',
      task_token: 'token',
      asked_at: '2026-01-01T00:00:00.000Z',
    });
    await updateJob(context.bucket, 'job-1', () => ({ state: 'awaiting_confirmation' }));
    await expect(confirmRestore(context, 'job-1', 'yes')).rejects.toThrow(/name of the target/);
  });
});
