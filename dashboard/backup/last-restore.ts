import type { JobView } from '../../shared/operations/show-job.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';
import type { ComparedAnswer, RestoreResult } from '../../shared/workflows/restore/close.ts';

/** A smoke check: the answers of the target before the restore or drill, and of the restored data. */
export interface SmokeRow extends ComparedAnswer {
  readonly store: string;
}

/** The newest job that restored a backup and verified all that it restored. */
export function lastRestoreOf(backupId: string, jobs: readonly JobSummary[]): JobSummary | undefined {
  return jobs
    .filter(({ proved, state }) => state === 'completed' && proved?.backup_id === backupId)
    .reduce<JobSummary | undefined>(
      (newest, job) => (newest && (newest.finished_at ?? '') >= (job.finished_at ?? '') ? newest : job),
      undefined,
    );
}

/** The smoke checks of a restore or drill. Empty if its result has none. */
export function smokeOf({ result }: Pick<JobView, 'result'>): SmokeRow[] {
  const { stores = {} } = (result ?? {}) as Partial<RestoreResult>;
  // Results of earlier versions have no smoke checks.
  return Object.entries(stores as Record<string, Partial<RestoreResult['stores'][string]>>).flatMap(
    ([store, { smoke = [] }]) => smoke.map((check) => ({ store, ...check })),
  );
}
