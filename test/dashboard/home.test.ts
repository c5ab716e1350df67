import { describe, expect, test } from '@jest/globals';
import { dayText, strip } from '../../dashboard/home/days.ts';
import { summarize } from '../../shared/catalog/summaries.ts';
import { catalogRecord } from '../support/catalog.ts';

const backup = (created_at: string) =>
  summarize(catalogRecord({ backup_id: 'b1', created_at }), { find: () => undefined }, 'bucket');

describe('the strip of days', () => {
  const history = (created_at: string, verified = true) => ({ ...backup(created_at), verified });

  test('has each day once, also when clocks change, and follows the user’s own calendar', () => {
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
