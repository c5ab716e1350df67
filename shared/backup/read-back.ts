import { z } from 'zod';
import { s3Source } from '../archive/sources.ts';
import { verifyArchive } from '../archive/verify.ts';
import type { Bucket } from '../bucket/bucket.ts';
import { sealedKey } from '../bucket/layout.ts';
import type { Environment, Leg } from '../environment.ts';
import { IntegrityError } from '../errors.ts';
import { Id } from '../ids.ts';
import { ProgressWriter } from '../jobs/progress.ts';
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
 * One leg of reading the sealed archive back from S3, every byte of it, exactly as a restore would. Throws
 * IntegrityError where a byte is not what the exporters wrote: then the archive is removed and never catalogued.
 */
export async function readBack(environment: Environment, state: VerifyState, leg: Leg): Promise<VerifyState> {
  const { bucket } = environment;
  const sealed = await readSealed(bucket, state.job_id);
  const part = { store: 'archive', shard: 'seal', phase: 'read-back' } as const;
  const progress = await ProgressWriter.open(bucket, state.job_id, part);
  const result = await verifyArchive(await s3Source(bucket.s3, bucket.name, sealed.key, sealed.version_id), {
    cursor: state.cursor,
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (done, total) => progress.report('bytes', done, total),
  });
  await progress.close(result.cursor === null);
  if (result.problems.length > 0) {
    throw new IntegrityError(
      `The archive that was sealed differs from what was exported: ${result.problems.slice(0, 5).join('; ')}.`,
      { remedy: 'Nothing was kept of this backup. Start it again, and report it as an error of ngbak.' },
    );
  }
  return { job_id: state.job_id, cursor: result.cursor, done: result.cursor === null };
}
