import { describe, expect, test } from '@jest/globals';
import { parseExpression } from '../../shared/schedules/expression.ts';
import { fc } from '../fast-check.ts';

/** The next runs of an expression, as ISO 8601 to the minute. */
function next(expression: string, after: string, count = 3, zone = 'UTC'): string[] {
  const timing = parseExpression(expression, zone);
  if (timing.kind !== 'cron') throw new Error(`${expression} is ${timing.kind}.`);
  return timing.next(count, new Date(after)).map((time) => time.toISOString().slice(0, 16));
}

describe('cron expressions have the meaning that AWS documents', () => {
  // 2026-11-21 is a Saturday.
  test.each([
    ['each day', 'cron(0 3 * * ? *)', ['2026-11-21T03:00', '2026-11-22T03:00', '2026-11-23T03:00']],
    ['1 is Sunday', 'cron(0 3 ? * 1 *)', ['2026-11-22T03:00', '2026-11-29T03:00', '2026-12-06T03:00']],
    ['weekdays', 'cron(30 1 ? * MON-FRI *)', ['2026-11-23T01:30', '2026-11-24T01:30', '2026-11-25T01:30']],
    [
      'last day of the month',
      'cron(0 3 L * ? *)',
      ['2026-11-30T03:00', '2026-12-31T03:00', '2027-01-31T03:00'],
    ],
    [
      'last weekday of the month',
      'cron(0 3 LW * ? *)',
      ['2026-11-30T03:00', '2026-12-31T03:00', '2027-01-29T03:00'],
    ],
    ['nearest weekday', 'cron(0 3 15W * ? *)', ['2026-12-15T03:00', '2027-01-15T03:00', '2027-02-15T03:00']],
    ['last Friday', 'cron(0 3 ? * 6L *)', ['2026-11-27T03:00', '2026-12-25T03:00', '2027-01-29T03:00']],
    ['third Friday', 'cron(0 3 ? * 6#3 *)', ['2026-12-18T03:00', '2027-01-15T03:00', '2027-02-19T03:00']],
    [
      'last day of the week',
      'cron(0 3 ? * L *)',
      ['2026-11-21T03:00', '2026-11-28T03:00', '2026-12-05T03:00'],
    ],
    ['steps', 'cron(5/20 10 * * ? *)', ['2026-11-21T10:05', '2026-11-21T10:25', '2026-11-21T10:45']],
    ['years', 'cron(0 0 1 JAN ? 2027-2028)', ['2027-01-01T00:00', '2028-01-01T00:00']],
  ])('%s', (_name, expression, times) => {
    expect(next(expression, '2026-11-21T00:00:00Z')).toEqual(times);
  });

  test('a local time that clocks skip is omitted', () => {
    expect(next('cron(30 2 * * ? *)', '2026-03-28T00:00:00Z', 3, 'Europe/Berlin')).toEqual([
      '2026-03-28T01:30',
      '2026-03-30T00:30',
      '2026-03-31T00:30',
    ]);
  });

  test('a local time that occurs twice when clocks go back runs once', () => {
    expect(next('cron(30 2 * * ? *)', '2026-10-24T12:00:00Z', 2, 'Europe/Berlin')).toEqual([
      '2026-10-25T00:30',
      '2026-10-26T01:30',
    ]);
    expect(next('cron(0 * * * ? *)', '2026-10-24T23:30:00Z', 3, 'Europe/Berlin')).toEqual([
      '2026-10-25T00:00',
      '2026-10-25T02:00',
      '2026-10-25T03:00',
    ]);
  });

  test('searching backwards finds the same times as searching forwards', () => {
    const field = (min: number, max: number) =>
      fc.oneof(
        fc.constant('*'),
        fc.integer({ min, max }).map(String),
        fc.tuple(fc.integer({ min, max }), fc.integer({ min: 1, max: 7 })).map(([a, b]) => `${a}/${b}`),
      );
    const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata');
    fc.assert(
      fc.property(
        field(0, 59),
        field(0, 23),
        fc.oneof(
          field(1, 28).map((day) => `${day} * ?`),
          field(1, 7).map((day) => `? * ${day}`),
        ),
        zone,
        fc.date({ min: new Date('2026-01-01'), max: new Date('2027-01-01'), noInvalidDate: true }),
        (minutes, hours, days, timeZone, start) => {
          const timing = parseExpression(`cron(${minutes} ${hours} ${days} *)`, timeZone);
          if (timing.kind !== 'cron') throw new Error('no cron');
          const forward = timing.next(5, start);
          const end = forward.at(-1);
          if (!end) return;
          const back = timing.previous(5, new Date(end.getTime() + 1000)).reverse();
          // In the repeated hour, a backward search must not return the first of the two times.
          const seen = new Set(forward.map((time) => time.getTime()));
          const shared = back.filter((time) => time > start && seen.has(time.getTime()));
          expect(shared.length).toBeGreaterThanOrEqual(back.filter((time) => time > start).length - 1);
          expect(back.at(-1)).toEqual(end);
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('rates are intervals, and at(…) is a local time of the zone', () => {
  expect(parseExpression('rate(6 hours)', 'UTC')).toEqual({ kind: 'rate', intervalMs: 6 * 3_600_000 });
  expect(parseExpression('rate(1 day)', 'UTC')).toEqual({ kind: 'rate', intervalMs: 24 * 3_600_000 });
  expect(parseExpression('at(2026-07-01T20:00:00)', 'Europe/Berlin')).toEqual({
    kind: 'at',
    time: new Date('2026-07-01T18:00:00Z'),
  });
});

test.each([
  ['0 3 * * *', 'it is not cron'],
  ['cron(0 3 * * *)', 'six fields'],
  ['cron(0 3 * * * *)', 'exactly one'],
  ['cron(0 3 ? * ? *)', 'exactly one'],
  ['cron(70 3 * * ? *)', 'minute'],
  ['cron(0 3 ? * 0 *)', 'day of week'],
  ['cron(0 3 ? * 8 *)', 'day of week'],
  ['cron(0 3 ? * XYZ *)', 'dayOfWeek|day of week'],
  ['cron(0 3 32 * ? *)', 'day'],
  ['cron(@daily)', 'six fields'],
  ['rate(0 hours)', 'a rate is'],
  ['rate(5 seconds)', 'a rate is'],
  ['rate(5)', 'a rate is'],
  ['at(2026-02-30T00:00:00)', 'a time is'],
  ['at(2026-12-24T20:00:00Z)', 'a time is'],
  ['at(tomorrow)', 'a time is'],
])('%s is refused, and the message shows what is allowed', (expression, why) => {
  expect(() => parseExpression(expression, 'UTC')).toThrow(new RegExp(why));
  expect(() => parseExpression(expression, 'UTC')).toThrow(
    expect.objectContaining({ remedy: expect.stringContaining('cron(0 3 * * ? *)') }),
  );
});
