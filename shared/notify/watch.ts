import { createHash } from 'node:crypto';
import { z } from 'zod';
import { detailOf, EVENT_TYPES, type NotifyEvent } from './event.ts';

/** Time between two reminders of a target, in milliseconds. */
export const REMIND_MS = 24 * 3_600_000;

/** A state of a target that is reported once when it begins. */
export interface Condition {
  /** Identifies it, among those of the target: `not-recoverable`, `missed:nightly`. */
  readonly key: string;
  readonly type: NotifyEvent['type'];
  readonly detail: string;
  /** Whether it is repeated once a day for as long as it lasts. */
  readonly remind: boolean;
  readonly backup_id?: string | undefined;
  readonly schedule?: string | undefined;
}

/** `notifications/watch/<target>.json`: the conditions that were reported and still last. */
export const WatchState = z.object({
  /** Number of changes, from which the IDs of events derive. */
  generation: z.number().int().nonnegative(),
  conditions: z.record(
    z.string(),
    z.object({ type: z.enum(EVENT_TYPES), since: z.iso.datetime(), remind: z.boolean() }),
  ),
  reminded_at: z.iso.datetime().optional(),
});
export type WatchState = z.infer<typeof WatchState>;

/** The type of the event at the end of a condition. Other ends are not reported. */
const ENDS: Partial<Record<NotifyEvent['type'], NotifyEvent['type']>> = {
  'target.not_recoverable': 'target.recoverable',
};

/**
 * Compares the conditions of a target with those reported before: each is reported when it begins, and those that
 * matter most are repeated once a day, together. A pure function, which returns the same IDs for the same state, so
 * that a repeated call after a failure reports nothing twice.
 *
 * @returns the next state, undefined if nothing has changed, and the events to record before it is written
 */
export function compareConditions(
  target: string,
  before: WatchState | undefined,
  conditions: readonly Condition[],
  now: number,
): { readonly state: WatchState | undefined; readonly events: readonly NotifyEvent[] } {
  const at = new Date(now).toISOString();
  const known = before?.conditions ?? {};
  const generation = (before?.generation ?? 0) + 1;
  const event = (type: NotifyEvent['type'], key: string, rest: Partial<NotifyEvent> = {}): NotifyEvent => ({
    id: `watch.${target}.${generation}.${createHash('sha256').update(`${type} ${key}`).digest('hex').slice(0, 12)}`,
    type,
    at,
    target,
    ...rest,
  });
  const begun = conditions.filter(({ key }) => !Object.hasOwn(known, key));
  const ended = Object.entries(known).filter(([key]) => !conditions.some((one) => one.key === key));
  const lasting = conditions.filter(({ key, remind }) => remind && Object.hasOwn(known, key));
  const reported = [before?.reminded_at, ...lasting.map(({ key }) => known[key]?.since)];
  const newest = Math.max(0, ...reported.map((time) => (time === undefined ? 0 : Date.parse(time))));
  const reminds = lasting.length > 0 && now - newest >= REMIND_MS;
  const events = [
    ...begun.map(({ key, type, detail, backup_id, schedule }) =>
      event(type, key, {
        detail: detailOf(detail),
        ...(backup_id === undefined ? {} : { backup_id }),
        ...(schedule === undefined ? {} : { schedule }),
      }),
    ),
    ...ended.flatMap(([key, { type }]) => {
      const end = ENDS[type];
      return end === undefined ? [] : [event(end, key)];
    }),
    ...(reminds
      ? [event('target.reminder', 'reminder', { conditions: lasting.map(({ detail }) => detailOf(detail)) })]
      : []),
  ];
  if (begun.length === 0 && ended.length === 0 && !reminds) return { state: undefined, events: [] };
  return {
    state: {
      generation,
      conditions: Object.fromEntries(
        conditions.map(({ key, type, remind }) => [key, { type, since: known[key]?.since ?? at, remind }]),
      ),
      ...(reminds
        ? { reminded_at: at }
        : before?.reminded_at === undefined
          ? {}
          : { reminded_at: before.reminded_at }),
    },
    events,
  };
}
