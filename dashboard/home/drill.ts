import type { Overview } from '../../shared/operations/overview.ts';
import type { JobSummary } from '../../shared/workflows/job/summary.ts';

/** A restore that proved a backup: into whichever target, all of it came back, and was compared record by record. */
export interface Drill {
  readonly job: JobSummary;
  /** Whether it proved the newest good backup itself; otherwise another one of the same target. */
  readonly newest: boolean;
}

/**
 * The newest restore that proved the newest good backup of a target, else the newest one that proved any backup of it.
 * A dry run, a rollback, and the restore of a part prove nothing about the whole.
 *
 * @param jobs  newest first
 */
export function drillOf(
  { target, newest_good: good }: Pick<Overview['targets'][number], 'target' | 'newest_good'>,
  jobs: readonly JobSummary[],
): Drill | undefined {
  const needed = (good?.stores ?? []).filter((store) => store !== 'config');
  const whole = jobs.filter(
    ({ proved }) =>
      proved?.all_of_stores === true &&
      proved.backup_of === target &&
      needed.every((store) => proved.stores.includes(store)),
  );
  const ofLatest = whole.find(({ proved }) => proved?.backup_id === good?.backup_id);
  const job = ofLatest ?? whole[0];
  return job && { job, newest: job === ofLatest };
}
