import { describe, expect, test } from '@jest/globals';
import { dayText, strip } from '../../dashboard/home/days.ts';
import { drillOf } from '../../dashboard/home/drill.ts';
import { verdictOf } from '../../dashboard/home/verdict.ts';
import { summarize } from '../../shared/catalog/summaries.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import { catalogRecord } from '../support/catalog.ts';

const NOW = Date.parse('2026-03-10T12:00:00Z');
const backup = (created_at: string) =>
  summarize(catalogRecord({ backup_id: 'b1', created_at }), { find: () => undefined }, 'bucket');

describe('whether a target is recoverable', () => {
  const counts = { backups: 3, bytes: 1, damaged: 0, with_warnings: 0 };
  const target = { target: 'default', ...counts, allowed_age_hours: 48 };

  test('yes, with a good backup of the last two days', () => {
    const newest_good = backup('2026-03-09T12:00:00.000Z');
    expect(verdictOf({ ...target, newest: newest_good, newest_good }, NOW)).toMatchObject({
      grade: 'yes',
      answer: 'Yes',
    });
  });

  test('only as of an earlier day, if the latest good backup is old, even if there are newer ones', () => {
    const verdict = verdictOf(
      {
        ...target,
        newest: backup('2026-03-10T11:00:00.000Z'),
        newest_good: backup('2026-03-05T12:00:00.000Z'),
      },
      NOW,
    );
    expect(verdict).toMatchObject({ grade: 'old', answer: 'Only as of 5 days ago' });
  });

  test('yes, with a backup of last week, if its schedules allow that age', () => {
    const newest_good = backup('2026-03-05T12:00:00.000Z');
    const weekly = { ...target, newest: newest_good, newest_good, allowed_age_hours: 14 * 24 };
    expect(verdictOf(weekly, NOW).grade).toBe('yes');
  });

  test('no, without a complete and verified backup; damaged ones are reported', () => {
    expect(verdictOf({ ...target, backups: 0 }, NOW)).toMatchObject({
      grade: 'no',
      because: 'There are no backups of this target.',
    });
    const verdict = verdictOf({ ...target, damaged: 2, newest: backup('2026-03-10T11:00:00.000Z') }, NOW);
    expect(verdict.grade).toBe('no');
    expect(verdict.because).toContain('2 backups are damaged');
  });
});

describe('which restore proved a backup', () => {
  const good = backup('2026-03-09T12:00:00.000Z');
  const target = { target: 'prod', newest_good: good };
  const stores = good.stores.filter((store) => store !== 'config');
  const restore = (job_id: string, proved: object | undefined) =>
    ({
      job_id,
      kind: 'restore',
      state: 'completed',
      target: 'staging',
      ...(proved ? { proved } : {}),
    }) as JobSummary;
  const whole = { backup_id: good.backup_id, backup_of: 'prod', stores, all_of_stores: true };

  test('the newest good one itself before any other, wherever it was restored', () => {
    const older = restore('older', { ...whole, backup_id: 'b0' });
    const own = restore('own', whole);
    expect(drillOf(target, [older, own])).toEqual({ job: own, newest: true });
    expect(drillOf(target, [older])).toEqual({ job: older, newest: false });
  });

  test.each([
    ['a dry run or a rollback', undefined],
    ['a part of the stores', { ...whole, stores: stores.slice(1) }],
    ['a part of each store', { ...whole, all_of_stores: false }],
    ['a backup of another target', { ...whole, backup_of: 'staging' }],
  ])('not %s', (_, proved) => {
    expect(drillOf(target, [restore('r', proved)])).toBeUndefined();
  });
});

describe('the strip of days', () => {
  const history = (created_at: string, verified = true) => ({ ...backup(created_at), verified });

  test('has each day once, also those when clocks change, and counts by the user’s own calendar', () => {
    const today = new Date(2026, 3, 2, 0, 30);
    const local = (day: number, hour: number) => new Date(2026, 2, day, hour).toISOString();
    const days = strip(
      [history(local(31, 23)), history(local(31, 0)), history(local(30, 23), false), history(local(1, 5))],
      [{ created_at: local(29, 3) }],
      7,
      today,
    );
    expect(days.map(({ date }) => date)).toEqual([
      '2026-03-27',
      '2026-03-28',
      '2026-03-29',
      '2026-03-30',
      '2026-03-31',
      '2026-04-01',
      '2026-04-02',
    ]);
    expect(days.slice(2, 5).map(dayText)).toEqual([
      '2026-03-29: 1 failed',
      '2026-03-30: 1 damaged',
      '2026-03-31: 2 good',
    ]);
    expect(days.map(dayText)[6]).toBe('2026-04-02: no backup');
  });
});
