import { longestGapMs } from './runs.ts';
import type { Schedule } from './schedule.ts';

const HOUR_MS = 60 * 60 * 1000;
/** For a target whose schedules run at least daily, or that has none, in milliseconds: the default schedule is daily. */
const AGE_MIN_MS = 48 * HOUR_MS;
/** Where the schedules are rarer, a backup may be older by this factor than they are apart. */
const GAP_FACTOR = 2;

/** What of a schedule says how old backups may be. */
export type AgeSchedule = Parameters<typeof longestGapMs>[0] & {
  readonly backup: Pick<Schedule['backup'], 'target'>;
};

/**
 * How old the newest good backup of a target may be, in milliseconds. The only place that says so: health, `ngbak doctor`,
 * the dashboard and the alarm rely on it.
 *
 * @param hours  from the configuration; left out: derived from the schedules
 */
export function allowedAgeMs(
  target: string,
  schedules: readonly AgeSchedule[],
  hours?: number,
  now = new Date(),
): number {
  if (hours !== undefined) return hours * HOUR_MS;
  const gaps = schedules
    .filter(({ enabled, backup }) => enabled && (backup.target ?? target) === target)
    .map((schedule) => longestGapMs(schedule, now))
    .filter((gap) => gap !== undefined);
  return gaps.length === 0 ? AGE_MIN_MS : Math.max(AGE_MIN_MS, GAP_FACTOR * Math.min(...gaps));
}
