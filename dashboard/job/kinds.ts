import type { JobSummary } from '../../shared/workflows/job/summary.ts';

/** The kind of a job, to be followed by the name of its target. */
export const KIND_OF: Readonly<Record<JobSummary['kind'], string>> = {
  backup: 'Backup of',
  restore: 'Restore into',
  drill: 'Drill of',
};
