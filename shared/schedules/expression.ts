import { Cron } from 'croner';
import { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';

/**
 * When a schedule runs, in the syntax of EventBridge Scheduler: `cron(0 3 * * ? *)`, `rate(6 hours)`,
 * `at(2026-12-24T20:00:00)`.
 */
export const ScheduleExpression = z.string().min(1).max(256);

const MINUTE_MS = 60_000;
const UNITS: Readonly<Record<string, number>> = { minute: 1, hour: 60, day: 24 * 60 };

/** The times of a schedule. `rate` is relative to a run, so its times are known only after one. */
export type RunTimes =
  | {
      readonly kind: 'cron';
      /** The next `count` runs after a time, oldest first. Fewer if the pattern ends. */
      next(count: number, after: Date): Date[];
      /** The last `count` runs before a time, newest first. */
      previous(count: number, before: Date): Date[];
    }
  | { readonly kind: 'rate'; readonly intervalMs: number }
  | { readonly kind: 'at'; readonly time: Date };

/**
 * Parses an expression of EventBridge Scheduler ("Schedule types" in its user guide) in a time zone, which applies to
 * `cron` and `at`. Throws InvalidInputError, which states what is allowed.
 */
export function parseExpression(expression: string, timeZone: string): RunTimes {
  const [, kind = '', inner = ''] = /^(cron|rate|at)\((.*)\)$/.exec(expression.trim()) ?? [];
  if (kind === 'cron') return parseCron(inner, timeZone);
  if (kind === 'rate') return parseRate(inner);
  if (kind === 'at') return parseAt(inner, timeZone);
  throw wrong(expression, 'it is not cron(…), rate(…) or at(…)');
}

/** `rate(6 hours)`; whole minutes, hours or days. */
function parseRate(inner: string): RunTimes {
  const [, value = '', unit = ''] = /^([1-9][0-9]{0,5}) (minute|hour|day)s?$/.exec(inner) ?? [];
  const minutes = UNITS[unit];
  if (minutes === undefined) throw wrong(`rate(${inner})`, 'a rate is "6 hours", "1 day" or "90 minutes"');
  return { kind: 'rate', intervalMs: Number(value) * minutes * MINUTE_MS };
}

/** `at(2026-12-24T20:00:00)`, a local time in the zone. */
function parseAt(inner: string, timeZone: string): RunTimes {
  const valid =
    z.iso.datetime({ local: true, precision: 0 }).safeParse(inner).success && !inner.endsWith('Z');
  const time = valid ? new Cron(inner, { timezone: timeZone }).nextRuns(1, new Date(0))[0] : undefined;
  if (time === undefined) throw wrong(`at(${inner})`, 'a time is "2026-12-24T20:00:00", without a zone');
  return { kind: 'at', time };
}

/**
 * Minutes, hours, day of the month, month, day of the week (1 to 7 or SUN to SAT), year. The library checks ranges;
 * expressions that it accepts and AWS does not are rejected first.
 */
function parseCron(inner: string, timeZone: string): RunTimes {
  const expression = `cron(${inner})`;
  const fields = inner.split(' ');
  if (fields.length !== 6) {
    throw wrong(expression, 'it needs six fields: minutes, hours, day of month, month, day of week, year');
  }
  const [minutes = '', hours = '', dayOfMonth = '', month = '', dayOfWeek = '', year = ''] = fields;
  if ((dayOfMonth === '?') === (dayOfWeek === '?')) {
    throw wrong(expression, 'exactly one of day of month and day of week must be "?"');
  }
  for (const [name, value, allowed] of [
    ['minutes', minutes, /^[0-9,*/-]+$/],
    ['hours', hours, /^[0-9,*/-]+$/],
    ['day of month', dayOfMonth, /^(?:\?|L|LW|[0-9]+W|[0-9,*/-]+)$/],
    ['month', month, /^(?:[0-9]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|[,*/-])+$/],
    ['day of week', dayOfWeek, /^(?:\?|L|(?:[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT|[L,*/#-])+)$/],
    ['year', year, /^[0-9,*/-]+$/],
  ] as const) {
    if (!allowed.test(value)) throw wrong(expression, `"${value}" is not a valid ${name}`);
  }
  // On its own, L is the last day of the week: Saturday.
  const pattern = ['0', minutes, hours, dayOfMonth, month, dayOfWeek === 'L' ? '7' : dayOfWeek, year].join(
    ' ',
  );
  let cron: Cron;
  try {
    cron = new Cron(pattern, {
      timezone: timeZone,
      mode: '7-part',
      // As in AWS, 1 is Sunday, and 5/15 is allowed.
      alternativeWeekdays: true,
      sloppyRanges: true,
      paused: true,
    });
  } catch (cause) {
    throw wrong(
      expression,
      cause instanceof Error ? cause.message.replace(/^CronPattern: /, '') : 'it cannot be parsed',
    );
  }
  const wallClock = new Intl.DateTimeFormat('sv-SE', {
    timeZone,
    dateStyle: 'short',
    timeStyle: 'short',
  });
  // When clocks go forward, the library moves a time that does not exist, whereas AWS skips it. When clocks go back,
  // AWS runs a repeated time only once ("Daylight savings time" in the user guide).
  const asAws = (oldestFirst: Date[]): Date[] => {
    let latest = '';
    return oldestFirst.filter((time) => {
      const shown = wallClock.format(time);
      if (shown <= latest || !cron.match(time)) return false;
      latest = shown;
      return true;
    });
  };
  return {
    kind: 'cron',
    next: (count, after) => {
      for (const spare of [1, DST_SPARE]) {
        const times = asAws(cron.nextRuns(count + spare, after));
        if (times.length >= count || spare === DST_SPARE) return times.slice(0, count);
      }
      return [];
    },
    previous: (count, before) => asAws(cron.previousRuns(count, before).reverse()).reverse(),
  };
}

/**
 * Maximum number of runs skipped because of a clock change: a schedule that runs every minute loses one hour of runs.
 */
const DST_SPARE = 61;

function wrong(expression: string, why: string): InvalidInputError {
  return new InvalidInputError(`"${expression.slice(0, 300)}" is not a schedule expression: ${why}.`, {
    remedy:
      'Write cron(0 3 * * ? *) for each day at 03:00, cron(30 1 ? * MON-FRI *) for weekdays at 01:30, rate(6 hours), or at(2026-12-24T20:00:00) for once.',
  });
}
