import { z } from 'zod';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { runKey, runsPrefix } from '../aws/keys.ts';
import { Id } from '../core/ids.ts';
import { parseExpression, type RunTimes } from './expression.ts';
import type { Schedule } from './schedule.ts';

/** Period that is searched for missed runs, in milliseconds: a week. */
const LOOK_BACK_MS = 7 * 24 * 60 * 60 * 1000;
/** Maximum number of planned times that are compared with the runs. An hourly schedule has 168 in a week. */
const PLANNED_MAX = 500;
/** Number of planned times that are computed first, enough for a week of daily runs: each takes a millisecond. */
const PLANNED_FIRST = 8;
/**
 * Time after its window within which a run may still start, in milliseconds: Scheduler starts runs within a minute, and
 * retries for a while.
 */
const GRACE_MS = 15 * 60 * 1000;
/** Scheduler has a precision of one minute. */
const TOLERANCE_MS = 60 * 1000;

/** One start of a schedule's backup: `runs/<schedule>/<time>.json`, written by the first step of the workflow. */
export const ScheduledRun = z.object({
  schedule: Id,
  job_id: Id,
  /** The planned time. For a manual run, the time when it was started. */
  at: z.iso.datetime(),
  by_hand: z.boolean(),
});
export type ScheduledRun = z.infer<typeof ScheduledRun>;

/**
 * Records that a job is the run of a schedule for a planned time. Returns the job that was recorded first, which may be
 * another one: Scheduler starts a run at least once, and possibly twice.
 */
export async function recordRun(bucket: Bucket, run: ScheduledRun): Promise<ScheduledRun> {
  const key = runKey(run.schedule, run.at, run.by_hand);
  for (;;) {
    const earlier = await bucket.readRecord(key, ScheduledRun);
    if (earlier) return earlier.value;
    try {
      await bucket.writeRecord(key, run, { absent: true });
      return run;
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error;
    }
  }
}

/** The keys of a schedule's runs with their times, oldest first. Reads no records. Runs are kept for 90 days. */
export async function listRuns(
  bucket: Bucket,
  schedule: string,
): Promise<{ key: string; at: Date; byHand: boolean }[]> {
  const runs: { key: string; at: Date; byHand: boolean }[] = [];
  for await (const { key } of bucket.keys(runsPrefix(schedule))) {
    const [, day, hour, minute, second, hand] =
      /\/(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-([\d.]+)Z(-by-hand)?\.json$/.exec(key) ?? [];
    const at = new Date(`${day}T${hour}:${minute}:${second}Z`);
    if (!Number.isNaN(at.getTime())) runs.push({ key, at, byHand: hand !== undefined });
  }
  return runs;
}

type Planned = Pick<
  Schedule,
  'expression' | 'time_zone' | 'flexible_minutes' | 'enabled' | 'created_at' | 'changed_at'
>;

/**
 * The planned times of the last week, newest first, at which no run was started although the schedule was enabled. Only
 * times since its last change are considered, because its earlier settings are not known.
 *
 * @param runs  planned times of scheduled runs, oldest first, without manual runs
 */
export function missedRuns(schedule: Planned, runs: readonly Date[], now: Date): Date[] {
  if (!schedule.enabled) return [];
  const timing = parseExpression(schedule.expression, schedule.time_zone);
  const window = schedule.flexible_minutes * 60_000 + TOLERANCE_MS;
  const since = Math.max(Date.parse(schedule.changed_at), now.getTime() - LOOK_BACK_MS);
  const until = now.getTime() - window - GRACE_MS;
  const times = runs.map((run) => run.getTime());
  if (timing.kind === 'rate') return gaps(timing.intervalMs, window, since, until, times).reverse();
  const planned = timing.kind === 'at' ? [timing.time] : plannedRuns(timing, since, until);
  return planned.filter((at) => {
    const time = at.getTime();
    if (time < since || time > until) return false;
    return !times.some((run) => run >= time - TOLERANCE_MS && run <= time + window);
  });
}

/** The planned times from `since` to `until`, and possibly some before, newest first; the newest {@link PLANNED_MAX} at most. */
function plannedRuns(timing: RunTimes & { kind: 'cron' }, since: number, until: number): Date[] {
  for (let count = PLANNED_FIRST; ; count = Math.min(4 * count, PLANNED_MAX)) {
    const planned = timing.previous(count, new Date(until));
    const oldest = planned.at(-1);
    if (oldest === undefined || oldest.getTime() < since || count === PLANNED_MAX) return planned;
  }
}

/** Times that are missing between runs that should occur at a fixed interval. */
function gaps(
  intervalMs: number,
  window: number,
  since: number,
  until: number,
  runs: readonly number[],
): Date[] {
  const missing: Date[] = [];
  let last = since;
  for (const next of [...runs.filter((run) => run > since), until]) {
    for (let at = last + intervalMs; at + window < next && missing.length < PLANNED_MAX; at += intervalMs) {
      missing.push(new Date(at));
    }
    last = next;
  }
  return missing;
}

/** The next run of the schedule. Undefined if it is paused or has no future runs. */
export function nextRun(schedule: Planned, runs: readonly Date[], now: Date): Date | undefined {
  if (!schedule.enabled) return undefined;
  const timing = parseExpression(schedule.expression, schedule.time_zone);
  if (timing.kind === 'at') return timing.time > now ? timing.time : undefined;
  if (timing.kind === 'cron') return timing.next(1, now)[0];
  const last = Math.max(Date.parse(schedule.changed_at), runs.at(-1)?.getTime() ?? 0);
  const passed = Math.max(0, Math.floor((now.getTime() - last) / timing.intervalMs));
  return new Date(last + (passed + 1) * timing.intervalMs);
}

/**
 * Number of runs from which the longest interval is determined: more than a week of daily ones, to include a weekend.
 */
const GAP_RUNS = 10;

/** The longest interval between two consecutive runs, in milliseconds. Undefined for a single run. */
export function longestGapMs({ expression, time_zone }: Planned, now: Date): number | undefined {
  const timing = parseExpression(expression, time_zone);
  if (timing.kind === 'at') return undefined;
  if (timing.kind === 'rate') return timing.intervalMs;
  const runs = timing.next(GAP_RUNS, now).map((run) => run.getTime());
  const gaps = runs.slice(1).map((run, index) => run - (runs[index] ?? run));
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}
