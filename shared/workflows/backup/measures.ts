import { isSafetyJob } from '../../core/job-kinds.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import type { BackupResult } from './record.ts';

/** Metric that counts the backups that were completed. */
export const BACKUP_COMPLETED = 'BackupCompleted';
/** Metric that counts the good backups. */
export const GOOD_BACKUPS = 'GoodBackups';
/** Metric that counts the warnings of backups that nobody has acknowledged; an alarm is about any. */
export const BACKUP_WARNINGS = 'BackupWarnings';

/** Metric that is 1 while the newest good backup of a target is older than allowed; an alarm is about it. */
export const BACKUP_TOO_OLD = 'BackupTooOld';
/** Metric that is 1 while a target cannot be recovered; an alarm is about it. */
export const NOT_RECOVERABLE = 'NotRecoverable';
/** Metric of how long backups took. */
export const BACKUP_DURATION = 'BackupDuration';

/** The metrics sent to CloudWatch for a backup that is in the catalog: dimensions, and values with their units. */
export interface Measures {
  readonly dimensions: Readonly<Record<string, string>>;
  readonly values: readonly {
    readonly name: string;
    readonly unit: 'Count' | 'Bytes' | 'Seconds';
    readonly value: number;
  }[];
}

/**
 * The measures of a backup; undefined for the safety backup of a restore: it saves a target that may be damaged, and is
 * not the good backup that somebody waits for. Nor for those of a self-test, which are deleted when it ends.
 */
export function measuresOf({
  job_id,
  target,
  type,
  bytes,
  duration_seconds,
  open_warnings,
  good,
}: BackupResult): Measures | undefined {
  if (isSafetyJob(job_id) || target === SELFTEST_TARGET) return undefined;
  return {
    dimensions: { target, type },
    values: [
      { name: BACKUP_COMPLETED, unit: 'Count', value: 1 },
      { name: GOOD_BACKUPS, unit: 'Count', value: good ? 1 : 0 },
      { name: BACKUP_WARNINGS, unit: 'Count', value: open_warnings },
      { name: 'BackupBytes', unit: 'Bytes', value: bytes },
      { name: BACKUP_DURATION, unit: 'Seconds', value: duration_seconds },
    ],
  };
}
