import { describe, expect, test } from '@jest/globals';
import {
  DAY_STATES,
  DRILL_STATES,
  dayText,
  drillOf,
  monthsOf,
  movedBy,
  stateOf,
} from '../../dashboard/home/calendar-days.ts';
import { type CalendarDay, NOTHING } from '../../shared/operations/calendar.ts';

const day = (counts: Partial<CalendarDay>): CalendarDay => ({
  date: '2026-01-02',
  ...NOTHING,
  ...counts,
});

describe('a day of the calendar', () => {
  test.each([
    [{}, 'none'],
    [{ good: 1 }, 'good'],
    [{ good: 1, with_warnings: 1 }, 'warning'],
    [{ failed: 1 }, 'failed'],
    [{ failed: 2, good: 1 }, 'warning'],
    [{ missed: 1 }, 'missed'],
    [{ missed: 1, failed: 1 }, 'failed'],
    [{ missed: 1, good: 1 }, 'warning'],
    [{ damaged: 1, good: 5 }, 'failed'],
    [{ drills_passed: 1 }, 'none'],
  ] as const)('with %j is %s', (counts, state) => {
    expect(stateOf(day(counts))).toBe(state);
  });

  test('has a sign for its drills, and failed ones take precedence', () => {
    expect(drillOf(undefined)).toBeUndefined();
    expect(drillOf(day({ good: 1 }))).toBeUndefined();
    expect(drillOf(day({ drills_passed: 1 }))).toBe('passed');
    expect(drillOf(day({ drills_passed: 1, drills_failed: 1 }))).toBe('failed');
  });

  test('is described in words, and its signs differ without colours', () => {
    expect(dayText('2026-01-02', undefined)).toBe('2 January 2026: no backup');
    const counts = {
      good: 2,
      with_warnings: 1,
      damaged: 1,
      failed: 3,
      missed: 1,
      drills_passed: 1,
      drills_failed: 2,
    };
    expect(dayText('2026-01-02', day(counts))).toBe(
      '2 January 2026: 2 good, 1 with warnings, 1 damaged, 3 failed, 1 missed, 1 drill passed, 2 drills failed',
    );
    const signs = [...Object.values(DAY_STATES), ...Object.values(DRILL_STATES)].map(({ sign }) => sign);
    expect(new Set(signs).size).toBe(signs.length);
  });
});

describe('the months of the calendar', () => {
  test('have weeks from Monday to Sunday, with the days of the period only', () => {
    const [january, february, ...others] = monthsOf({ from: '2026-01-30', to: '2026-02-03' });
    expect(others).toEqual([]);
    expect(january).toEqual({
      month: '2026-01',
      weeks: [[...Array(4).fill(undefined), '2026-01-30', '2026-01-31', undefined]],
    });
    expect(february?.weeks).toEqual([
      [...Array(6).fill(undefined), '2026-02-01'],
      ['2026-02-02', '2026-02-03', ...Array(5).fill(undefined)],
    ]);
  });

  test('contain each day of a leap year once', () => {
    const days = monthsOf({ from: '2028-01-01', to: '2028-12-31' }).flatMap(({ weeks }) =>
      weeks.flat().filter((date) => date !== undefined),
    );
    expect(days).toHaveLength(366);
    expect(new Set(days).size).toBe(366);
    expect(days).toEqual([...days].sort());
  });

  test('are moved through by keys, within the period', () => {
    const period = { from: '2026-01-01', to: '2026-03-31' };
    const moves = (date: string) =>
      ['ArrowLeft', 'ArrowRight', 'ArrowUp', 'ArrowDown', 'Home', 'End', 'PageUp', 'PageDown'].map((key) =>
        movedBy(key, date, period),
      );
    // A Wednesday.
    expect(moves('2026-02-04')).toEqual([
      '2026-02-03',
      '2026-02-05',
      '2026-01-28',
      '2026-02-11',
      '2026-02-02',
      '2026-02-08',
      '2026-01-07',
      '2026-03-04',
    ]);
    expect(movedBy('ArrowLeft', '2026-01-01', period)).toBe('2026-01-01');
    expect(movedBy('PageDown', '2026-03-20', period)).toBe('2026-03-31');
    expect(movedBy('Enter', '2026-02-04', period)).toBeUndefined();
  });
});
