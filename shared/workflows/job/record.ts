import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { ConflictError } from '../../aws/bucket.ts';
import { jobOfDayKey, jobRecordKey } from '../../aws/keys.ts';
import { NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { AnyJson } from '../../core/input.ts';
import { hasEnded, JOB_STATES } from '../../core/job-state.ts';
import type { Json } from '../../core/json.ts';
import { ColdPlace, ThawTier } from '../../core/storage-class.ts';

/** The record of a job: `jobs/<job>/job.json`. Times are ISO 8601 in UTC. */
export const JobRecord = z.object({
  job_id: Id,
  kind: z.enum(['backup', 'restore', 'drill']),
  /** True for a drill that was requested as a rehearsal. */
  rehearsal: z.boolean().optional(),
  /** The target that is backed up or restored into. For a drill, the target whose backup is restored. */
  target: Id,
  state: z.enum(JOB_STATES),
  /** ARN of the Step Functions execution that runs the job. Absent while the job waits for its upload. */
  execution_arn: z.string().optional(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
  finished_at: z.iso.datetime().optional(),
  requested_by: z.string().optional(),
  /** Whether a hook has paused the target's writers for this job, and whether they were resumed. */
  writers: z.enum(['paused', 'resumed']).optional(),
  backup_id: Id.optional(),
  /** The archive to be uploaded: the user's file name, and the size if known. */
  upload: z
    .object({
      file_name: z.string(),
      bytes: z.number().int().optional(),
      /** Deadline for the upload. Absent in records of earlier versions. */
      until: z.iso.datetime().optional(),
    })
    .optional(),
  /** How long a restore or drill waits, or has waited, for its archive to be thawed from cold storage. */
  thaw: z
    .object({
      place: ColdPlace,
      tier: ThawTier,
      /** Days for which the thawed copy is kept. */
      days: z.int().positive(),
      /** When this job first found that the archive is not readable. */
      since: z.iso.datetime(),
      /** When it should be readable at the latest, by the usual duration. S3 does not guarantee it. */
      expected_by: z.iso.datetime(),
      /** When it was found to be readable. Absent while the job waits. */
      ready_at: z.iso.datetime().optional(),
      readable_until: z.iso.datetime().optional(),
    })
    .optional(),
  /** Why the job failed: error name, and a message for the operator. */
  error: z.object({ name: z.string(), message: z.string() }).optional(),
  /** The output of the workflow. */
  result: AnyJson.optional(),
});
export type JobRecord = z.infer<typeof JobRecord>;

/** Name of the `error` of a cancelled job that was skipped because another one was running. */
export const SKIPPED = 'Skipped';

/** Name of the `error` of a cancelled job whose upload did not arrive in time. */
export const NEVER_UPLOADED = 'NeverUploaded';

/**
 * The state of a job at a given time: a job whose upload deadline has passed is cancelled, although its record is not
 * rewritten. Every reader of a job, and every execution that claims one, applies this, so that a late upload starts
 * nothing.
 */
export function applyUploadDeadline(record: JobRecord, now: Date): JobRecord {
  const { state, execution_arn, upload } = record;
  const until = upload?.until;
  if (state !== 'pending' || execution_arn !== undefined || until === undefined) return record;
  if (now < new Date(until)) return record;
  const message = `The upload was not received: the job waited for it until ${until}. Nothing was changed. Request the restore again.`;
  return { ...record, state: 'cancelled', finished_at: until, error: { name: NEVER_UPLOADED, message } };
}

/** Reads a job's record. Undefined if the job does not exist. */
export async function readJob(bucket: Bucket, jobId: string): Promise<JobRecord | undefined> {
  const found = await bucket.readRecord(jobRecordKey(jobId), JobRecord);
  return found && applyUploadDeadline(found.value, new Date());
}

/** The day on which a job was created, in UTC: `2026-11-29`. */
export function dayOf({ created_at }: Pick<JobRecord, 'created_at'>): string {
  return created_at.slice(0, 10);
}

/**
 * Adds a job to the index of jobs by day (shared/workflows/job/days.ts). Call it before the record is written, so that
 * every record has an entry.
 */
export async function addToDay(
  bucket: Bucket,
  { job_id, created_at }: Pick<JobRecord, 'job_id' | 'created_at'>,
): Promise<void> {
  await bucket.writeRecord(jobOfDayKey(dayOf({ created_at }), job_id), {});
}

/** Creates a job's record. Returns false, and changes nothing, if the job exists. */
export async function createJob(bucket: Bucket, record: JobRecord): Promise<boolean> {
  await addToDay(bucket, record);
  try {
    await bucket.writeRecord(jobRecordKey(record.job_id), record, { absent: true });
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}

/**
 * Changes a job's record by compare-and-swap. `change` is called again after a concurrent write, and returns undefined
 * to leave the record unchanged. Returns the resulting record.
 */
export async function updateJob(
  bucket: Bucket,
  jobId: string,
  change: (record: JobRecord) => Partial<Omit<JobRecord, 'job_id' | 'created_at'>> | undefined,
): Promise<JobRecord | undefined> {
  let current = undefined as JobRecord | undefined;
  await bucket.updateRecord(jobRecordKey(jobId), JobRecord, (found) => {
    current = found && applyUploadDeadline(found, new Date());
    const changes = current && change(current);
    if (!current || !changes) return undefined;
    current = { ...current, ...changes, updated_at: new Date().toISOString() };
    return current;
  });
  return current;
}

/** The job ended while one of its functions was still running: stopping an execution does not stop its functions. */
export class JobEndedError extends NgbakError {}

/** Changes the record of a job that has not ended. Throws JobEndedError, and changes nothing, if it has. */
export async function updateRunningJob(
  bucket: Bucket,
  jobId: string,
  changes: Partial<Omit<JobRecord, 'job_id' | 'created_at'>>,
): Promise<void> {
  const job = await updateJob(bucket, jobId, ({ state }) => (hasEnded(state) ? undefined : changes));
  if (job && hasEnded(job.state)) {
    throw new JobEndedError(`Job ${jobId} has ended: it is ${job.state}.`, { remedy: 'Start a new one.' });
  }
}

/** The output of a workflow as the job's result. Undefined if it is not JSON. */
export function parseResult(output: string | null | undefined): Json | undefined {
  if (typeof output !== 'string') return undefined;
  try {
    return JSON.parse(output) as Json;
  } catch {
    return undefined;
  }
}
