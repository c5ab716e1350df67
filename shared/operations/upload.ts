import { z } from 'zod';
import { restoreRequestKey } from '../aws/keys.ts';
import { PARTS_MAX } from '../aws/plan-parts.ts';
import { presignedUntil } from '../aws/presign.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { JOB_STATES } from '../core/job-state.ts';
import { NotFoundError, RefusedError, requireAllowed } from '../core/refusals.ts';
import { SignatureText } from '../core/signature.ts';
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

/** Maximum number of parts per call: a response of a few hundred KB. */
const PARTS_AT_ONCE = 100;

/** The parts to be uploaded next, with their hashes: a URL accepts exactly these bytes. */
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
  /** Until when the upload of these parts may begin. New URLs can be requested. */
  expires_at: z.iso.datetime(),
  parts: z.array(
    z.object({
      number: z.number().int(),
      /** Size of the part, and of the body of the PUT, in bytes. */
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

/** The state of an upload in parts, from which it can be continued after an interruption. */
export const UploadStatus = UploadLayout.extend({
  job_id: Id,
  target: Id,
  file_name: z.string(),
  /** The options of the restore. */
  options: RestoreOptions,
  /** Whether the request included the operator's confirmation. */
  confirmed: z.boolean(),
  /** The signature that the request contained, base64. */
  signature: SignatureText.optional(),
  /** The parts that S3 has received, in the order of their numbers; at most 1,000. */
  parts: z.array(ReceivedPart),
  /** Where the list continues: the value of `after` for the next page. */
  next_after: z.number().int().optional(),
});
export type UploadStatus = z.infer<typeof UploadStatus>;

export const CompletedUpload = z.object({ job_id: Id, state: z.enum(JOB_STATES) });
export type CompletedUpload = z.infer<typeof CompletedUpload>;

/** URLs for some parts, valid for 15 minutes. New ones can be requested while the job waits for its upload. */
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

/** The state of an upload in parts. */
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
    ...(request.signature === undefined ? {} : { signature: request.signature }),
    parts: page.parts,
    ...(page.next === undefined ? {} : { next_after: page.next }),
  };
}

/**
 * Completes the upload, which starts the restore: S3 sends one or more events for the object, and one execution claims
 * the job. Idempotent: for a completed upload, returns the state of the job. Throws InvalidInputError, which names
 * parts that are missing or have another size.
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
    // The upload was completed by a call whose response was lost, or it was aborted.
    const first = await bucket.keys(key).next();
    const now = await readJob(bucket, job_id);
    if (first.done && now?.execution_arn === undefined) throw uploadExpired(job_id);
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
