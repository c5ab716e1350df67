/** The times of a schedule, as fields of the form. */
export interface TimingDraft {
  readonly kind: 'daily' | 'weekly' | 'rate' | 'once' | 'own';
  /** Time of day, `03:00`; with `daily`, `weekly` and `once`. */
  readonly time: string;
  /** With `weekly`. */
  readonly days: readonly Weekday[];
  /** With `rate`: a whole number, as it was typed. */
  readonly every: string;
  readonly unit: 'minutes' | 'hours' | 'days';
  /** With `once`: `2026-12-24`. */
  readonly date: string;
  /** With `own`: `cron(…)`, `rate(…)` or `at(…)`, in the notation of EventBridge Scheduler. */
  readonly expression: string;
}

export const DAYS = ['MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT', 'SUN'] as const;
export type Weekday = (typeof DAYS)[number];

export const DAILY: TimingDraft = {
  kind: 'daily',
  time: '03:00',
  days: ['MON', 'TUE', 'WED', 'THU', 'FRI'],
  every: '6',
  unit: 'hours',
  date: '',
  expression: 'cron(0 3 * * ? *)',
};

/** The error of the fields; undefined if they are valid. A custom expression is validated by the API. */
export function problemOf({ kind, time, days, every, date, expression }: TimingDraft): string | undefined {
  const clock = /^([01][0-9]|2[0-3]):[0-5][0-9]$/.test(time);
  switch (kind) {
    case 'daily':
      return clock ? undefined : 'Enter a time, for example 03:00.';
    case 'weekly':
      if (days.length === 0) return 'Choose at least one day.';
      return clock ? undefined : 'Enter a time, for example 03:00.';
    case 'rate':
      return /^[1-9][0-9]{0,5}$/.test(every) ? undefined : 'Enter a whole number, for example 6.';
    case 'once':
      if (!/^\d{4}-\d{2}-\d{2}$/.test(date)) return 'Choose a date.';
      return clock ? undefined : 'Enter a time, for example 03:00.';
    case 'own':
      return /^(cron|rate|at)\(.+\)$/.test(expression.trim())
        ? undefined
        : 'Enter cron(…), rate(…) or at(…), for example cron(30 1 ? * MON-FRI *).';
  }
}

/** The expression for EventBridge Scheduler ("Schedule types" in its user guide). */
export function expressionOf({ kind, time, days, every, unit, date, expression }: TimingDraft): string {
  const [hours, minutes] = time.split(':').map(Number);
  switch (kind) {
    case 'daily':
      return `cron(${minutes} ${hours} * * ? *)`;
    case 'weekly':
      return `cron(${minutes} ${hours} ? * ${DAYS.filter((day) => days.includes(day)).join(',')} *)`;
    case 'rate':
      return `rate(${every} ${every === '1' ? unit.slice(0, -1) : unit})`;
    case 'once':
      return `at(${date}T${time}:00)`;
    case 'own':
      return expression.trim();
  }
}

/** The fields for an expression; one without matching fields is shown unchanged. */
export function timingOf(expression: string): TimingDraft {
  const own: TimingDraft = { ...DAILY, kind: 'own', expression };
  const cron = /^cron\((\d{1,2}) (\d{1,2}) (\*|\?) \* (\?|[A-Z,]+) \*\)$/.exec(expression);
  if (cron) {
    const [, minutes = '', hours = '', dayOfMonth, dayOfWeek = ''] = cron;
    const time = `${hours.padStart(2, '0')}:${minutes.padStart(2, '0')}`;
    if (dayOfMonth === '*' && dayOfWeek === '?') return { ...own, kind: 'daily', time };
    const days = DAYS.filter((day) => dayOfWeek.split(',').includes(day));
    if (dayOfMonth === '?' && days.length === dayOfWeek.split(',').length)
      return { ...own, kind: 'weekly', time, days };
  }
  const rate = /^rate\((\d+) (minute|hour|day)s?\)$/.exec(expression);
  if (rate) return { ...own, kind: 'rate', every: rate[1] ?? '', unit: `${rate[2] as 'hour'}s` };
  const at = /^at\((\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}):00\)$/.exec(expression);
  if (at) return { ...own, kind: 'once', date: at[1] ?? '', time: at[2] ?? '' };
  return own;
}

const DAY_NAMES: Record<Weekday, string> = {
  MON: 'Monday',
  TUE: 'Tuesday',
  WED: 'Wednesday',
  THU: 'Thursday',
  FRI: 'Friday',
  SAT: 'Saturday',
  SUN: 'Sunday',
};

export function dayName(day: Weekday): string {
  return DAY_NAMES[day];
}

/** `every day at 03:00`, for people. */
export function timingText(expression: string): string {
  const timing = timingOf(expression);
  switch (timing.kind) {
    case 'daily':
      return `every day at ${timing.time}`;
    case 'weekly':
      return `${timing.days.map(dayName).join(', ')} at ${timing.time}`;
    case 'rate':
      return `every ${timing.every} ${timing.every === '1' ? timing.unit.slice(0, -1) : timing.unit}`;
    case 'once':
      return `once, ${timing.date} at ${timing.time}`;
    case 'own':
      return timing.expression;
  }
}
