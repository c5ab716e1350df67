import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { DRILLS } from '../aws/keys.ts';
import { allBackups } from '../catalog/good-backups.ts';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { mapOrdered } from '../core/ordered.ts';
import { type DrillRecord, readDrill } from '../workflows/drill/record.ts';
import { listedJobs } from '../workflows/job/days.ts';
import { SKIPPED } from '../workflows/job/record.ts';
import type { OperationsContext } from './context.ts';
import { listSchedules } from './list-schedules.ts';

const DAY_MS = 86_400_000;
/** Most days of one calendar: a year, from any day of it. */
const DAYS_MAX = 366;
/** Age at which job records expire, in days: earlier failures are unknown. */
const JOBS_DAYS = 90;
/** Records of drills that are read for a year, and how many at once. */
const DRILLS_MAX = 1000;
const READS_AT_ONCE = 32;

export const CalendarInput = z.strictObject({
  target: Id,
  /** Number of days up to today. */
  days: z.coerce.number().int().min(1).max(DAYS_MAX).default(35),
  /** IANA name of the zone in which days begin, such as `Europe/Berlin`. */
  time_zone: z
    .string()
    .max(64)
    .refine(isTimeZone, 'is not a time zone, such as Europe/Berlin')
    .default('UTC'),
});
export type CalendarInput = z.infer<typeof CalendarInput>;

export const CalendarDay = z.object({
  /** `2026-01-02`, in the requested zone. */
  date: z.iso.date(),
  /** Backups without a warning that is not acknowledged. */
  good: z.number().int(),
  /** Backups with such warnings. */
  with_warnings: z.number().int(),
  /** Backups that a verification found damaged. */
  damaged: z.number().int(),
  /** Backup jobs that failed. */
  failed: z.number().int(),
  /** Planned runs at which no backup was started. */
  missed: z.number().int(),
  drills_passed: z.number().int(),
  /** Drills, and rehearsals, that failed. */
  drills_failed: z.number().int(),
});
export type CalendarDay = z.infer<typeof CalendarDay>;

export const Calendar = z.object({
  target: z.string(),
  time_zone: z.string(),
  from: z.iso.date(),
  to: z.iso.date(),
  /** Days on which something happened, oldest first. */
  days: z.array(CalendarDay),
  /** The first day of which failures are known: records of jobs are kept for 90 days. */
  failures_since: z.iso.date(),
  /** The first day of which missed runs are known: a week ago. Absent if the schedules cannot be read. */
  missed_since: z.iso.date().optional(),
});
export type Calendar = z.infer<typeof Calendar>;

/** What can happen on a day. */
export type CalendarEvent = Exclude<keyof CalendarDay, 'date'>;

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format(0) !== '';
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

/** Counts events by day, in a time zone. The number of days bounds its size, whatever the number of events. */
export class DayCounts {
  readonly #format: Intl.DateTimeFormat;
  readonly #from: string;
  readonly #to: string;
  readonly #days = new Map<string, CalendarDay>();

