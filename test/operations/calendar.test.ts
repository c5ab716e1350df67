import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { drillKey } from '../../shared/aws/keys.ts';
import { CalendarInput, calendar, DayCounts } from '../../shared/operations/calendar.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { createJob, type JobRecord } from '../../shared/workflows/job/record.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-06-30T12:00:00Z');
const at = (daysAgo: number) => new Date(NOW - daysAgo * DAY_MS).toISOString();
const dateOf = (daysAgo: number) => at(daysAgo).slice(0, 10);

describe('the days of a calendar', () => {
  test('begin in the requested zone, also when clocks change', () => {
    // Clocks change at 01:00 UTC on 29 March.
    const berlin = new DayCounts('Europe/Berlin', 3, Date.parse('2026-03-30T21:59:00Z'));
    berlin.add('2026-03-27T22:59:00Z', 'good');
    berlin.add('2026-03-27T23:00:00Z', 'good');
    berlin.add('2026-03-28T22:59:00Z', 'failed');
    berlin.add('2026-03-28T23:00:00Z', 'good');
    berlin.add('2026-03-29T21:59:00Z', 'good');
    berlin.add('2026-03-29T22:00:00Z', 'missed');
    const { from, to, days } = berlin.all();
    expect([from, to]).toEqual(['2026-03-28', '2026-03-30']);
    expect(days.map(({ date, good, failed, missed }) => [date, good, failed, missed])).toEqual([
      ['2026-03-28', 1, 1, 0],
      ['2026-03-29', 2, 0, 0],
      ['2026-03-30', 0, 0, 1],
    ]);
  });

  test('are bounded, whatever the number of events', () => {
    const counts = new DayCounts('UTC', 366, NOW);
    for (let hour = 0; hour < 400 * 24; hour++)
      counts.add(new Date(NOW - hour * 3_600_000).toISOString(), 'good');
    const { days } = counts.all();
    expect(days).toHaveLength(366);
    expect(JSON.stringify(days).length).toBeLessThan(50_000);
  });
});

test.each([
  [{ target: 'default', days: 367 }],
  [{ target: 'default', days: 0 }],
  [{ target: 'default', time_zone: 'Mars/Olympus' }],
  [{}],
])('refuses %j', (input) => {
  expect(CalendarInput.safeParse(input).success).toBe(false);
});

describe('the calendar of a target', () => {
  let context: OperationsContext;
  beforeEach(async () => {
    context = await freshContext();
  });
  const backup = (daysAgo: number, changes: object = {}) =>
    catalogue(context.bucket, {
      backup_id: idAt(new Date(at(daysAgo))),
      created_at: at(daysAgo),
      ...changes,
    });
  const job = (job_id: string, daysAgo: number, changes: Partial<JobRecord> = {}) =>
    createJob(context.bucket, {
      job_id,
      kind: 'backup',
      target: 'default',
      state: 'failed',
      created_at: at(daysAgo),
      updated_at: at(daysAgo),
      ...changes,
    });
  /** Of a restore or drill that has compared every record. */
  const result = { verified: true, backup_id: 'b', origin: {}, stores: {}, all_of_stores: true };
  const drill = (job_id: string, daysAgo: number, verdict: string, target = 'default', kind = 'drill') =>
    context.bucket.writeRecord(drillKey(job_id), {
      drill_version: 1,
      job_id,
      kind,
      verdict,
      target,
      destination: { target, place: 'names' },
      started_at: at(daysAgo),
      finished_at: at(daysAgo),
      ngbak_version: '0.1.0',
      phases: [],
      load_bytes_per_second: {},
      stores: {},
      references: [],
      differences: [],
      warnings: [],
      notes: [],
    });
  const days = async (input: object = {}) => {
    const found = await calendar(context, CalendarInput.parse({ target: 'default', ...input }), NOW);
    return {
      ...found,
      days: found.days.map(({ date, ...counts }) => [
        date,
        Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)),
      ]),
    };
  };

  test('counts its backups by state, failed jobs and drills, and nothing of other targets', async () => {
    await backup(1);
    await backup(2, { verification: { state: 'damaged', at: at(2), problems: ['x'] } });
    await backup(1, { target: 'other', backup_id: idAt(new Date(NOW - DAY_MS - 1000)) });
    await job('a', 1);
    await job('b', 3, { error: { name: 'Skipped', message: 'x' }, state: 'cancelled' });
    await job('c', 3, { kind: 'restore' });
    await job('d', 4, { kind: 'drill', state: 'completed', result });
    await job('rehearsal', 5, { kind: 'drill', state: 'completed', result: { rehearsal: true } });
    await job('e', 4, { kind: 'drill' });
    await job('f', 4, { kind: 'drill', state: 'cancelled' });
    expect(await days()).toEqual({
      target: 'default',
      time_zone: 'UTC',
      from: dateOf(34),
      to: dateOf(0),
      days: [
        [dateOf(4), { drills_passed: 1, drills_failed: 1 }],
        [dateOf(2), { damaged: 1 }],
        [dateOf(1), { good: 1, failed: 1 }],
      ],
      failures_since: dateOf(34),
    });
  });

  test('of a year includes drills whose jobs have expired, each drill once', async () => {
    await backup(300);
    await drill('old', 200, 'passed');
    await drill('failed', 100, 'failed');
    await drill('cancelled', 100, 'cancelled');
    await drill('of-another', 100, 'passed', 'other');
    await drill('rehearsal', 150, 'passed', 'default', 'rehearsal');
    // Its job is still listed.
    await drill('new', 10, 'passed');
    await job('new', 10, { kind: 'drill', state: 'completed', result });
    await context.bucket.s3.send(
      new PutObjectCommand({ Bucket: context.bucket.name, Key: drillKey('spoiled'), Body: 'no JSON' }),
    );
    const found = await days({ days: 366 });
    expect(found.failures_since).toBe(dateOf(90));
    expect(found.days).toEqual([
      [dateOf(300), { good: 1 }],
      [dateOf(200), { drills_passed: 1 }],
      [dateOf(100), { drills_failed: 1 }],
      [dateOf(10), { drills_passed: 1 }],
    ]);
  });
});
