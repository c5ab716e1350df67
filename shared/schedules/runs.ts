import { z } from 'zod';
import { type Bucket, ConflictError } from '../aws/bucket.ts';
import { runKey, runsPrefix } from '../aws/keys.ts';
import { Id } from '../core/ids.ts';
import { parseExpression } from './expression.ts';
import type { Schedule } from './schedule.ts';

/** How far back missed runs are looked for, in milliseconds: a week. */
const LOOK_BACK_MS = 7 * 24 * 60 * 60 * 1000;
/** At most so many planned times are checked against the runs: a schedule of each hour has 168 in a week. */
const PLANNED_MAX = 500;
/** A run may still come so long after its window: Scheduler starts within a minute, and tries again for a while. */
const GRACE_MS = 15 * 60 * 1000;
/** Scheduler works to the minute. */
const TOLERANCE_MS = 60 * 1000;

/** One start of a schedule's backup: `runs/<schedule>/<time>.json`, written by the first step of the workflow. */
export const ScheduledRun = z.object({
  schedule: Id,
  job_id: Id,
  /** The time that it was planned for; for a run by hand, when it was started. */
  at: z.iso.datetime(),
  by_hand: z.boolean(),
});
export type ScheduledRun = z.infer<typeof ScheduledRun>;

/**
 * Records that a job is the run of a schedule for a planned time. Returns the job itself, or the one that was there
 * first: Scheduler starts a run at least once, and may do so twice.
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

/** The keys of a schedule's runs with their times, oldest first. Reads no record. Runs live for 90 days. */
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
 * times since its last change count: what it was before that is not known.
 *
 * @param runs  when runs by schedule were planned, oldest first; none by hand
 */
export function missedRuns(schedule: Planned, runs: readonly Date[], now: Date): Date[] {
  if (!schedule.enabled) return [];
  const timing = parseExpression(schedule.expression, schedule.time_zone);
  const window = schedule.flexible_minutes * 60_000 + TOLERANCE_MS;
  const since = Math.max(Date.parse(schedule.changed_at), now.getTime() - LOOK_BACK_MS);
  const until = now.getTime() - window - GRACE_MS;
  const times = runs.map((run) => run.getTime());
  if (timing.kind === 'rate') return gaps(timing.intervalMs, window, since, until, times).reverse();
  const planned = timing.kind === 'at' ? [timing.time] : timing.previous(PLANNED_MAX, new Date(until));
  return planned.filter((at) => {
    const time = at.getTime();
    if (time < since || time > until) return false;
    return !times.some((run) => run >= time - TOLERANCE_MS && run <= time + window);
  });
}

/** Times that are missing between runs that should follow each other at an interval. */
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

/** When the schedule runs next; undefined where it is paused or over. */
export function nextRun(schedule: Planned, runs: readonly Date[], now: Date): Date | undefined {
  if (!schedule.enabled) return undefined;
  const timing = parseExpression(schedule.expression, schedule.time_zone);
  if (timing.kind === 'at') return timing.time > now ? timing.time : undefined;
  if (timing.kind === 'cron') return timing.next(1, now)[0];
  const last = Math.max(Date.parse(schedule.changed_at), runs.at(-1)?.getTime() ?? 0);
  const passed = Math.max(0, Math.floor((now.getTime() - last) / timing.intervalMs));
  return new Date(last + (passed + 1) * timing.intervalMs);
}

/** So many runs are looked at for the longest time between two: a week of daily ones, with its weekend. */
const GAP_RUNS = 10;

/** The longest time between two runs that follow each other, in milliseconds; undefined for a single one. */
export function longestGapMs({ expression, time_zone }: Planned, now: Date): number | undefined {
  const timing = parseExpression(expression, time_zone);
  if (timing.kind === 'at') return undefined;
  if (timing.kind === 'rate') return timing.intervalMs;
  const runs = timing.next(GAP_RUNS, now).map((run) => run.getTime());
  const gaps = runs.slice(1).map((run, index) => run - (runs[index] ?? run));
  return gaps.length === 0 ? undefined : Math.max(...gaps);
}
