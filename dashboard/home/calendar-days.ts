import type { Calendar, CalendarDay } from '../../shared/operations/calendar.ts';

/** The states of a day, worst first: a day has one, and its drills have their own sign. */
export const DAY_STATES = {
  failed: { sign: '✕', text: 'Failed or damaged' },
  missed: { sign: '–', text: 'Missed' },
  warning: { sign: '!', text: 'With warnings, or failed before a good backup' },
  good: { sign: '✓', text: 'Good backup' },
  none: { sign: '', text: 'No backup' },
} as const;
export type DayState = keyof typeof DAY_STATES;

export const DRILL_STATES = {
  failed: { sign: '◇', text: 'Drill failed' },
  passed: { sign: '◆', text: 'Drill passed' },
} as const;

/** The state of a day by its backups. */
export function stateOf(day: CalendarDay | undefined): DayState {
  if (!day) return 'none';
  const { good, with_warnings, damaged, failed, missed } = day;
  if (damaged > 0) return 'failed';
  const made = good + with_warnings > 0;
  if (failed > 0 && !made) return 'failed';
  if (missed > 0 && !made) return 'missed';
  if (with_warnings > 0 || failed > 0 || missed > 0) return 'warning';
  return made ? 'good' : 'none';
}

/** The sign of a day's drills; undefined if there were none. */
export function drillOf(day: CalendarDay | undefined): keyof typeof DRILL_STATES | undefined {
  if (!day) return undefined;
  if (day.drills_failed > 0) return 'failed';
  return day.drills_passed > 0 ? 'passed' : undefined;
}

/** What happened on a day, in words: `2 January 2026: 2 good, 1 failed, 1 drill passed`. */
export function dayText(date: string, day: CalendarDay | undefined): string {
  const part = (count: number, text: string) => (count > 0 ? [`${count} ${text}`] : []);
  const drills = (count: number, text: string) => part(count, `${count === 1 ? 'drill' : 'drills'} ${text}`);
  const parts = day
    ? [
        ...part(day.good, 'good'),
        ...part(day.with_warnings, 'with warnings'),
        ...part(day.damaged, 'damaged'),
        ...part(day.failed, 'failed'),
        ...part(day.missed, 'missed'),
        ...drills(day.drills_passed, 'passed'),
        ...drills(day.drills_failed, 'failed'),
      ]
    : [];
  return `${dateText(date)}: ${parts.length === 0 ? 'no backup' : parts.join(', ')}`;
}

/** `2 January 2026`: begins with the number that is visible in the calendar, as the name of a button should. */
function dateText(date: string): string {
  return new Date(date).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC',
  });
}

/** One month: its weeks from Monday to Sunday, with `undefined` for days of other months and outside of the calendar. */
export interface Month {
  /** `2026-01` */
  readonly month: string;
  readonly weeks: readonly (readonly (string | undefined)[])[];
}

const DAY_MS = 86_400_000;

/** The months of a calendar, oldest first. */
export function monthsOf({ from, to }: Pick<Calendar, 'from' | 'to'>): Month[] {
  const months: { month: string; weeks: (string | undefined)[][] }[] = [];
  for (let at = Date.parse(from); at <= Date.parse(to); at += DAY_MS) {
    const date = new Date(at).toISOString().slice(0, 10);
    const month = date.slice(0, 7);
    let last = months.at(-1);
    if (last?.month !== month) {
      last = { month, weeks: [] };
      months.push(last);
    }
    const weekday = weekdayOf(at);
    if (weekday === 0 || last.weeks.length === 0) last.weeks.push(Array.from({ length: 7 }, () => undefined));
    const week = last.weeks.at(-1);
    if (week) week[weekday] = date;
  }
  return months;
}

/** 0 for Monday. */
function weekdayOf(at: number): number {
  return (new Date(at).getUTCDay() + 6) % 7;
}

/** The day that a key moves the focus to; undefined if the key does nothing. Stays within the calendar. */
export function movedBy(
  key: string,
  date: string,
  { from, to }: Pick<Calendar, 'from' | 'to'>,
): string | undefined {
  const weekday = weekdayOf(Date.parse(date));
  const days: Readonly<Record<string, number>> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -7,
    ArrowDown: 7,
    Home: -weekday,
    End: 6 - weekday,
    PageUp: -28,
    PageDown: 28,
  };
  const step = days[key];
  if (step === undefined) return undefined;
  const moved = new Date(Date.parse(date) + step * DAY_MS).toISOString().slice(0, 10);
  return moved < from ? from : moved > to ? to : moved;
}

/** The date after another. */
export function dayAfter(date: string): string {
  return new Date(Date.parse(date) + DAY_MS).toISOString().slice(0, 10);
}
