import type { StoreName } from '../core/store-names.ts';
import { longestGapMs } from './runs.ts';
import type { ScheduledBackup, ScheduledDrill } from './schedule.ts';

const HOUR_MS = 60 * 60 * 1000;
/**
 * Maximum age for a target with schedules that run at least daily, or without any, in milliseconds: the default
 * schedule is daily.
 */
const AGE_MIN_MS = 48 * HOUR_MS;
/** For less frequent schedules, the maximum age is their interval times this factor. */
const GAP_FACTOR = 2;

/** The fields of a schedule that determine how old backups and drills may be. */
export type AgeSchedule = Parameters<typeof longestGapMs>[0] & {
  /** Absent for a schedule of drills. */
  readonly backup?: Pick<ScheduledBackup, 'target' | 'stores' | 'only'> | undefined;
  readonly drill?: Pick<ScheduledDrill, 'target' | 'rehearsal'> | undefined;
};

/**
 * The maximum age of the newest good backup of a target, in milliseconds. This is its only definition: health,
 * `ngbak doctor`, the dashboard and the alarm rely on it. Schedules of partial backups are ignored, because such a
 * backup does not replace a full one.
 *
 * @param hours  from the configuration; if absent, derived from the schedules
 * @param stores  all stores of the target, if known: a schedule that names all of them makes full backups
 */
export function allowedAgeMs(
  target: string,
  schedules: readonly AgeSchedule[],
  {
    hours,
    stores,
    now = new Date(),
  }: {
    readonly hours?: number | undefined;
    readonly stores?: readonly StoreName[] | undefined;
    readonly now?: Date;
  } = {},
): number {
  if (hours !== undefined) return hours * HOUR_MS;
  const isFull = ({ stores: some, only }: NonNullable<AgeSchedule['backup']>) =>
    only === undefined && (some === undefined || (stores?.every((store) => some.includes(store)) ?? false));
  const gaps = schedules
    .filter(
      ({ enabled, backup }) => enabled && backup && (backup.target ?? target) === target && isFull(backup),
    )
    .map((schedule) => longestGapMs(schedule, now))
    .filter((gap) => gap !== undefined);
  return gaps.length === 0 ? AGE_MIN_MS : maxAge(Math.min(...gaps));
}

function maxAge(gapMs: number): number {
  return Math.max(AGE_MIN_MS, GAP_FACTOR * gapMs);
}

/** How old the last drill of a target may be, by one of its schedules. */
export interface DrillLimit {
  readonly maxAgeMs: number;
  /** When the schedule was created, in milliseconds: the first drill may take as long. */
  readonly since: number;
  /** Whether a rehearsal suffices. */
  readonly rehearsals: boolean;
}

/** The limits from the enabled schedules that start drills of a target repeatedly. Empty if there are none. */
export function drillLimits(target: string, schedules: readonly AgeSchedule[], now: Date): DrillLimit[] {
  return schedules.flatMap((schedule) => {
    const { enabled, drill, created_at } = schedule;
    if (!enabled || !drill || (drill.target ?? target) !== target) return [];
    const gap = longestGapMs(schedule, now);
    if (gap === undefined) return [];
    const rehearsals = drill.rehearsal !== 'never';
    return [{ maxAgeMs: maxAge(gap), since: Date.parse(created_at), rehearsals }];
  });
}
