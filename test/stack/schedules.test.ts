import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CloudWatchLogsClient, FilterLogEventsCommand } from '@aws-sdk/client-cloudwatch-logs';
import { GetFunctionCommand, InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { DescribeExecutionCommand, StartExecutionCommand, StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { archiveKey, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { freeLock, takeLock } from '../../shared/workflows/job/lock.ts';
import { run } from '../cli/run.ts';
import { catalogue } from '../support/catalog.ts';
import { until } from '../support/until.ts';
import { EMPTY_COLLECTION, makeEmptyCollection } from './content.ts';
import { createSoon } from './follow.ts';
import { deployedStack } from './harness.ts';

const stack = deployedStack();
const direct = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };
const api = (role: 'viewer' | 'operator') => ({
  NGBAK_API_URL: stack.apiUrl(),
  NGBAK_API_KEY: stack.apiKey(role),
  AWS_ACCESS_KEY_ID: 'none',
  TZ: 'UTC',
});

/** Runs `ngbak`, expects success, and returns its JSON lines of one type. */
async function ngbak(type: string, args: string[], environment: NodeJS.ProcessEnv = direct) {
  const ran = await run([...args, '--json'], environment);
  expect([ran.code, ran.stdout, ran.stderr]).toEqual([0, expect.anything(), '']);
  return ran
    .lines()
    .filter((line) => line.type === type)
    .map(({ data }) => data);
}

/** Waits until the last run of a schedule has ended, and returns the schedule. */
async function lastRun(name: string) {
  type Run = { state?: string; job_id: string; at: string };
  const schedule = await until(
    `the run of the schedule ${name} has ended`,
    async () => (await ngbak('schedule', ['schedule', 'show', name]))[0],
    {
      holds: (found): found is Record<string, unknown> => {
        const { state = 'pending' } = (found?.last_run ?? {}) as Partial<Run>;
        return !['pending', 'processing'].includes(state);
      },
    },
  );
  return { schedule, last: schedule.last_run as Run };
}

test('the deployment has created a daily schedule for each target, which can be paused but not deleted', async () => {
  const schedules = await ngbak('schedule', ['schedule', 'list']);
  expect(schedules.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['daily', 'daily-scratch', 'daily-empty']),
  );
  expect(schedules.find(({ name }) => name === 'daily')).toMatchObject({
    expression: expect.stringMatching(/^cron\(0 (6|18) \* \* \? \*\)$/),
    enabled: true,
    made_by: 'deployment',
    missed_total: 0,
    next_run: expect.stringMatching(/T(06|18):00:00\.000Z$/),
  });
  await ngbak('schedule', ['schedule', 'pause', 'daily-empty']);
  const removed = await run(['schedule', 'remove', 'daily-empty', '--yes'], direct);
  expect([removed.code, removed.stderr]).toEqual([4, expect.stringContaining('belongs to the deployment')]);
  await ngbak('schedule', ['schedule', 'resume', 'daily-empty']);
});

test('a schedule starts its backup automatically, with its own stores, tags, note and retention', async () => {
  const name = `soon-${randomBytes(4).toString('hex')}`;
  const options = ['--target', 'empty', '--stores', 'kv', '--tag', 'soon', '--note', 'once', '--keep', '30d'];
  await createSoon((at) => run(['schedule', 'create', name, '--at', at, ...options], direct));
  const { schedule, last } = await lastRun(name);
  expect(last).toMatchObject({ state: 'completed', by_hand: false, skipped: false });
  expect(schedule).toMatchObject({ missed_total: 0 });
  const [job] = await ngbak('job', ['job', last.job_id]);
  const record = await stack.bucket.readRecord(catalogKey(String(job?.backup_id)), CatalogRecord);
  expect(record?.value).toMatchObject({
    target: 'empty',
    stores: ['kv'],
    tags: ['soon'],
    note: 'once',
    retention: '30d',
    requested_by: `schedule:${name}`,
  });
  // The log line that CloudWatch derives metrics from.
  const { events } = await new CloudWatchLogsClient({}).send(
    new FilterLogEventsCommand({ logGroupName: '/aws/lambda/NgbakTest-catalog-backup' }),
  );
  const measured = (events ?? []).flatMap(({ message = '' }) =>
    message.includes('"BackupCompleted"') ? [JSON.parse(message.slice(message.indexOf('{')))] : [],
  );
  expect(measured).toContainEqual(
    expect.objectContaining({
      service: 'catalog-backup',
      target: 'empty',
      type: 'partial',
      BackupCompleted: 1,
      BackupBytes: record?.value.archive.bytes,
    }),
  );
  expect(await ngbak('removed', ['schedule', 'remove', name, '--yes'])).toEqual([{ name }]);
});

test('through the HTTP API, an operator can do all of it, for a subset too, and a viewer can only read', async () => {
  await makeEmptyCollection();
  const create = [
    'schedule',
    'create',
    'by-api',
    '--daily',
    '04:30',
    '--zone',
    'Asia/Tokyo',
    '--target',
    'empty',
  ];
  expect((await run(create, api('viewer'))).code).toBe(5);
  await ngbak('schedule', [...create, '--collections', EMPTY_COLLECTION], api('operator'));
  const seen = async () =>
    (await ngbak('schedule', ['schedule', 'list'], api('viewer'))).find(({ name }) => name === 'by-api');
  expect(await seen()).toMatchObject({
    made_by: 'test-operator',
    next_run: expect.stringMatching(/T19:30:00.000Z$/),
  });
  await ngbak(
    'schedule',
    ['schedule', 'change', 'by-api', '--rate', '2 days', '--tag', 'x'],
    api('operator'),
  );
  await ngbak('schedule', ['schedule', 'pause', 'by-api'], api('operator'));
  expect(await seen()).toMatchObject({
    expression: 'rate(2 days)',
    time_zone: 'Asia/Tokyo',
    enabled: false,
    backup: { target: 'empty', only: { collections: [EMPTY_COLLECTION] }, tags: ['x'] },
  });
  const [job] = await ngbak('job', ['schedule', 'run', 'by-api', '--wait'], api('operator'));
  expect(job).toMatchObject({ state: 'completed', requested_by: 'test-operator' });
  const [made] = await ngbak('backup', ['show', String(job?.backup_id)], api('viewer'));
  expect(made).toMatchObject({
    stores: ['vectors'],
    only: { collections: [EMPTY_COLLECTION] },
    tags: ['x'],
    tallies: { vectors: { [`points:${EMPTY_COLLECTION}`]: { count: 0 } } },
  });
  expect((await run(['schedule', 'remove', 'by-api', '--yes'], api('viewer'))).code).toBe(5);
  await ngbak('removed', ['schedule', 'remove', 'by-api', '--yes'], api('operator'));
  expect((await run(['schedule', 'show', 'by-api'], api('viewer'))).code).toBe(3);
});

test('docs/aws-cli.md: its commands create, pause and delete a schedule with the AWS CLI alone', async () => {
  const text = await readFile(new URL('../../docs/aws-cli.md', import.meta.url), 'utf8');
  const setup = /```sh\n(output\(\)[\s\S]*?)```/.exec(text)?.[1];
  const lines = (name: string) => {
    const block = new RegExp(`<!-- run: ${name} -->\\n\`\`\`sh\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
    if (!setup || !block) throw new Error(`docs/aws-cli.md has no lines "${name}".`);
    return block;
  };
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-schedules-'));
  const sh = async (...names: string[]) => {
    const script = [setup, lines('schedules'), ...names.map(lines)].join('\n');
    const options = { cwd: folder, env: { ...process.env, STACK: 'NgbakTest' } };
    return (await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], options)).stdout;
  };
  const weekly = async () => (await ngbak('schedule', ['schedule', 'show', 'weekly']))[0];
  // A stack may be tested twice.
  await run(['schedule', 'remove', 'weekly', '--yes'], direct);
  try {
    expect(await sh('new_schedule')).toMatch(/^daily\tENABLED$/m);
    expect(await weekly()).toMatchObject({
      expression: 'cron(0 4 ? * SUN *)',
      enabled: true,
      backup: { target: 'default', retention: '90d' },
    });
    expect(await weekly()).not.toHaveProperty('made_by');
    await sh('pause_schedule');
    expect(await weekly()).toMatchObject({ enabled: false });
    await sh('remove_schedule');
    expect((await run(['schedule', 'show', 'weekly'], direct)).code).toBe(3);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

describe('while another job runs on the target', () => {
  let other: string;
  beforeAll(async () => {
    // A restore that waits for its confirmation is an execution that runs as long as the test needs.
    const [backup] = await ngbak('job', ['backup', '--target', 'empty', '--stores', 'kv', '--wait']);
    const { executionArn } = await stack.sfn.send(
      new StartExecutionCommand({
        stateMachineArn: stack.output('RestoreStateMachineArn'),
        input: JSON.stringify({ backup_id: backup?.backup_id }),
      }),
    );
    other = executionArn ?? '';
    await takeLock(stack.bucket, stack.sfn, {
      target: 'empty',
      job_id: 'a-long-job',
      kind: 'restore',
      execution_arn: other,
    });
    await ngbak('schedule', [
      'schedule',
      'create',
      'busy',
      '--rate',
      '30 days',
      '--target',
      'empty',
      '--stores',
      'kv',
    ]);
  });
  afterAll(async () => {
    await stack.sfn.send(new StopExecutionCommand({ executionArn: other }));
    await freeLock(stack.bucket, 'empty', other);
    await run(['schedule', 'remove', 'busy', '--yes'], direct);
  });

  test('a run is skipped: its execution succeeds, and its job says why', async () => {
    const [started] = await ngbak('started', ['schedule', 'run', 'busy']);
    const execution = await stack.waitForExecution(String(started?.execution_arn));
    expect(execution.status).toBe('SUCCEEDED');
    expect(JSON.parse(execution.output ?? '')).toEqual({
      job_id: started?.job_id,
      target: 'empty',
      skipped: expect.stringContaining('a-long-job'),
    });
    expect(await stack.waitForJob(String(started?.job_id))).toMatchObject({
      state: 'cancelled',
      error: { name: 'Skipped', message: expect.stringContaining('a-long-job') },
    });
    const [schedule] = await ngbak('schedule', ['schedule', 'show', 'busy']);
    expect(schedule?.last_run).toMatchObject({ skipped: true, by_hand: true });
    const listed = await run(['jobs', '--target', 'empty'], direct);
    const line = listed.stdout.split('\n').find((text) => text.includes(String(started?.job_id)));
    expect(line).toMatch(/ skipped /);
  });

  test('the lock of that job is not touched', async () => {
    const { status } = await stack.sfn.send(new DescribeExecutionCommand({ executionArn: other }));
    expect(status).toBe('RUNNING');
    await expect(
      takeLock(stack.bucket, stack.sfn, {
        target: 'empty',
        job_id: 'x',
        kind: 'backup',
        execution_arn: 'arn:aws:states:us-east-1:000000000000:execution:x:x',
      }),
    ).rejects.toThrow(/a-long-job/);
  });
});

describe('retention', () => {
  const past = (id: string, retention?: string) =>
    catalogue(
      stack.bucket,
      {
        backup_id: id,
        target: 'retired',
        created_at: `${id.slice('snapshot_'.length, 'snapshot_2026-01-01'.length)}T03:00:00.000Z`,
        ...(retention === undefined ? {} : { retention }),
      },
      Buffer.from('an archive'),
    );
  // A stack may be tested twice.
  beforeAll(() => stack.bucket.removeAll('backups/snapshot_2026-01-0'));
  const there = async () =>
    (await stack.keys('backups/snapshot_2026-0')).filter((key) => key.endsWith('_retired.json')).sort();

  test('is applied after a backup: archive and record of expired backups are deleted; those that a rule keeps stay', async () => {
    await past('snapshot_2026-01-01T03-00-00Z_retired', '30d');
    await past('snapshot_2026-01-02T03-00-00Z_retired', 'permanent');
    await past('snapshot_2026-01-03T03-00-00Z_retired');
    await past('snapshot_2026-01-04T03-00-00Z_retired', '7d');
    await ngbak('job', ['backup', '--target', 'empty', '--stores', 'kv', '--wait']);
    await until('three backups are left', there, { holds: ({ length }) => length <= 3 });
    // The newest verified one stays although its retention has ended.
    expect(await there()).toEqual(
      ['02', '03', '04'].map((day) => `backups/snapshot_2026-01-${day}T03-00-00Z_retired.json`),
    );
    expect(await stack.keys(archiveKey('snapshot_2026-01-01T03-00-00Z_retired'))).toEqual([]);
  });

  test('applied again by its daily rule deletes nothing more', async () => {
    const lambda = new LambdaClient({});
    const FunctionName = 'NgbakTest-apply-retention';
    await lambda.send(new GetFunctionCommand({ FunctionName }));
    const before = await stack.keys('backups/');
    const { Payload } = await lambda.send(new InvokeCommand({ FunctionName, Payload: '{}' }));
    expect(JSON.parse(Buffer.from(Payload ?? []).toString())).toMatchObject({ deleted: 0, bytes_freed: 0 });
    expect(await stack.keys('backups/')).toEqual(before);
  });
});

test('the deployed function and health agree on whether backups are too old', async () => {
  const answer = await new LambdaClient({}).send(
    new InvokeCommand({ FunctionName: 'NgbakTest-watch-backups', Payload: '{}' }),
  );
  const text = Buffer.from(answer.Payload ?? []).toString('utf8');
  expect([answer.FunctionError, text]).toEqual([undefined, expect.stringContaining('too_old')]);
  const { too_old, not_recoverable } = JSON.parse(text) as { too_old: string[]; not_recoverable: string[] };
  const health = await fetch(`${stack.apiUrl()}/api/v1/health`, {
    headers: { authorization: `Bearer ${stack.apiKey('viewer')}` },
  });
  const { checks } = (await health.json()) as { checks: { name: string; ok: boolean }[] };
  const old = checks.filter(({ name, ok }) => name.startsWith('newest backup of ') && !ok);
  expect(old.map(({ name }) => name.slice('newest backup of '.length)).sort()).toEqual(too_old.sort());
  // It was never backed up.
  expect(too_old).toContain('missing');
  const status = await fetch(`${stack.apiUrl()}/api/v1/recoverability`, {
    headers: { authorization: `Bearer ${stack.apiKey('viewer')}` },
  });
  const { targets } = (await status.json()) as { targets: { target: string; recoverable: string }[] };
  const lost = targets.filter(({ recoverable }) => recoverable === 'no').map(({ target }) => target);
  expect(lost.sort()).toEqual(not_recoverable.sort());
  expect(lost).toContain('missing');
  const { events = [] } = await new CloudWatchLogsClient({}).send(
    new FilterLogEventsCommand({ logGroupName: '/aws/lambda/NgbakTest-watch-backups' }),
  );
  const measured = events.flatMap(({ message = '' }) =>
    message.includes('"BackupTooOld"') ? [JSON.parse(message.slice(message.indexOf('{')))] : [],
  );
  expect(measured).toContainEqual(
    expect.objectContaining({
      service: 'watch-backups',
      target: 'missing',
      BackupTooOld: 1,
      NotRecoverable: 1,
    }),
  );
});
