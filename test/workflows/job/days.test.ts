import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { Bucket } from '../../../shared/aws/bucket.ts';
import { jobOfDayKey, jobRecordKey } from '../../../shared/aws/keys.ts';
import { ListJobsInput, listJobs } from '../../../shared/operations/list-jobs.ts';
import { metricsText } from '../../../shared/operations/metrics.ts';
import type { Environment } from '../../../shared/workflows/environment.ts';
import { foldJobDays, unsettledJobs } from '../../../shared/workflows/job/days.ts';
import { createJob, type JobRecord, updateJob } from '../../../shared/workflows/job/record.ts';
import { freshEnvironment } from '../../support/aws.ts';

let environment: Environment;
/** Keys that were read, since the test last cleared it. */
let reads: string[] = [];
const NOW = Date.parse('2026-11-29T12:00:00.000Z');
const at = (daysAgo: number, minute = 0) =>
  new Date(NOW - daysAgo * 86_400_000 + minute * 60_000).toISOString();
const settle = () => foldJobDays(environment.bucket, () => 60_000, NOW);

async function job(job_id: string, created_at: string, changes: Partial<JobRecord> = {}): Promise<void> {
  await createJob(environment.bucket, {
    job_id,
    kind: 'backup',
    target: 'default',
    state: 'completed',
    created_at,
    updated_at: created_at,
    ...changes,
  });
}
/** A job as versions without the index created it. */
const oldJob = (job_id: string, created_at: string) =>
  environment.bucket.writeRecord(jobRecordKey(job_id), {
    ...{ job_id, kind: 'backup', target: 'default', state: 'failed' },
    ...{ created_at, updated_at: created_at },
  });
const list = (input: object = {}) =>
  listJobs({ bucket: environment.bucket } as never, ListJobsInput.parse({ limit: 500, ...input }));
const ids = async (input: object = {}) => (await list(input)).jobs.map(({ job_id }) => job_id);

const open = async () => {
  const found: string[] = [];
  for await (const id of unsettledJobs(environment.bucket)) found.push(id);
  return found.sort();
};

beforeEach(async () => {
  environment = await freshEnvironment();
  countReads(environment.bucket);
});

function countReads({ s3 }: Bucket): void {
  s3.middlewareStack.add(
    (next, { commandName }) =>
      (args) => {
        if (commandName === 'GetObjectCommand') reads.push(String(Reflect.get(args.input, 'Key')));
        return next(args);
      },
    { step: 'initialize' },
  );
}

/** Continues as another process would, which remembers nothing. */
function startOver(): void {
  environment = { ...environment, bucket: new Bucket(environment.bucket.name) };
  countReads(environment.bucket);
  reads = [];
}

test('lists and metrics of jobs read one object for each past day, and single records of the last days only', async () => {
  const days = 20;
  const perDay = 10;
  for (let day = 0; day < days; day++) {
    await Promise.all(Array.from({ length: perDay }, (_, i) => job(`run-${day}-${i}`, at(day, i))));
  }
  const before = await list();
  await settle();
  startOver();
  expect(await list()).toEqual(before);
  expect(before.total).toBe(days * perDay);
  // Days that ended less than two days ago are read record by record.
  expect(reads.filter((key) => key.endsWith('job.json')).length).toBe(3 * perDay);
  expect(reads.length).toBe(3 * perDay + days - 3);
  startOver();
  expect(await metricsText(environment as never)).toContain(`state="completed"} ${days * perDay}\n`);
  // And the totals of days that have expired.
  expect(reads.filter((key) => key.startsWith('jobs/')).length).toBe(3 * perDay + days - 3 + 1);
});

