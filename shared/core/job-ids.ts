import { createHash } from 'node:crypto';

/** Length limit of Step Functions execution names, which are the job ids. */
const NAME_LENGTH_MAX = 80;

/**
 * Id of a job that belongs to another job: `safety_<job>`, `rollback_<job>`; shortened with a hash if it is too long.
 */
export function relatedJobId(relation: 'safety' | 'rollback', jobId: string): string {
  const name = `${relation}_${jobId}`;
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash('sha256').update(jobId).digest('hex').slice(0, 16);
  return `${name.slice(0, NAME_LENGTH_MAX - 17)}_${hash}`;
}
