import { z } from 'zod';
import { mapOrdered } from '../archive/ordered.ts';
import { JOBS } from '../bucket/layout.ts';
import { describeError, InvalidInputError } from '../errors.ts';
import { Id } from '../ids.ts';
import { JobRecord, JobState, readJob } from '../jobs/record.ts';
import { isRollbackJob } from '../restore/safety.ts';
import type { OperationsContext } from './context.ts';

/** Records read at once. */
const READS_AT_ONCE = 32;

export const JobSummary = JobRecord.omit({ result: true }).extend({
  /** What a restore proved: which data came back, every record of it read back and compared. Absent for dry runs and rollbacks. */
  proved: z
    .object({
      backup_id: z.string(),
      /** The target that the backup was made from, which need not be where it was restored. */
      backup_of: z.string(),
      stores: z.array(z.string()),
      /** False where only a part of these stores was restored. */
      all_of_stores: z.boolean(),
    })
    .optional(),
});
export type JobSummary = z.infer<typeof JobSummary>;

export const ListJobsInput = z.strictObject({
  state: JobState.optional(),
  kind: JobRecord.shape.kind.optional(),
  target: Id.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});
export type ListJobsInput = z.infer<typeof ListJobsInput>;

export const JobList = z.object({
  jobs: z.array(JobSummary),
  /** How many jobs match. */
  total: z.number().int(),
  unreadable: z.array(z.object({ job_id: z.string(), problem: z.string() })),
});
export type JobList = z.infer<typeof JobList>;

/** The newest jobs that match, newest first. Job records live for 90 days; memory holds at most twice the page. */
export async function listJobs({ bucket }: OperationsContext, input: ListJobsInput): Promise<JobList> {
  const unreadable: JobList['unreadable'] = [];
  const found = mapOrdered(bucket.folders(JOBS), READS_AT_ONCE, async (jobId) => {
    if (!Id.safeParse(jobId).success) return undefined;
    try {
      return await readJob(bucket, jobId);
    } catch (error) {
      // One spoiled record must not hide the others.
      if (!(error instanceof InvalidInputError)) throw error;
      unreadable.push({ job_id: jobId, problem: describeError(error) });
      return undefined;
    }
  });
  let jobs: JobSummary[] = [];
  let total = 0;
  for await (const job of found) {
    if (!job || !matches(job, input)) continue;
    total++;
    jobs.push(summarize(job));
    if (jobs.length >= 2 * input.limit) jobs = newest(jobs, input.limit);
  }
  return { jobs: newest(jobs, input.limit), total, unreadable };
}

/** What is read of the output of a restore: shared/restore/close.ts writes it. */
const Proof = z.object({
  verified: z.literal(true),
  backup_id: z.string(),
  origin: z.object({ original_target: z.string().optional() }),
  stores: z.record(z.string(), z.unknown()),
  all_of_stores: z.boolean(),
});

function summarize({ result, ...job }: JobRecord): JobSummary {
  if (job.kind !== 'restore' || job.state !== 'completed' || isRollbackJob(job.job_id)) return job;
  const proof = Proof.safeParse(result);
  if (!proof.success) return job;
  const { backup_id, origin, stores, all_of_stores } = proof.data;
  const backup_of = origin.original_target ?? job.target;
  return { ...job, proved: { backup_id, backup_of, stores: Object.keys(stores), all_of_stores } };
}

function matches(job: JobRecord, { state, kind, target }: ListJobsInput): boolean {
  return (
    (state === undefined || job.state === state) &&
    (kind === undefined || job.kind === kind) &&
    (target === undefined || job.target === target)
  );
}

function newest(jobs: JobSummary[], limit: number): JobSummary[] {
  return jobs.sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at)).slice(0, limit);
}
