import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { JOB_STATES } from '../core/job-state.ts';
import { listedJobs } from '../workflows/job/days.ts';
import { JobRecord } from '../workflows/job/record.ts';
import { JobSummary } from '../workflows/job/summary.ts';
import type { OperationsContext } from './context.ts';

export const ListJobsInput = z.strictObject({
  state: z.enum(JOB_STATES).optional(),
  kind: JobRecord.shape.kind.optional(),
  target: Id.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(50),
});
export type ListJobsInput = z.infer<typeof ListJobsInput>;

export const JobList = z.object({
  jobs: z.array(JobSummary),
  /** Number of matching jobs. */
  total: z.number().int(),
  unreadable: z.array(z.object({ job_id: z.string(), problem: z.string() })),
});
export type JobList = z.infer<typeof JobList>;

/** The newest jobs that match, newest first. Job records live for 90 days; memory holds at most twice the page. */
export async function listJobs({ bucket }: OperationsContext, input: ListJobsInput): Promise<JobList> {
  const unreadable: JobList['unreadable'] = [];
  let jobs: JobSummary[] = [];
  let total = 0;
  for await (const { id, job, problem } of listedJobs(bucket)) {
    if (problem !== undefined) unreadable.push({ job_id: id, problem });
    if (!job || !matches(job, input)) continue;
    total++;
    jobs.push(job);
    if (jobs.length >= 2 * input.limit) jobs = newest(jobs, input.limit);
  }
  return { jobs: newest(jobs, input.limit), total, unreadable };
}

function matches(job: JobSummary, { state, kind, target }: ListJobsInput): boolean {
  return (
    (state === undefined || job.state === state) &&
    (kind === undefined || job.kind === kind) &&
    (target === undefined || job.target === target)
  );
}

function newest(jobs: JobSummary[], limit: number): JobSummary[] {
  return jobs.sort((a, b) => Date.parse(b.created_at) - Date.parse(a.created_at)).slice(0, limit);
}
