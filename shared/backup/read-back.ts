import { z } from 'zod';
import { s3Source } from '../archive/sources.ts';
import type { Bucket } from '../bucket/bucket.ts';
import { checkResultKey, consistencyKey, sealedKey } from '../bucket/layout.ts';
import { Consistency } from '../catalog/consistency.ts';
import type { BackupWarning } from '../catalog/warnings.ts';
import type { Environment, Leg } from '../environment.ts';
import { IntegrityError } from '../errors.ts';
import { Id } from '../ids.ts';
import { checkLeg } from '../jobs/check-leg.ts';
import { ProgressWriter } from '../jobs/progress.ts';
import { RELATIONSHIPS_WITHOUT_ENDS } from '../stores/neo4j/check.ts';
import { Sealed } from './seal.ts';

/** The read-back's loop, as it travels through the workflow's state. */
export const VerifyState = z.object({
  job_id: Id,
  cursor: z.json().default(null),
  done: z.boolean().default(false),
});
export type VerifyState = z.infer<typeof VerifyState>;

/** What a running backup sealed. */
export function readSealed(bucket: Bucket, jobId: string): Promise<Sealed> {
  return bucket.requireRecord(sealedKey(jobId), Sealed, 'Start a new backup.');
}

/**
 * One leg of reading the sealed archive back from S3, every byte and every record of it, as the inspection of a restore
 * does. Throws IntegrityError where a byte is not what the exporters wrote, or where the archive could not be restored:
 * then it is removed and never catalogued.
 */
export async function readBack(environment: Environment, state: VerifyState, leg: Leg): Promise<VerifyState> {
  const { bucket } = environment;
  const sealed = await readSealed(bucket, state.job_id);
  const part = { store: 'archive', shard: 'seal', phase: 'read-back' } as const;
  const progress = await ProgressWriter.open(bucket, state.job_id, part);
  const source = await s3Source(bucket.s3, bucket.name, sealed.key, sealed.version_id);
  const result = await checkLeg(bucket, state.job_id, source, { cursor: state.cursor, leg, progress });
  await progress.close(result.cursor === null);
  const problems = [...result.problems, ...(await unexplained(bucket, state.job_id, result.warnings))];
  if (problems.length > 0) {
    throw new IntegrityError(`The sealed archive can't be restored: ${problems.slice(0, 5).join('; ')}.`, {
      remedy: 'Nothing was kept of this backup. Start it again, and report it as an error of ngbak.',
    });
  }
  if (result.cursor !== null) return { job_id: state.job_id, cursor: result.cursor, done: false };
  await bucket.writeRecord(checkResultKey(state.job_id), { warnings: result.warnings });
  return { job_id: state.job_id, cursor: null, done: true };
}

/** While nothing changed, no relationship can have lost its ends. */
async function unexplained(
  bucket: Bucket,
  jobId: string,
  warnings: readonly BackupWarning[],
): Promise<string[]> {
  const lost = warnings.find(({ code }) => code === RELATIONSHIPS_WITHOUT_ENDS);
  if (!lost) return [];
  const { grade } = await bucket.requireRecord(consistencyKey(jobId), Consistency, 'Start a new backup.');
  if (grade === 'drifted') return [];
  return [
    `graph: ${lost.count} nodes at the ends of relationships are not in it, although nothing changed (${lost.samples?.join(', ')})`,
  ];
}
