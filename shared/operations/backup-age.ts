import type { BackupSummary } from '../catalog/summaries.ts';
import { InvalidInputError } from '../core/errors.ts';
import { type AgeSchedule, allowedAgeMs } from '../schedules/age.ts';
import type { Scheduler } from '../schedules/scheduler.ts';
import type { OperationsContext } from './context.ts';
import { newestGood } from './good-backups.ts';

type Context = Pick<OperationsContext, 'bucket' | 'config' | 'scheduler'>;

/** How old the newest good backup of a target is, and may be. */
export interface BackupAge {
  readonly target: string;
  /** Absent where there is no good backup. */
  readonly backup: BackupSummary | undefined;
  /** In milliseconds; infinite where there is no good backup. */
  readonly age: number;
  readonly tooOld: boolean;
}

/** The age of the newest good backup of every target. Where the targets are not known: of those with a good backup. */
export async function backupAges(
  context: Context,
  schedules: Promise<readonly AgeSchedule[]> = readableSchedules(context.scheduler),
): Promise<BackupAge[]> {
  const [newest, all] = await Promise.all([newestGood(context), schedules]);
  const now = Date.now();
  return [...newest].map(([target, backup]) => {
    const age = backup ? now - Date.parse(backup.created_at) : Number.POSITIVE_INFINITY;
    return { target, backup, age, tooOld: age > allowedAgeMs(target, all, context.config?.backup_age_hours) };
  });
}

/** How old the newest good backup of a target may be, in milliseconds, for each target that is asked for. */
export async function allowedAges(context: Context): Promise<(target: string) => number> {
  const all = await readableSchedules(context.scheduler);
  return (target) => allowedAgeMs(target, all, context.config?.backup_age_hours);
}

/** The schedules that can be read; the check of schedules reports those that cannot. */
async function readableSchedules(scheduler: Scheduler | undefined): Promise<AgeSchedule[]> {
  if (!scheduler) return [];
  const found: AgeSchedule[] = [];
  try {
    for await (const looked of scheduler.each(async (schedule) => schedule)) {
      if (looked.found) found.push(looked.found);
    }
  } catch (error) {
    // Without a group of schedules there are none.
    if (!(error instanceof InvalidInputError)) throw error;
  }
  return found;
}
