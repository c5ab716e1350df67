import { expect, test } from '@jest/globals';
import {
  DAILY,
  expressionOf,
  problemOf,
  type TimingDraft,
  timingOf,
  timingText,
} from '../../../dashboard/pages/schedules/timing.ts';
import { parseExpression } from '../../../shared/schedules/expression.ts';

const timings: [Partial<TimingDraft>, string, string][] = [
  [{ kind: 'daily', time: '03:05' }, 'cron(5 3 * * ? *)', 'every day at 03:05'],
  [
    { kind: 'weekly', days: ['SUN', 'MON'], time: '23:59' },
    'cron(59 23 ? * MON,SUN *)',
    'Monday, Sunday at 23:59',
  ],
  [{ kind: 'rate', every: '6', unit: 'hours' }, 'rate(6 hours)', 'every 6 hours'],
  [{ kind: 'rate', every: '1', unit: 'days' }, 'rate(1 day)', 'every 1 day'],
  [
    { kind: 'once', date: '2036-12-24', time: '20:00' },
    'at(2036-12-24T20:00:00)',
    'once, 2036-12-24 at 20:00',
  ],
  [{ kind: 'own', expression: ' cron(0 3 L * ? *) ' }, 'cron(0 3 L * ? *)', 'cron(0 3 L * ? *)'],
];

test.each(timings)(
  '%o is %s for EventBridge Scheduler, and is read back as the same',
  (changes, expression, text) => {
    const timing = { ...DAILY, ...changes };
    expect(problemOf(timing)).toBeUndefined();
    expect(expressionOf(timing)).toBe(expression);
    expect(() => parseExpression(expression, 'Europe/Berlin')).not.toThrow();
    expect(expressionOf(timingOf(expression))).toBe(expression);
    expect(timingOf(expression).kind).toBe(changes.kind);
    expect(timingText(expression)).toBe(text);
  },
);

test.each([
  [{ kind: 'daily', time: '24:00' }],
  [{ kind: 'weekly', days: [] }],
  [{ kind: 'rate', every: '0' }],
  [{ kind: 'once', date: '' }],
  [{ kind: 'own', expression: '0 3 * * *' }],
] as const)('%o is refused before it is sent', (changes) => {
  expect(problemOf({ ...DAILY, ...changes } as TimingDraft)).toBeDefined();
});
