import { z } from 'zod';
import { restoreRequestKey } from '../aws/keys.ts';
import { PARTS_MAX } from '../aws/plan-parts.ts';
import { presignedUntil } from '../aws/presign.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { JOB_STATES } from '../core/job-state.ts';
import { NotFoundError, RefusedError, requireAllowed } from '../core/refusals.ts';
import { readJob } from '../workflows/job/record.ts';
import { RestoreOptions, UPLOAD_SECONDS, UploadRequest } from '../workflows/restore/request.ts';
import {
  completeUpload,
  listUploadedParts,
  partLength,
  presignPart,
  ReceivedPart,
  UploadLayout,
} from '../workflows/restore/upload-parts.ts';
import type { OperationsContext } from './context.ts';

/** Parts whose addresses are given at once: an answer of some hundred KB at most. */
const PARTS_AT_ONCE = 100;

/** Which parts are to be uploaded next, with what they hold: an address takes these very bytes and no others. */
export const PresignPartsInput = z.strictObject({
  parts: z
    .array(
      z.strictObject({
        number: z.number().int().positive().max(PARTS_MAX),
        /** SHA-256 of the part's bytes, hexadecimal. */
        sha256: z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hexadecimal digits'),
      }),
    )
    .min(1)
    .max(PARTS_AT_ONCE),
});
export type PresignPartsInput = z.infer<typeof PresignPartsInput>;

export const PresignedParts = z.object({
  /** Until when these addresses may be used to begin the upload of their parts. Others can be asked for. */
  expires_at: z.iso.datetime(),
  parts: z.array(
    z.object({
      number: z.number().int(),
      /** Size of the part: what the body of the PUT must have, in bytes. */
      bytes: z.number().int(),
      /** A credential for the PUT of this part. */
      url: z.string(),
      /** Headers that the PUT must carry. */
      headers: z.record(z.string(), z.string()),
    }),
  ),
});
export type PresignedParts = z.infer<typeof PresignedParts>;

export const ListUploadInput = z.strictObject({
  /** Only parts with higher numbers. */
  after: z.coerce.number().int().min(0).max(PARTS_MAX).default(0),
});
export type ListUploadInput = z.infer<typeof ListUploadInput>;

/** An upload in parts as it stands: what to continue with after an interruption. */
export const UploadStatus = UploadLayout.extend({
  job_id: Id,
  target: Id,
  file_name: z.string(),
  /** What the restore was asked to do. */
  options: RestoreOptions,
  /** Whether the request carried the operator's confirmation. */
  confirmed: z.boolean(),
  /** What S3 has, in the order of the numbers; at most 1,000. */
  parts: z.array(ReceivedPart),
  /** Where the list continues: the value of `after` for the next page. */
  next_after: z.number().int().optional(),
});
export type UploadStatus = z.infer<typeof UploadStatus>;

export const CompletedUpload = z.object({ job_id: Id, state: z.enum(JOB_STATES) });
export type CompletedUpload = z.infer<typeof CompletedUpload>;

/** Addresses for some parts, valid for 15 minutes; new ones may be asked for while the job waits for its upload. */
export async function presignParts(
  { bucket }: OperationsContext,
  jobId: string,
  { parts }: PresignPartsInput,
): Promise<PresignedParts> {
  const request = await readPending(bucket, jobId);
  const expires_at = await presignedUntil(bucket.s3, UPLOAD_SECONDS);
  const signed = parts.map(async ({ number, sha256 }) => {
    const bytes = partLength(request.multipart, number);
    const upload = { key: request.key, upload_id: request.multipart.upload_id };
    return {
      number,
      bytes,
      ...(await presignPart(bucket, upload, { number, bytes, sha256 }, UPLOAD_SECONDS)),
    };
  });
  return { expires_at, parts: await Promise.all(signed) };
}

/** What S3 has of an upload in parts. */
export async function listUpload(
  { bucket }: OperationsContext,
  jobId: string,
  { after }: ListUploadInput,
): Promise<UploadStatus> {
  const { multipart, ...request } = await readPending(bucket, jobId);
  const { upload_id, ...layout } = multipart;
  const page = await listUploadedParts(bucket, { key: request.key, upload_id }, after);
  if (!page) throw uploadExpired(request.job_id);
  return {
    ...layout,
    job_id: request.job_id,
    target: request.target,
    file_name: request.file_name,
    options: request.options,
    confirmed: request.confirmed,
    parts: page.parts,
    ...(page.next === undefined ? {} : { next_after: page.next }),
  };
}

/**
 * Puts the parts together, which starts the restore: S3 announces the object, once or more often, and one execution
 * claims the job. Idempotent: for an upload that is complete it says how the job stands. Throws InvalidInputError that
 * names parts which are missing or have another size.
 */
export async function completeRestoreUpload(
  { bucket }: OperationsContext,
  jobId: string,
): Promise<CompletedUpload> {
  const { job_id, key, multipart } = await readMultipart(bucket, jobId);
  const job = await readJob(bucket, job_id);
  if (job && (job.execution_arn !== undefined || job.state !== 'pending')) {
    if (job.execution_arn === undefined) requireAllowed('completeUpload', job);
    return { job_id, state: job.state };
  }
  if (!(await completeUpload(bucket, { key, upload_id: multipart.upload_id }, multipart))) {
    // Completed by a call whose answer got lost, or aborted.
    const there = await bucket.keys(key).next();
    const now = await readJob(bucket, job_id);
    if (there.done && now?.execution_arn === undefined) throw uploadExpired(job_id);
  }
  return { job_id, state: (await readJob(bucket, job_id))?.state ?? 'pending' };
}

type Multipart = UploadRequest & { multipart: NonNullable<UploadRequest['multipart']> };

async function readMultipart(bucket: OperationsContext['bucket'], jobId: string): Promise<Multipart> {
  const id = parseInput(Id, jobId, 'The job id');
  const request = (await bucket.readRecord(restoreRequestKey(id), UploadRequest))?.value;
  if (!request) {
    throw new NotFoundError(`No upload was requested for a job "${id}".`, {
      remedy: 'Request one: POST /api/v1/restore with "file_name" and "upload": "multipart".',
    });
  }
  const { multipart } = request;
  if (multipart) return { ...request, multipart };
  throw new RefusedError(`The upload of job ${id} was requested as one PUT or POST.`, {
    remedy: 'Use the URLs of that response, or request an upload in parts.',
  });
}

async function readPending(bucket: OperationsContext['bucket'], jobId: string): Promise<Multipart> {
  const request = await readMultipart(bucket, jobId);
  const job = await readJob(bucket, request.job_id);
  requireAllowed('presignParts', {
    job_id: request.job_id,
    state: job?.state ?? 'gone',
    started: job?.execution_arn !== undefined,
  });
  return request;
}

function uploadExpired(jobId: string): RefusedError {
  return new RefusedError(`S3 has no open upload of job ${jobId}: it was aborted or has expired.`, {
    remedy: 'Request another upload.',
  });
}