  /** @param now  the last instant; the first day begins `days - 1` days earlier */
  constructor(timeZone: string, days: number, now: number) {
    // The locale writes dates as in ISO 8601.
    this.#format = new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
    });
    this.#to = this.dateOf(now);
    this.#from = daysBefore(this.#to, days - 1);
  }

  dateOf(instant: number): string {
    return this.#format.format(instant);
  }

  /** Ignores instants outside of the days. */
  add(time: string, event: CalendarEvent): void {
    const date = this.dateOf(Date.parse(time));
    if (date < this.#from || date > this.#to) return;
    const day = this.#days.get(date) ?? { date, ...NOTHING };
    this.#days.set(date, { ...day, [event]: day[event] + 1 });
  }

  all(): Pick<Calendar, 'from' | 'to' | 'days'> {
    const days = [...this.#days.values()].sort((a, b) => (a.date < b.date ? -1 : 1));
    return { from: this.#from, to: this.#to, days };
  }
}

/** The events of a day without any. */
export const NOTHING: Readonly<Record<CalendarEvent, number>> = {
  good: 0,
  with_warnings: 0,
  damaged: 0,
  failed: 0,
  missed: 0,
  drills_passed: 0,
  drills_failed: 0,
};

/** The date so many days before another, regardless of clock changes. */
function daysBefore(date: string, days: number): string {
  return new Date(Date.parse(date) - days * DAY_MS).toISOString().slice(0, 10);
}

/** What happened to the backups and drills of a target on each of the last days. */
export async function calendar(
  context: OperationsContext,
  { target, days, time_zone }: CalendarInput,
  now = Date.now(),
): Promise<Calendar> {
  const counts = new DayCounts(time_zone, days, now);
  const jobsSince = now - JOBS_DAYS * DAY_MS;
  const [, , , missedSince] = await Promise.all([
    addBackups(context, target, counts),
    addJobs(context, target, counts, jobsSince),
    days > JOBS_DAYS ? addOlderDrills(context, target, counts, now - days * DAY_MS, jobsSince) : undefined,
    addMissedRuns(context, target, counts, now),
  ]);
  const { from, ...rest } = counts.all();
  const since = (instant: number) => {
    const date = counts.dateOf(instant);
    if (date < from) return from;
    return date;
  };
  return {
    target,
    time_zone,
    from,
    ...rest,
    failures_since: since(jobsSince),
    ...(missedSince === undefined ? {} : { missed_since: since(missedSince) }),
  };
}

async function addBackups({ bucket }: OperationsContext, target: string, counts: DayCounts): Promise<void> {
  const events = { complete: 'good', complete_with_warnings: 'with_warnings', damaged: 'damaged' } as const;
  for await (const { listed } of allBackups(bucket)) {
    if (listed?.summary.target !== target) continue;
    counts.add(listed.summary.created_at, events[listed.summary.state]);
  }
}

/** @param since  earlier drills are in their own records */
async function addJobs(
  { bucket }: OperationsContext,
  target: string,
  counts: DayCounts,
  since: number,
): Promise<void> {
  for await (const { job } of listedJobs(bucket)) {
    if (job?.target !== target || job.error?.name === SKIPPED) continue;
    const isFailed = job.state === 'failed' || job.state === 'rolled_back';
    if (job.kind === 'backup' && isFailed) counts.add(job.created_at, 'failed');
    if (job.kind !== 'drill' || Date.parse(job.created_at) < since) continue;
    if (isFailed) counts.add(job.created_at, 'drills_failed');
    // A rehearsal proves nothing, so only its failure is shown.
    else if (job.proved) counts.add(job.created_at, 'drills_passed');
  }
}

/** The drills whose jobs have expired, from their records, which are kept. */
async function addOlderDrills(
  { bucket }: OperationsContext,
  target: string,
  counts: DayCounts,
  from: number,
  to: number,
): Promise<void> {
  for await (const drill of mapOrdered(await drillsSince(bucket, from), READS_AT_ONCE, (id) =>
    readable(bucket, id),
  )) {
    if (drill?.target !== target || drill.verdict === 'cancelled' || Date.parse(drill.started_at) >= to)
      continue;
    if (drill.verdict === 'failed') counts.add(drill.started_at, 'drills_failed');
    else if (drill.kind === 'drill') counts.add(drill.started_at, 'drills_passed');
  }
}

/** The drills whose records were written since then; at most the newest 1,000. */
async function drillsSince(bucket: Bucket, from: number): Promise<string[]> {
  const found: { id: string; modified: number }[] = [];
  for await (const { key, modified } of bucket.keys(DRILLS)) {
    const id = key.endsWith('.json') ? key.slice(DRILLS.length, -'.json'.length) : '';
    const at = modified?.getTime() ?? 0;
    if (at >= from && Id.safeParse(id).success) found.push({ id, modified: at });
  }
  return found
    .sort((a, b) => b.modified - a.modified)
    .slice(0, DRILLS_MAX)
    .map(({ id }) => id);
}

/** The list of drills reports records that cannot be read. */
async function readable(bucket: Bucket, id: string): Promise<DrillRecord | undefined> {
  try {
    return await readDrill(bucket, id);
  } catch (error) {
    if (error instanceof InvalidInputError) return undefined;
    throw error;
  }
}

/** Returns since when missed runs are known; undefined if they are not. */
async function addMissedRuns(
  context: OperationsContext,
  target: string,
  counts: DayCounts,
  now: number,
): Promise<number | undefined> {
  if (!context.scheduler) return undefined;
  const { schedules } = await listSchedules(context);
  for (const { backup, missed_runs } of schedules) {
    // Schedules of drills have no backup.
    if (!backup || (backup.target ?? 'default') !== target) continue;
    for (const at of missed_runs) counts.add(at, 'missed');
  }
  return now - 7 * DAY_MS;
}
