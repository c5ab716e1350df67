import { longestGapMs } from './runs.ts';
import type { Schedule } from './schedule.ts';

const HOUR_MS = 60 * 60 * 1000;
/**
 * Maximum age for a target with schedules that run at least daily, or without any, in milliseconds: the default
 * schedule is daily.
 */
const AGE_MIN_MS = 48 * HOUR_MS;
/** For less frequent schedules, the maximum age is their interval times this factor. */
const GAP_FACTOR = 2;

/** The fields of a schedule that determine how old backups may be. */
export type AgeSchedule = Parameters<typeof longestGapMs>[0] & {
  /** Absent for a schedule of drills. */
  readonly backup?: Pick<NonNullable<Schedule['backup']>, 'target'> | undefined;
};

/**
 * The maximum age of the newest good backup of a target, in milliseconds. This is its only definition: health,
 * `ngbak doctor`, the dashboard and the alarm rely on it.
 *
 * @param hours  from the configuration; if absent, derived from the schedules
 */
export function allowedAgeMs(
  target: string,
  schedules: readonly AgeSchedule[],
  hours?: number,
  now = new Date(),
): number {
  if (hours !== undefined) return hours * HOUR_MS;
  const gaps = schedules
    .filter(({ enabled, backup }) => enabled && backup !== undefined && (backup.target ?? target) === target)
    .map((schedule) => longestGapMs(schedule, now))
    .filter((gap) => gap !== undefined);
  return gaps.length === 0 ? AGE_MIN_MS : Math.max(AGE_MIN_MS, GAP_FACTOR * Math.min(...gaps));
}
