import { z } from 'zod';
import { isRollbackJob } from '../../core/job-kinds.ts';
import { JobRecord } from './record.ts';

export const JobSummary = JobRecord.omit({ result: true }).extend({
  /**
   * What a restore proved: which data was restored, with every record read back and compared. Absent for dry runs and
   * rollbacks.
   */
  proved: z
    .object({
      backup_id: z.string(),
      /** The source target of the backup, which may differ from the target of the restore. */
      backup_of: z.string(),
      stores: z.array(z.string()),
      /** False if only a subset of these stores was restored. */
      all_of_stores: z.boolean(),
      /** Duration without the wait for confirmation, in seconds. Absent for restores of earlier versions. */
      seconds: z.number().optional(),
      /** Uncompressed bytes that were restored. */
      bytes: z.number().optional(),
    })
    .optional(),
});
export type JobSummary = z.infer<typeof JobSummary>;

/** The fields that are read from the output of a restore, which shared/workflows/restore/close.ts writes. */
const Proof = z.object({
  verified: z.literal(true),
  backup_id: z.string(),
  origin: z.object({ original_target: z.string().optional() }),
  stores: z.record(z.string(), z.unknown()),
  all_of_stores: z.boolean(),
  seconds: z.number().optional(),
  bytes: z.number().optional(),
});

/** A job as lists show it. */
export function summarizeJob({ result, ...job }: JobRecord): JobSummary {
  if (job.kind === 'backup' || job.state !== 'completed' || isRollbackJob(job.job_id)) return job;
  const proof = Proof.safeParse(result);
  if (!proof.success) return job;
  const { origin, stores, ...rest } = proof.data;
  const backup_of = origin.original_target ?? job.target;
  const { verified: _, ...measured } = rest;
  return { ...job, proved: { ...measured, backup_of, stores: Object.keys(stores) } };
}
