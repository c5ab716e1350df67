import { createHash } from 'node:crypto';

/** Length limit of Step Functions execution names, and so of job ids. */
const NAME_LENGTH_MAX = 80;

/** A job that belongs to another one: `safety_<job>`, `rollback_<job>`; shortened by a hash where that is too long. */
export function relatedJobId(relation: 'safety' | 'rollback', jobId: string): string {
  const name = `${relation}_${jobId}`;
  if (name.length <= NAME_LENGTH_MAX) return name;
  const hash = createHash('sha256').update(jobId).digest('hex').slice(0, 16);
  return `${name.slice(0, NAME_LENGTH_MAX - 17)}_${hash}`;
}
