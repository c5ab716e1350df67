import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { CreateScheduleGroupCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { beforeEach, describe, expect, test } from '@jest/globals';
import parsePrometheus from 'parse-prometheus-text-format';
import { jobRecordKey } from '../../shared/aws/keys.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { createSchedule } from '../../shared/operations/change-schedules.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { DownloadInput, downloadBackup } from '../../shared/operations/download-backup.ts';
import { checkHealth } from '../../shared/operations/health.ts';
import { metricsText } from '../../shared/operations/metrics.ts';
import { isTooOld, recoverability } from '../../shared/operations/recoverability.ts';
import { CreateScheduleInput } from '../../shared/schedules/schedule.ts';
import { Scheduler } from '../../shared/schedules/scheduler.ts';
import { createJob, type JobRecord } from '../../shared/workflows/job/record.ts';
import { freshContext } from '../operations/context.ts';
import { catalogue } from '../support/catalog.ts';

let context: OperationsContext;
const ago = (hours: number) => new Date(Date.now() - hours * 3_600_000).toISOString();
const backup = (hours: number, changes: object = {}) => {
  const created_at = ago(hours);
  const id = `snapshot_${created_at.slice(0, 19).replaceAll(':', '-')}Z_${randomBytes(3).toString('hex')}`;
  return catalogue(context.bucket, { backup_id: id, created_at, ...changes }, Buffer.from('archive'));
};
const job = (job_id: string, changes: Partial<JobRecord> = {}) =>
  createJob(context.bucket, {
    job_id,
    kind: 'backup',
    target: 'default',
    state: 'completed',
    created_at: ago(1),
    updated_at: ago(1),
    ...changes,
  });
const failing = async () =>
  (await checkHealth(context)).checks
    .filter(({ ok }) => !ok)
    .map(({ name, message }) => `${name}: ${message}`);

beforeEach(async () => {
  const group = `test-${randomBytes(6).toString('hex')}`;
  await new SchedulerClient({}).send(new CreateScheduleGroupCommand({ Name: group }));
  const fresh = await freshContext();
  const roleArn = 'arn:aws:iam::000000000000:role/schedules';
  context = {
    ...fresh,
    config: NgbakConfig.parse({ targets: { default: { stores: {} }, other: { stores: {} } } }),
    scheduler: new Scheduler({ group, roleArn }, fresh.stateMachines),
  };
});

describe('health', () => {
  test('is ok if every target has a good backup that is recent enough', async () => {
    await backup(5);
    await backup(30, { target: 'other' });
    expect(await checkHealth(context)).toMatchObject({ status: 'ok' });
  });

  test('names the target that has none, and the one whose backup is old', async () => {
    await backup(60);
    expect(await failing()).toEqual([
      expect.stringMatching(/^newest backup of default: .* 60 hours old: older than allowed/),
      'newest backup of other: There is no verified backup yet.',
    ]);
  });

  test('reports in advance that an archive is in Glacier, and so does its download', async () => {
    const { backup_id, archive } = await backup(5);
    await backup(5, { target: 'other' });
    await context.bucket.s3.send(
      new PutObjectCommand({
        ...{ Bucket: context.bucket.name, Key: archive.key, Body: 'an archive', StorageClass: 'GLACIER' },
      }),
    );
    expect(await failing()).toEqual([
      expect.stringMatching(
        /^newest backup of default: .* is in the storage class GLACIER and cannot be read until it is thawed.*ngbak thaw/,
      ),
    ]);
    await expect(downloadBackup(context, backup_id, DownloadInput.parse({}))).rejects.toMatchObject({
      name: 'ObjectArchivedError',
    });
  });

  test('counts neither damaged nor partial backups, nor safety backups of restores', async () => {
    await backup(5, { tags: ['pre-restore'] });
    await backup(3, { type: 'partial', only: { namespaces: ['full_docs'] } });
    await backup(4, { verification: { state: 'damaged', at: ago(1), problems: ['x'] } });
    await backup(5, { target: 'other' });
    expect(await failing()).toEqual(['newest backup of default: There is no verified backup yet.']);
  });

  test('allows a backup to be as old as the schedules of its target imply', async () => {
    await backup(24 * 8);
    await backup(24 * 8, { target: 'other' });
    const weekly = { name: 'weekly', expression: 'cron(0 3 ? * SUN *)', backup: { target: 'default' } };
    await createSchedule(context, CreateScheduleInput.parse(weekly), { requestedBy: 'ada' });
    expect(await failing()).toEqual([expect.stringMatching(/^newest backup of other/)]);
  });
});

test('health, and the verdict of dashboard, command line and alarms, agree on what is too old', async () => {
  const hours = 24 * 8;
  await backup(hours);
  await backup(hours, { target: 'other' });
  const weekly = { name: 'weekly', expression: 'cron(0 3 ? * SUN *)', backup: { target: 'default' } };
  await createSchedule(context, CreateScheduleInput.parse(weekly), { requestedBy: 'ada' });
  const answers = async () => {
    const { checks } = await checkHealth(context);
    const { targets } = await recoverability(context);
    return targets.map((found) => ({
      target: found.target,
      health: !checks.find(({ name }) => name === `newest backup of ${found.target}`)?.ok,
      verdict: isTooOld(found),
    }));
  };
  const same = (target: string, tooOld: boolean) => ({ target, health: tooOld, verdict: tooOld });
  expect(await answers()).toEqual([same('default', false), same('other', true)]);
  const { config } = context;
  if (!config) throw new Error('The context has a configuration.');
  context = { ...context, config: { ...config, backup_age_hours: 100 } };
  expect(await answers()).toEqual([same('default', true), same('other', true)]);
});

describe('metrics', () => {
  const lines = async (name: string) =>
    (await metricsText(context)).split('\n').filter((line) => line.startsWith(name));

  test('report size, duration and age of the last good backup, and +Inf if there is none', async () => {
    await backup(2);
    await backup(1, { tags: ['pre-restore'] });
    expect(await lines('ngbak_last_backup_duration_seconds')).toEqual([
      'ngbak_last_backup_duration_seconds{target="default",type="full"} 10',
    ]);
    expect(await lines('ngbak_last_backup_bytes')).toEqual([
      'ngbak_last_backup_bytes{target="default",type="full"} 1000',
    ]);
    const [age = '', none] = await lines('ngbak_last_backup_age_seconds');
    expect(Math.abs(Number(age.split(' ')[1]) - 7200)).toBeLessThan(60);
    expect(none).toBe('ngbak_last_backup_age_seconds{target="other",type="full"} +Inf');
    expect(await lines('ngbak_backups')).toEqual(
      expect.arrayContaining([
        'ngbak_backups{target="default"} 2',
        'ngbak_backups_bytes{target="default"} 2000',
      ]),
    );
  });

  test('distinguish failures, skipped runs and checksum mismatches', async () => {
    await job('a');
    await job('b', { state: 'failed', error: { name: 'UnavailableError', message: 'x' } });
    await job('c', { state: 'failed', kind: 'restore', error: { name: 'IntegrityError', message: 'x' } });
    await job('d', { state: 'cancelled', error: { name: 'Skipped', message: 'x' } });
    expect((await lines('ngbak_jobs')).sort()).toEqual([
      'ngbak_jobs{target="default",kind="backup",state="completed"} 1',
      'ngbak_jobs{target="default",kind="backup",state="failed"} 1',
      'ngbak_jobs{target="default",kind="backup",state="skipped"} 1',
      'ngbak_jobs{target="default",kind="restore",state="failed"} 1',
    ]);
    expect(await lines('ngbak_checksum_mismatches')).toEqual([
      'ngbak_checksum_mismatches{target="default"} 1',
    ]);
  });

  test('count unreadable records instead of failing on them', async () => {
    await context.bucket.s3.send(
      new PutObjectCommand({ Bucket: context.bucket.name, Key: jobRecordKey('spoiled'), Body: 'no JSON' }),
    );
    await context.bucket.s3.send(
      new PutObjectCommand({ Bucket: context.bucket.name, Key: 'backups/spoiled.json', Body: 'no JSON' }),
    );
    expect(await lines('ngbak_records_unreadable')).toEqual([
      'ngbak_records_unreadable{kind="backup"} 1',
      'ngbak_records_unreadable{kind="job"} 1',
    ]);
  });

  test('report for each schedule whether it is enabled, its next run and missed runs', async () => {
    const nightly = {
      name: 'nightly',
      expression: 'rate(1 day)',
      enabled: false,
      backup: { target: 'default' },
    };
    await createSchedule(context, CreateScheduleInput.parse(nightly), { requestedBy: 'ada' });
    expect(await lines('ngbak_schedule_')).toEqual([
      'ngbak_schedule_enabled{schedule="nightly"} 0',
      'ngbak_schedule_missed_runs{schedule="nightly"} 0',
    ]);
  });
});

describe('the exposition for Prometheus', () => {
  test('is read by an independent parser: names, types, descriptions, and no series twice', async () => {
    await backup(2);
    await job('a', { finished_at: ago(0.5) });
    await job('drill_a', { kind: 'drill', finished_at: ago(0.9) });
    const text = await metricsText(context);
    const families = parsePrometheus(text);
    expect(families.length).toBeGreaterThan(25);
    for (const { name, help, type } of families) {
      expect(name).toMatch(/^ngbak_[a-z_]+$/);
      expect(help).toMatch(/^[A-Z1].*\.$/);
      // The conventions of Prometheus: a counter, and nothing else, ends in _total.
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'COUNTER']);
    }
    const series = text.split('\n').flatMap((line) => /^ngbak\S+/.exec(line) ?? []);
    expect(new Set(series).size).toBe(series.length);
    expect(text.endsWith('\n')).toBe(true);
  });

  test('has histograms whose buckets are cumulative, up to the number of jobs', async () => {
    await job('a', { finished_at: ago(0.5) });
    await job('b', { finished_at: ago(0.9) });
    const result = { verified: true, backup_id: 'b', origin: {}, stores: {}, all_of_stores: true };
    await job('drill_a', { kind: 'drill', finished_at: ago(0.9), result });
    await job('drill_b', { kind: 'drill', state: 'failed' });
    const text = await metricsText(context);
    for (const [name, completed] of [
      ['ngbak_backup_duration_seconds', 2],
      ['ngbak_restore_duration_seconds', 0],
      ['ngbak_drill_duration_seconds', 1],
    ] as const) {
      const values = (suffix: string) =>
        text
          .split('\n')
          .filter((line) => line.startsWith(`${name}_${suffix}{target="default"`))
          .map((line) => Number(line.split(' ')[1]));
      const buckets = values('bucket');
      expect(buckets).toEqual([...buckets].sort((a, b) => a - b));
      expect([name, buckets.at(-1), values('count')]).toEqual([name, completed, [completed]]);
      expect(values('sum')[0]).toBeGreaterThanOrEqual(completed * 300);
    }
    expect(text).toContain('ngbak_drill_failures_total{target="default"} 1\n');
    // A target without jobs has zeros, from which rates can be calculated once something fails.
    expect(text).toContain('ngbak_backup_failures_total{target="other"} 0\n');
  });
});

test('the Grafana dashboard uses only metrics that exist', async () => {
  const text = await readFile(join(import.meta.dirname, '../../docs/grafana/ngbak.json'), 'utf8');
  const { panels } = JSON.parse(text) as { panels: { title: string; targets: { expr: string }[] }[] };
  const exported = new Set(
    parsePrometheus(await metricsText(context)).flatMap(({ name, type }) =>
      type === 'HISTOGRAM' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
  expect(panels.length).toBeGreaterThan(10);
  for (const { title, targets } of panels) {
    const metrics = targets.flatMap(({ expr }) => expr.match(/ngbak_\w+/g) ?? []);
    expect([title, metrics.length > 0, metrics.filter((name) => !exported.has(name))]).toEqual([
      title,
      true,
      [],
    ]);
  }
});