test('one process reads the object of a day again only if it has changed, and no job that has ended', async () => {
  await job('old', at(10));
  await settle();
  await job('done', at(1));
  await job('running', at(0, 1), { state: 'processing' });
  await job('paused', at(0), { writers: 'paused' });
  const before = await list();
  expect(before.jobs.map(({ job_id }) => job_id)).toEqual(['running', 'paused', 'done', 'old']);
  reads = [];
  expect(await list()).toEqual(before);
  expect(reads.sort()).toEqual(['paused', 'running'].map(jobRecordKey));

  await updateJob(environment.bucket, 'running', () => ({ state: 'failed' }));
  await updateJob(environment.bucket, 'paused', () => ({ writers: 'resumed' }));
  await job('late', at(10, 1));
  await settle();
  reads = [];
  expect(await ids({ state: 'failed' })).toEqual(['running']);
  expect(await ids()).toEqual(['running', 'paused', 'done', 'late', 'old']);
  expect(reads.filter((key) => key.endsWith('job.json')).sort()).toEqual(
    ['paused', 'running'].map(jobRecordKey),
  );
  reads = [];
  await list();
  expect(reads).toEqual([]);
});

test('jobs that have not ended, or whose writers are still paused, stay single records until they have', async () => {
  await job('done', at(10));
  await job('waiting', at(10), { kind: 'restore', state: 'awaiting_confirmation' });
  await job('paused', at(10), { writers: 'paused' });
  await settle();
  expect(await open()).toEqual(['paused', 'waiting']);
  await updateJob(environment.bucket, 'waiting', () => ({ state: 'cancelled' }));
  await updateJob(environment.bucket, 'paused', () => ({ writers: 'resumed' }));
  expect(await ids({ state: 'cancelled' })).toEqual(['waiting']);
  await settle();
  await settle();
  expect(await open()).toEqual([]);
  expect((await ids()).sort()).toEqual(['done', 'paused', 'waiting']);
  expect(await ids({ state: 'cancelled' })).toEqual(['waiting']);
});

test('jobs of versions without the index are listed before and after it is built, each once', async () => {
  await oldJob('old-1', at(40));
  await oldJob('old-2', at(1));
  await job('new', at(0));
  // Requested twice, on two days: the record is from the first.
  await createJob(environment.bucket, {
    ...(await list()).jobs[0],
    job_id: 'new',
    created_at: at(1),
  } as never);
  const all = ['new', 'old-2', 'old-1'];
  expect(await ids()).toEqual(all);
  await settle();
  expect(await ids()).toEqual(all);
  expect((await list()).total).toBe(3);
});

test('a job whose record was never written, or has expired, is neither listed nor kept in the index', async () => {
  await environment.bucket.writeRecord(jobOfDayKey(at(10).slice(0, 10), 'never-was'), {});
  await job('done', at(10));
  await settle();
  expect(await ids()).toEqual(['done']);
  expect(await open()).toEqual([]);
});

const lines = async (start: string) =>
  (await metricsText(environment as never)).split('\n').filter((line) => line.startsWith(start));

