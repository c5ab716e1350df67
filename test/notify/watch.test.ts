/** What the watcher reports, and when: with a fake clock. */
import { expect, test } from '@jest/globals';
import { NotifyEvent } from '../../shared/notify/event.ts';
import { type Condition, compareConditions, WatchState } from '../../shared/notify/watch.ts';
import { fc } from '../fast-check.ts';

const MINUTES_20 = 20 * 60_000;
const DAY = 24 * 3_600_000;
const START = Date.parse('2026-11-29T00:00:00.000Z');

const NOT_RECOVERABLE: Condition = {
  key: 'not-recoverable',
  type: 'target.not_recoverable',
  detail: 'There is no backup.',
  remind: true,
};
const DRIFTED: Condition = { key: 'drifted', type: 'backup.drifted', detail: 'Drifted.', remind: false };
const LOCKED: Condition = { key: 'target-locked', type: 'target.locked', detail: 'Locked.', remind: true };

/** Watches every 20 minutes, as the stack does. `conditions` returns those at a time; the state is stored as JSON. */
function watch(days: number, conditions: (hour: number) => readonly Condition[]) {
  let state: WatchState | undefined;
  const reported: { hour: number; event: NotifyEvent }[] = [];
  for (let now = START; now < START + days * DAY; now += MINUTES_20) {
    const hour = (now - START) / 3_600_000;
    const result = compareConditions('kb', state, conditions(hour), now);
    for (const event of result.events) reported.push({ hour, event: NotifyEvent.parse(event) });
    if (result.state) state = WatchState.parse(JSON.parse(JSON.stringify(result.state)));
  }
  return reported;
}
const summary = (reported: ReturnType<typeof watch>) =>
  reported.map(({ hour, event }) => `${hour} ${event.type}`);

test('a condition is reported when it begins and repeated once a day, and its end is reported', () => {
  const reported = watch(5, (hour) => (hour >= 2 && hour < 80 ? [NOT_RECOVERABLE] : []));
  expect(summary(reported)).toEqual([
    '2 target.not_recoverable',
    '26 target.reminder',
    '50 target.reminder',
    '74 target.reminder',
    '80 target.recoverable',
  ]);
  expect(reported[1]?.event.conditions).toEqual(['There is no backup.']);
});

test('a condition that only needs to be known once is not repeated, and its end is not reported', () => {
  const reported = watch(5, (hour) => (hour >= 2 && hour < 80 ? [DRIFTED] : []));
  expect(summary(reported)).toEqual(['2 backup.drifted']);
});

test('conditions of a target share one reminder a day', () => {
  const reported = watch(4, (hour) => [
    ...(hour >= 1 ? [NOT_RECOVERABLE] : []),
    ...(hour >= 13 ? [LOCKED] : []),
    DRIFTED,
  ]);
  expect(summary(reported)).toEqual([
    '0 backup.drifted',
    '1 target.not_recoverable',
    '13 target.locked',
    '37 target.reminder',
    '61 target.reminder',
    '85 target.reminder',
  ]);
  expect(reported[3]?.event.conditions).toEqual(['There is no backup.', 'Locked.']);
});

test('a condition that returns is reported again', () => {
  const reported = watch(1, (hour) => (hour < 2 || (hour >= 5 && hour < 6) ? [NOT_RECOVERABLE] : []));
  expect(summary(reported)).toEqual([
    '0 target.not_recoverable',
    '2 target.recoverable',
    '5 target.not_recoverable',
    '6 target.recoverable',
  ]);
  expect(new Set(reported.map(({ event }) => event.id)).size).toBe(4);
});

test('a run that could not write its state reports the same events again, under the same IDs', () => {
  const first = compareConditions('kb', undefined, [NOT_RECOVERABLE, LOCKED], START);
  const again = compareConditions('kb', undefined, [NOT_RECOVERABLE, LOCKED], START + MINUTES_20);
  expect(again.events.map(({ id }) => id)).toEqual(first.events.map(({ id }) => id));
});

test('for any course of events, there is no more than one report for each change, and one reminder in a day', () => {
  const all = [NOT_RECOVERABLE, DRIFTED, LOCKED];
  const course = fc.array(fc.subarray(all), { minLength: 12, maxLength: 12 });
  fc.assert(
    fc.property(course, (phases) => {
      const at = (hour: number) => phases[Math.floor(hour / 12)] ?? [];
      const reported = watch(6, at);
      for (const condition of all) {
        const begins = phases.filter(
          (phase, index) => phase.includes(condition) && !phases[index - 1]?.includes(condition),
        ).length;
        expect(reported.filter(({ event }) => event.type === condition.type)).toHaveLength(begins);
      }
      const reminders = reported
        .filter(({ event }) => event.type === 'target.reminder')
        .map(({ hour }) => hour);
      reminders.forEach((hour, index) => {
        if (index > 0) expect(hour - (reminders[index - 1] ?? 0)).toBeGreaterThanOrEqual(24);
      });
      expect(new Set(reported.map(({ event }) => event.id)).size).toBe(reported.length);
    }),
    { numRuns: 100 },
  );
});
