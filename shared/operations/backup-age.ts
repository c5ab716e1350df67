import { newestGood } from '../catalog/good-backups.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { InvalidInputError } from '../core/errors.ts';
import { storesOf } from '../profiles/open.ts';
import { type AgeSchedule, allowedAgeMs } from '../schedules/age.ts';
import type { Scheduler } from '../schedules/scheduler.ts';
import type { OperationsContext } from './context.ts';

type Context = Pick<OperationsContext, 'bucket' | 'config' | 'scheduler'>;

/** The age of the newest good backup of a target, and the maximum allowed. */
export interface BackupAge {
  readonly target: string;
  /** Absent if there is no good backup. */
  readonly backup: BackupSummary | undefined;
  /** In milliseconds. Infinite if there is no good backup. */
  readonly age: number;
  readonly tooOld: boolean;
}

/**
 * The age of the newest good backup of every target. If the targets are not known, of every target with a good backup.
 */
export async function backupAges(
  context: Context,
  schedules: Promise<readonly AgeSchedule[]> = readableSchedules(context.scheduler),
): Promise<BackupAge[]> {
  const configured = context.config && backedUpTargets(context.config);
  const [newest, all] = await Promise.all([newestGood(context.bucket, configured), schedules]);
  const now = Date.now();
  return [...newest].map(([target, backup]) => {
    const age = backup ? now - Date.parse(backup.created_at) : Number.POSITIVE_INFINITY;
    return { target, backup, age, tooOld: age > allowedAgeMs(target, all, agesOf(context, target)) };
  });
}

/** Returns a function that gives the maximum age of the newest good backup of a target, in milliseconds. */
export function allowedAges(context: Context, schedules: readonly AgeSchedule[]): (target: string) => number {
  return (target) => allowedAgeMs(target, schedules, agesOf(context, target));
}

function agesOf({ config }: Context, target: string) {
  const known = config && Object.hasOwn(config.targets, target) ? config : undefined;
  return { hours: config?.backup_age_hours, stores: known && storesOf(known, target) };
}

/** The schedules that can be read; the check of schedules reports those that cannot. */
export async function readableSchedules(scheduler: Scheduler | undefined): Promise<AgeSchedule[]> {
  if (!scheduler) return [];
  const found: AgeSchedule[] = [];
  try {
    for await (const item of scheduler.each(async (schedule) => schedule)) {
      if (item.found) found.push(item.found);
    }
  } catch (error) {
    // A deployment without a schedule group has no schedules.
    if (!(error instanceof InvalidInputError)) throw error;
  }
  return found;
}
