import { isSafetyJob } from '../../core/job-kinds.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import type { BackupResult } from './record.ts';

/** Metric: number of completed backups. */
export const BACKUP_COMPLETED = 'BackupCompleted';
/** Metric: number of good backups. */
export const GOOD_BACKUPS = 'GoodBackups';
/** Metric: number of unacknowledged warnings of a backup. An alarm fires on any. */
export const BACKUP_WARNINGS = 'BackupWarnings';

/** Metric: 1 while the newest good backup of a target is older than allowed. An alarm fires on it. */
export const BACKUP_TOO_OLD = 'BackupTooOld';
/** Metric: 1 while a target cannot be recovered. An alarm fires on it. */
export const NOT_RECOVERABLE = 'NotRecoverable';
/** Metric: whether a target is recoverable: 1 yes, 0.5 yes with warnings, 0 no. */
export const RECOVERABLE = 'Recoverable';
/** Metric: age of the backup that a restore would use, in seconds. */
export const RPO = 'Rpo';
/** Metric: expected duration of a restore, in seconds. */
export const RTO = 'Rto';
/** Metric: time since the last drill, in seconds. */
export const DRILL_AGE = 'DrillAge';
/** Metric: 1 while the last drill of a target is older than its schedules allow. An alarm fires on it. */
export const DRILL_OVERDUE = 'DrillOverdue';
/** Metric: duration of backups. */
export const BACKUP_DURATION = 'BackupDuration';

/** The metrics sent to CloudWatch for a catalogued backup: dimensions, and values with their units. */
export interface Measures {
  readonly dimensions: Readonly<Record<string, string>>;
  readonly values: readonly {
    readonly name: string;
    readonly unit: 'Count' | 'Bytes' | 'Seconds';
    readonly value: number;
  }[];
}

/**
 * The metrics of a backup. Undefined for the safety backup of a restore: it saves a target that may be damaged, so it
 * does not count as the good backup that operators expect. Undefined for backups of self-tests too, which are deleted
 * at the end of the test.
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