test('failures and durations are counted since the deployment: they do not fall when records expire', async () => {
  const finished_at = (daysAgo: number, seconds: number) =>
    new Date(Date.parse(at(daysAgo)) + seconds * 1000).toISOString();
  await job('old', at(100), { finished_at: finished_at(100, 8) });
  await job('old-failed', at(95), { state: 'failed' });
  await job('slow', at(20), { finished_at: finished_at(20, 1000) });
  await job('now', at(0), { finished_at: finished_at(0, 7) });
  await job('failed', at(0), { state: 'failed' });
  await job('skipped', at(0), { state: 'failed', error: { name: 'Skipped', message: '' } });
  const restore = (id: string, daysAgo: number, changes: object) =>
    job(id, at(daysAgo), { kind: 'restore', ...changes });
  const result = {
    verified: true,
    backup_id: 'b',
    origin: {},
    stores: {},
    all_of_stores: true,
    seconds: 50,
    bytes: 1,
  };
  await restore('restore', 0, { state: 'failed' });
  await restore('restored-long-ago', 95, { finished_at: finished_at(95, 9000), result });
  await restore('rolled-back', 10, { state: 'rolled_back' });
  await restore('rollback_of_x', 10, { result });
  await restore('dry-run', 5, { finished_at: finished_at(5, 3), result: { dry_run: true } });
  await job('drill', at(0), { kind: 'drill', finished_at: finished_at(0, 20), result });
  await job('drill-long-ago', at(95), { kind: 'drill', finished_at: finished_at(95, 40), result });
  await job('rehearsal', at(95), {
    kind: 'drill',
    finished_at: finished_at(95, 9),
    result: { rehearsal: true },
  });
  await job('drill-failed', at(95), { kind: 'drill', state: 'failed' });
  const all = async () => [
    ...(await lines('ngbak_backup_failures_total')),
    ...(await lines('ngbak_backup_duration_seconds')),
    ...(await lines('ngbak_restore_')),
    ...(await lines('ngbak_drill_')),
  ];
  const before = await all();
  expect(before.filter((line) => !/le="([5-9]|\d{2,3})"/.test(line)).slice(0, 2)).toEqual([
    'ngbak_backup_failures_total{target="default"} 2',
    'ngbak_backup_duration_seconds_bucket{target="default",le="1200"} 3',
  ]);
  expect(before).toEqual(
    expect.arrayContaining([
      'ngbak_backup_duration_seconds_bucket{target="default",le="5"} 0',
      'ngbak_backup_duration_seconds_bucket{target="default",le="10"} 2',
      'ngbak_backup_duration_seconds_bucket{target="default",le="600"} 2',
      'ngbak_backup_duration_seconds_bucket{target="default",le="+Inf"} 3',
      'ngbak_backup_duration_seconds_sum{target="default"} 1015',
      'ngbak_backup_duration_seconds_count{target="default"} 3',
      'ngbak_restore_failures_total{target="default"} 2',
      'ngbak_restore_duration_seconds_bucket{target="default",le="30"} 0',
      'ngbak_restore_duration_seconds_bucket{target="default",le="60"} 1',
      'ngbak_restore_duration_seconds_sum{target="default"} 50',
      // Until their removal, unlike restores.
      'ngbak_drill_failures_total{target="default"} 1',
      'ngbak_drill_duration_seconds_bucket{target="default",le="30"} 1',
      'ngbak_drill_duration_seconds_sum{target="default"} 60',
    ]),
  );
  const { bucket } = environment;
  for (let time = 0; time < 2; time++) {
    await settle();
    expect(await all()).toEqual(before);
  }
  // The jobs of expired days are no longer listed.
  expect((await ids()).sort()).toEqual(
    [
      'drill',
      'dry-run',
      'failed',
      'now',
      'restore',
      'rollback_of_x',
      'rolled-back',
      'skipped',
      'slow',
    ].sort(),
  );
  for (const id of ['old', 'old-failed', 'restored-long-ago', 'drill-long-ago', 'drill-failed', 'rehearsal'])
    await bucket.removeAll(jobRecordKey(id));
  expect(await all()).toEqual(before);
  const text = await metricsText(environment as never);
  expect(text).toContain('# TYPE ngbak_backup_failures_total counter\n');
  expect(text).toContain('# TYPE ngbak_backup_duration_seconds histogram\n');
});

test('an unreadable object of a day is reported, and hides no other day', async () => {
  await job('a', at(10));
  await job('b', at(11));
  await settle();
  const Key = `jobs/.days/${at(11).slice(0, 10)}.json`;
  await environment.bucket.s3.send(
    new PutObjectCommand({ Bucket: environment.bucket.name, Key, Body: 'no JSON' }),
  );
  const { jobs, unreadable } = await list();
  expect(jobs.map(({ job_id }) => job_id)).toEqual(['a']);
  expect(unreadable).toEqual([{ job_id: at(11).slice(0, 10), problem: expect.stringContaining('.days/') }]);
});
