import { randomBytes } from 'node:crypto';
import {
  CreateScheduleCommand,
  CreateScheduleGroupCommand,
  GetScheduleCommand,
  SchedulerClient,
} from '@aws-sdk/client-scheduler';
import { DescribeExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { DrillRequest } from '../../shared/catalog/drill-request.ts';
import { changeSchedule, createSchedule, removeSchedule } from '../../shared/operations/change-schedules.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { listSchedules, showSchedule } from '../../shared/operations/list-schedules.ts';
import { runSchedule } from '../../shared/operations/run-schedule.ts';
import { allowedAgeMs } from '../../shared/schedules/age.ts';
import { listRuns, recordRun } from '../../shared/schedules/runs.ts';
import { CreateScheduleInput, ScheduleChanges, ScheduleSettings } from '../../shared/schedules/schedule.ts';
import { Scheduler } from '../../shared/schedules/scheduler.ts';
import { planBackup } from '../../shared/workflows/backup/plan.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { cleanUpAfter } from '../../shared/workflows/janitor/janitor.ts';
import { freeLock } from '../../shared/workflows/job/lock.ts';
import { createJob, type JobRecord, readJob } from '../../shared/workflows/job/record.ts';
import { admitRestore } from '../../shared/workflows/restore/admit.ts';
import { freshContext } from '../operations/context.ts';
import { waitingMachine } from '../support/aws.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';

const client = new SchedulerClient({});
const ROLE = 'arn:aws:iam::000000000000:role/schedules';
const me = { requestedBy: 'ada' };
let group: string;
let fresh: Awaited<ReturnType<typeof freshContext>>;
let context: OperationsContext;

beforeEach(async () => {
  group = `test-${randomBytes(6).toString('hex')}`;
  await client.send(new CreateScheduleGroupCommand({ Name: group }));
  fresh = await freshContext({ config: true });
  context = {
    ...fresh,
    scheduler: new Scheduler({ group, roleArn: ROLE }, fresh.stateMachines),
  };
});

const nightly = (changes: object = {}) =>
  CreateScheduleInput.parse({
    name: 'nightly',
    expression: 'cron(30 2 * * ? *)',
    time_zone: 'Europe/Berlin',
    backup: { stores: ['config'], tags: ['night'], note: 'by schedule', retention: '30d' },
    ...changes,
  });

describe('a schedule', () => {
  test('is created with everything in the request, and read back', async () => {
    const made = await createSchedule(context, nightly({ flexible_minutes: 15, description: 'for Ada' }), me);
    expect(made).toMatchObject({
      name: 'nightly',
      expression: 'cron(30 2 * * ? *)',
      time_zone: 'Europe/Berlin',
      flexible_minutes: 15,
      enabled: true,
      description: 'for Ada',
      made_by: 'ada',
      backup: {
        target: 'default',
        stores: ['config'],
        tags: ['night'],
        note: 'by schedule',
        retention: '30d',
        codec: 'gzip',
      },
      missed_runs: [],
      missed_total: 0,
    });
    expect(Date.parse(made.next_run ?? '')).toBeGreaterThan(Date.now());
    expect((await listSchedules(context)).schedules).toEqual([made]);
  });

  test('may only start the backup workflow, with the role for that, and names its run', async () => {
    await createSchedule(context, nightly(), me);
    const { Target } = await client.send(new GetScheduleCommand({ GroupName: group, Name: 'nightly' }));
    expect(Target).toMatchObject({ Arn: context.stateMachines.backup, RoleArn: ROLE });
    expect(JSON.parse(Target?.Input ?? '')).toMatchObject({
      target: 'default',
      requested_by: 'schedule:nightly',
      schedule: { name: 'nightly', scheduled_at: '<aws.scheduler.scheduled-time>', made_by: 'ada' },
    });
  });

  test('of drills starts the restore workflow with a drill, and no option of backups', async () => {
    const weekly = CreateScheduleInput.parse({ name: 'weekly', expression: 'rate(7 days)', drill: {} });
    const made = await createSchedule(context, weekly, me);
    expect(made).toMatchObject({ kind: 'drill', drill: { target: 'default' }, made_by: 'ada' });
    expect(made).not.toHaveProperty('backup');
    expect(await createSchedule(context, weekly, { requestedBy: 'bob' })).toEqual(made);
    const { Target } = await client.send(new GetScheduleCommand({ GroupName: group, Name: 'weekly' }));
    expect(Target).toMatchObject({ Arn: context.stateMachines.restore, RoleArn: ROLE });
    expect(DrillRequest.safeParse(JSON.parse(Target?.Input?.replace(/<[^>]+>/, at) ?? '')).data).toEqual({
      drill: { target: 'default' },
      requested_by: 'schedule:weekly',
      schedule: { name: 'weekly', scheduled_at: at, made_by: 'ada' },
    });
    expect(CreateScheduleInput.safeParse({ ...weekly, backup: {} }).error?.message).toMatch(
      /backups or drills, not both/,
    );
    await expect(changeSchedule(context, 'weekly', { backup: { tags: [], codec: 'gzip' } })).rejects.toThrow(
      /Schedule "weekly" starts drills, which have no options of backups/,
    );
    await createSchedule(context, nightly(), me);
    await expect(changeSchedule(context, 'nightly', { drill: {} })).rejects.toThrow(
      /starts backups, not drills/,
    );
    const changed = await changeSchedule(context, 'weekly', { enabled: false });
    expect(changed).toMatchObject({ enabled: false, kind: 'drill', drill: { target: 'default' } });
    expect((await listSchedules(context)).schedules.map(({ kind }) => kind)).toEqual(['backup', 'drill']);
    expect(allowedAgeMs('default', [made])).toBe(allowedAgeMs('default', []));
  });

  test('created twice is one; another one with its name is refused', async () => {
    const made = await createSchedule(context, nightly(), me);
    expect(await createSchedule(context, nightly(), { requestedBy: 'bob' })).toEqual(made);
    await expect(createSchedule(context, nightly({ time_zone: 'UTC' }), me)).rejects.toThrow(
      /already a schedule "nightly"/,
    );
  });

  test('is changed only in the given fields', async () => {
    const made = await createSchedule(context, nightly(), me);
    const changed = await changeSchedule(
      context,
      'nightly',
      ScheduleChanges.parse({ expression: 'rate(1 day)' }),
    );
    expect(changed).toMatchObject({ expression: 'rate(1 day)', backup: made.backup, made_by: 'ada' });
    const backup = { stores: ['config' as const], tags: [], codec: 'zstd' as const };
    expect((await changeSchedule(context, 'nightly', { backup })).backup).toEqual({
      ...backup,
      target: 'default',
    });
  });

  test('that is paused has no next run, and has one again when it is resumed', async () => {
    await createSchedule(context, nightly(), me);
    const paused = await changeSchedule(context, 'nightly', { enabled: false });
    expect(paused).toMatchObject({ enabled: false });
    expect(paused.next_run).toBeUndefined();
    expect((await changeSchedule(context, 'nightly', { enabled: true })).next_run).toBeDefined();
  });

  test('no longer exists once it is removed', async () => {
    await createSchedule(context, nightly(), me);
    await removeSchedule(context, 'nightly');
    await expect(showSchedule(context, 'nightly')).rejects.toThrow(/no schedule "nightly"/);
    await expect(removeSchedule(context, 'nightly')).rejects.toThrow(/no schedule "nightly"/);
    await expect(changeSchedule(context, 'nightly', { enabled: false })).rejects.toThrow(/no schedule/);
    expect(await listSchedules(context)).toEqual({ schedules: [], unreadable: [] });
  });

  test('of the deployment can be changed and paused, and is not removed', async () => {
    await context.scheduler?.create(
      'daily',
      ScheduleSettings.parse({ expression: 'rate(1 day)' }),
      'deployment',
    );
    await changeSchedule(context, 'daily', { enabled: false });
    await expect(removeSchedule(context, 'daily')).rejects.toThrow(/belongs to the deployment/);
    expect(await showSchedule(context, 'daily')).toMatchObject({ enabled: false, made_by: 'deployment' });
  });

  test.each([
    ['a time that is over', { expression: 'at(2020-01-01T00:00:00)' }, /never occurs/],
    ['a date that does not exist', { expression: 'cron(0 3 31 2 ? *)' }, /never occurs/],
    ['a store that the target does not have', { backup: { stores: ['graph'] } }, /no store "graph"/],
    ['a target that does not exist', { backup: { target: 'nowhere' } }, /no target "nowhere"/],
  ])('with %s is refused before it is created', async (_what, changes, why) => {
    await expect(createSchedule(context, nightly(changes), me)).rejects.toThrow(why);
    expect((await listSchedules(context)).schedules).toEqual([]);
  });

  test('with an invalid hand-written definition hides none of the others', async () => {
    await createSchedule(context, nightly(), me);
    await client.send(
      new CreateScheduleCommand({
        GroupName: group,
        Name: 'by-hand',
        ScheduleExpression: 'rate(1 day)',
        FlexibleTimeWindow: { Mode: 'OFF' },
        Target: { Arn: context.stateMachines.backup, RoleArn: ROLE, Input: '{"tags": 5}' },
      }),
    );
    const { schedules, unreadable } = await listSchedules(context);
    expect(schedules.map(({ name }) => name)).toEqual(['nightly']);
    expect(unreadable).toEqual([{ name: 'by-hand', problem: expect.stringContaining('by-hand') }]);
  });
});

const at = '2026-11-21T03:00:00Z';

describe('a run', () => {
  test('by hand starts what the schedule would start', async () => {
    await createSchedule(context, nightly(), me);
    const started = await runSchedule(context, 'nightly', { requestedBy: 'bob', idempotencyKey: 'k' });
    const { input } = await context.sfn.send(
      new DescribeExecutionCommand({ executionArn: started.execution_arn }),
    );
    expect(JSON.parse(input ?? '')).toEqual({
      target: 'default',
      stores: ['config'],
      tags: ['night'],
      note: 'by schedule',
      retention: '30d',
      codec: 'gzip',
      requested_by: 'bob',
      schedule: { name: 'nightly', made_by: 'ada' },
    });
    expect(await runSchedule(context, 'nightly', { requestedBy: 'bob', idempotencyKey: 'k' })).toMatchObject({
      job_id: started.job_id,
      replayed: true,
    });
  });

  test('by hand of drills starts a drill', async () => {
    const weekly = CreateScheduleInput.parse({ name: 'weekly', expression: 'rate(7 days)', drill: {} });
    await createSchedule(context, weekly, me);
    await expect(runSchedule(context, 'weekly', me)).rejects.toThrow(/no good backup/);
    await catalogue(context.bucket, { backup_id: idAt(new Date()) }, Buffer.from('archive'));
    const started = await runSchedule(context, 'weekly', { requestedBy: 'bob' });
    const { input } = await context.sfn.send(
      new DescribeExecutionCommand({ executionArn: started.execution_arn }),
    );
    expect(started.execution_arn).toContain(context.stateMachines.restore.split(':').at(-1));
    expect(JSON.parse(input ?? '')).toEqual({
      drill: { target: 'default' },
      requested_by: 'bob',
      schedule: { name: 'weekly', made_by: 'ada' },
    });
  });

  test('is shown with its state, also one that failed; missed ones are counted', async () => {
    await createSchedule(context, nightly(), me);
    const job: JobRecord = {
      job_id: 'job-1',
      kind: 'backup',
      target: 'default',
      state: 'failed',
      created_at: '2026-01-01T00:00:00.000Z',
      updated_at: '2026-01-01T00:00:00.000Z',
      error: { name: 'UnavailableError', message: 'Neo4j did not answer.' },
    };
    await createJob(context.bucket, job);
    const at = new Date().toISOString();
    await recordRun(context.bucket, { schedule: 'nightly', job_id: 'job-1', at, by_hand: false });
    expect((await showSchedule(context, 'nightly')).last_run).toEqual({
      job_id: 'job-1',
      at,
      by_hand: false,
      state: 'failed',
      skipped: false,
      problem: 'Neo4j did not answer.',
    });
  });
});

test('of an earlier schedule is not shown by a schedule with the same name', async () => {
  const at = new Date(Date.now() - 3_600_000).toISOString();
  await recordRun(context.bucket, { schedule: 'nightly', job_id: 'job-1', at, by_hand: false });
  await createSchedule(context, nightly(), me);
  expect(await showSchedule(context, 'nightly')).not.toHaveProperty('last_run');
});

describe('a run that finds another job in progress', () => {
  const plan = async (jobId: string, schedule?: object) => {
    const machine = await waitingMachine(context.sfn);
    const arn = await machine.start(jobId);
    const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
    return planBackup(
      fresh.environment,
      { stores: ['config'], ...(schedule ? { schedule } : {}) },
      { name: jobId, arn, start: new Date().toISOString() },
      leg,
      { trusted: [] },
    );
  };
  const id = (what: string) => `${what}-${randomBytes(4).toString('hex')}`;

  test('is skipped, recorded with the reason, and fails nothing', async () => {
    const [first, second] = [id('first'), id('second')];
    await plan(first);
    const planned = await plan(second, { name: 'nightly', scheduled_at: '2026-11-21T03:00:00Z' });
    expect(planned).toMatchObject({ skipped: expect.stringContaining(first) });
    expect(await readJob(context.bucket, second)).toMatchObject({
      state: 'cancelled',
      error: { name: 'Skipped', message: expect.stringContaining(`in use by backup job ${first}`) },
    });
  });

  test('whose function is repeated is still skipped', async () => {
    const [first, second] = [id('first'), id('second')];
    await plan(first);
    const run = { name: 'nightly', scheduled_at: '2026-11-21T03:00:00Z' };
    const machine = await waitingMachine(context.sfn);
    const execution = { name: second, arn: await machine.start(second), start: new Date().toISOString() };
    const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
    const again = () =>
      planBackup(fresh.environment, { stores: ['config'], schedule: run }, execution, leg, { trusted: [] });
    const skipped = await again();
    expect(await again()).toEqual(skipped);
  });

  const admitDrill = async (jobId: string, schedule?: object) => {
    const machine = await waitingMachine(context.sfn);
    const execution = { name: jobId, arn: await machine.start(jobId), start: new Date().toISOString() };
    const admit = () =>
      admitRestore(fresh.environment, { drill: {}, ...(schedule ? { schedule } : {}) }, execution);
    return { admit, execution };
  };

  test('of drills is skipped while another drill runs, and after it was started twice', async () => {
    await catalogue(context.bucket, { backup_id: idAt(new Date()) }, Buffer.from('archive'));
    const [first, second, third] = [id('first'), id('second'), id('third')];
    const one = await admitDrill(first, { name: 'weekly', scheduled_at: at });
    expect(await one.admit()).toMatchObject({ admitted: true, job_id: first });
    expect(await one.admit()).toMatchObject({ admitted: true, job_id: first });
    const other = await admitDrill(second, { name: 'weekly', scheduled_at: '2026-11-28T03:00:00Z' });
    const refused = { admitted: false, reason: expect.stringContaining(`in use by drill job ${first}`) };
    expect(await other.admit()).toEqual(refused);
    // A repeated function finds what it has decided, even if the lock is free now.
    await freeLock(context.bucket, 'drill.default', one.execution.arn);
    expect(await other.admit()).toEqual(refused);
    const twice = await admitDrill(third, { name: 'weekly', scheduled_at: at });
    expect(await twice.admit()).toMatchObject({ admitted: false, reason: expect.stringContaining('twice') });
    for (const job of [second, third])
      expect(await readJob(context.bucket, job)).toMatchObject({ kind: 'drill', error: { name: 'Skipped' } });
    const detail = { executionArn: other.execution.arn, name: second, status: 'SUCCEEDED' as const };
    const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
    await cleanUpAfter(fresh.environment, { detail }, leg);
    expect(await readDrill(context.bucket, second)).toBeUndefined();
  });

  test('of drills without a good backup fails with that reason, and is not missed', async () => {
    const jobId = id('drill');
    const { admit, execution } = await admitDrill(jobId, { name: 'weekly', scheduled_at: at });
    await expect(admit()).rejects.toThrow(/no good backup/);
    const cause = 'Target "default" has no good backup.';
    const detail = { ...{ executionArn: execution.arn, name: jobId, cause }, error: 'InvalidInputError' };
    const leg = { timeLeft: () => 60_000, signal: new AbortController().signal };
    await cleanUpAfter(fresh.environment, { detail: { ...detail, status: 'FAILED' } }, leg);
    expect(await readJob(context.bucket, jobId)).toMatchObject({
      kind: 'drill',
      state: 'failed',
      error: { message: cause },
    });
    expect((await listRuns(context.bucket, 'weekly')).length).toBe(1);
  });

  test('without a schedule is refused as before', async () => {
    await plan(id('first'));
    await expect(plan(id('second'))).rejects.toThrow(/in use by/);
  });

  test('that AWS starts twice for one planned time is one backup', async () => {
    const [first, second] = [id('first'), id('second')];
    const run = { name: 'nightly', scheduled_at: '2026-11-21T03:00:00Z' };
    expect(await plan(first, run)).not.toHaveProperty('skipped');
    expect(await plan(second, run)).toMatchObject({
      skipped: expect.stringContaining(`started twice: it is job ${first}`),
    });
  });
});
