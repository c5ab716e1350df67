import { describe, expect, test } from '@jest/globals';
import { missedRuns, nextRun } from '../../shared/schedules/runs.ts';

const NOW = new Date('2026-11-21T12:00:00Z');
const schedule = {
  expression: 'cron(0 3 * * ? *)',
  time_zone: 'UTC',
  flexible_minutes: 0,
  enabled: true,
  created_at: '2026-01-01T00:00:00.000Z',
  changed_at: '2026-01-01T00:00:00.000Z',
};
const days = (...numbers: number[]) => numbers.map((day) => new Date(Date.UTC(2026, 10, day, 3)));
const minutes = (missed: readonly Date[]) => missed.map((time) => time.toISOString().slice(0, 16));

describe('a missed run', () => {
  test('is a planned time of the last week at which nothing was started', () => {
    expect(minutes(missedRuns(schedule, days(14, 15, 16, 18, 19, 21), NOW))).toEqual([
      '2026-11-20T03:00',
      '2026-11-17T03:00',
    ]);
    expect(missedRuns(schedule, days(15, 16, 17, 18, 19, 20, 21), NOW)).toEqual([]);
  });

  test('is not counted while the run may still start', () => {
    const runs = days(15, 16, 17, 18, 19, 20);
    expect(missedRuns(schedule, runs, new Date('2026-11-21T03:10:00Z'))).toEqual([]);
    expect(missedRuns(schedule, runs, new Date('2026-11-21T03:20:00Z'))).toHaveLength(1);
    const flexible = { ...schedule, flexible_minutes: 60 };
    expect(missedRuns(flexible, runs, new Date('2026-11-21T03:20:00Z'))).toEqual([]);
    expect(missedRuns(flexible, runs, new Date('2026-11-21T04:20:00Z'))).toHaveLength(1);
  });

  test('is not counted if the run began within the flexible window', () => {
    const late = [...days(15, 16, 17, 18, 19, 20), new Date('2026-11-21T03:45:00Z')];
    expect(missedRuns({ ...schedule, flexible_minutes: 60 }, late, NOW)).toEqual([]);
    expect(minutes(missedRuns(schedule, late, NOW))).toEqual(['2026-11-21T03:00']);
  });

  test('is not counted before the last change of the schedule, nor while it is paused', () => {
    const changed = { ...schedule, changed_at: '2026-11-20T00:00:00.000Z' };
    expect(minutes(missedRuns(changed, [], NOW))).toEqual(['2026-11-21T03:00', '2026-11-20T03:00']);
    expect(missedRuns({ ...schedule, enabled: false }, [], NOW)).toEqual([]);
  });

  test('of a frequent schedule is each time of the week, up to a maximum', () => {
    const hourly = missedRuns({ ...schedule, expression: 'cron(0 * * * ? *)' }, [], NOW);
    expect(minutes(hourly).slice(0, 2)).toEqual(['2026-11-21T11:00', '2026-11-21T10:00']);
    expect([hourly.length, minutes(hourly).at(-1)]).toEqual([168, '2026-11-14T12:00']);
    const often = missedRuns({ ...schedule, expression: 'cron(0/5 * * * ? *)' }, [], NOW);
    expect([often.length, minutes(often)[0]]).toEqual([500, '2026-11-21T11:40']);
  });

  test('of a rate is a gap that is longer than its interval', () => {
    const rate = { ...schedule, expression: 'rate(6 hours)', changed_at: '2026-11-20T00:00:00.000Z' };
    const at = (...hours: number[]) => hours.map((hour) => new Date(Date.UTC(2026, 10, 20, hour)));
    expect(missedRuns(rate, at(3, 9, 15, 21, 27, 33), NOW)).toEqual([]);
    expect(minutes(missedRuns(rate, at(3, 21, 27, 33), NOW))).toEqual([
      '2026-11-20T15:00',
      '2026-11-20T09:00',
    ]);
    expect(minutes(missedRuns(rate, at(3, 9, 15, 21), NOW))).toEqual([
      '2026-11-21T09:00',
      '2026-11-21T03:00',
    ]);
    expect(missedRuns(rate, [], NOW)).toHaveLength(5);
  });

  test('of a one-time schedule is that time', () => {
    const once = { ...schedule, expression: 'at(2026-11-21T09:00:00)', time_zone: 'Europe/Berlin' };
    expect(minutes(missedRuns(once, [], NOW))).toEqual(['2026-11-21T08:00']);
    expect(missedRuns(once, [new Date('2026-11-21T08:00:00Z')], NOW)).toEqual([]);
  });
});

describe('the next run', () => {
  test('follows local time across a change to winter time', () => {
    const berlin = { ...schedule, time_zone: 'Europe/Berlin' };
    expect(nextRun(berlin, [], new Date('2026-10-24T00:30:00Z'))).toEqual(new Date('2026-10-24T01:00:00Z'));
    expect(nextRun(berlin, [], new Date('2026-10-25T00:30:00Z'))).toEqual(new Date('2026-10-25T02:00:00Z'));
  });

  test('of a rate is counted from its last run, or from its creation', () => {
    const rate = { ...schedule, expression: 'rate(6 hours)', changed_at: '2026-11-21T05:00:00.000Z' };
    expect(nextRun(rate, [], NOW)).toEqual(new Date('2026-11-21T17:00:00Z'));
    expect(nextRun(rate, [new Date('2026-11-21T11:30:00Z')], NOW)).toEqual(new Date('2026-11-21T17:30:00Z'));
  });

  test('of a paused or completed schedule does not exist', () => {
    expect(nextRun({ ...schedule, enabled: false }, [], NOW)).toBeUndefined();
    expect(nextRun({ ...schedule, expression: 'at(2026-11-21T09:00:00)' }, [], NOW)).toBeUndefined();
    expect(nextRun({ ...schedule, expression: 'cron(0 3 * * ? 2025)' }, [], NOW)).toBeUndefined();
  });
});
