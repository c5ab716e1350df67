import { DescribeExecutionCommand, ExecutionDoesNotExist } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { ConflictError } from '../aws/bucket.ts';
import { restoreRequestKey } from '../aws/keys.ts';
import { coldPlaceOf, requireReadable } from '../catalog/archive-storage.ts';
import { headArchive } from '../catalog/head-archive.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { thawHours } from '../catalog/thaw.ts';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { OBJECT_BYTES_MAX } from '../core/limits.ts';
import { noSuchJob, RefusedError, requireAllowed } from '../core/refusals.ts';
import { SignatureText } from '../core/signature.ts';
import type { ThawRequest } from '../core/storage-class.ts';
import { chooseTarget } from '../workflows/job/names.ts';
import { type JobRecord, readJob } from '../workflows/job/record.ts';
import { chooseStores } from '../workflows/restore/choose-stores.ts';
import { answerConfirmation } from '../workflows/restore/confirmation.ts';
import { findAdmitted } from '../workflows/restore/plan.ts';
import {
  CatalogRestore,
  createPartsRequest,
  createRestoreRequest,
  isConfirmed,
  type MultipartRequest,
  RestoreOptions,
  resolveMode,
  type SingleUpload,
  UploadRequest,
} from '../workflows/restore/request.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';
import { executionArn, newJobId, type StartedJob, startJob, usedKey } from './start.ts';

/** Options for restoring a catalogued backup. */
export const RestoreBackupInput = CatalogRestore.omit({ requested_by: true });
export type RestoreBackupInput = z.infer<typeof RestoreBackupInput>;

/** Options for restoring an archive that is uploaded afterwards. */
export const RequestRestoreInput = RestoreOptions.extend({
  /** The configured target to restore into. Optional if the deployment has only one. */
  target: Id.optional(),
  /** Name of the file, ending in `.ngbak`. */
  file_name: z.string().min(1).max(255),
  /** Size of the file. Required for an upload in parts; a `single` upload must then have exactly this size. */
  bytes: z.number().int().positive().max(OBJECT_BYTES_MAX).optional(),
  /** `single`: one PUT or form POST, up to 5 GiB. `multipart`: in parts, of any size, resumable. */
  upload: z.enum(['single', 'multipart']).default('single'),
  /** The signature of the archive (the DER bytes of its file `.sig`), base64. */
  signature: SignatureText.optional(),
  /**
   * The target's name, as the operator's confirmation. If absent, the restore waits for confirmation after the
   * inspection.
   */
  confirm: z.string().max(80).optional(),
});
export type RequestRestoreInput = z.infer<typeof RequestRestoreInput>;

/**
 * All options of a pending restore. Absent ones are reset to their defaults; whether a signature is required stays as
 * requested. Nothing is written until the restore is confirmed.
 */
export const ChangeOptionsInput = RestoreOptions.omit({ dry_run: true, require_signature: true });
export type ChangeOptionsInput = z.infer<typeof ChangeOptionsInput>;

/** The requester, and the idempotency key that makes a repeated request the same one. */
export interface Requester {
  readonly requestedBy: string;
  readonly idempotencyKey?: string | undefined;
}

/** Starts the restore of a catalogued backup. Throws NotFoundError, InvalidInputError or RefusedError. */
export async function restoreBackup(
  context: OperationsContext,
  input: RestoreBackupInput,
  by: Requester,
): Promise<StartedJob> {
  const { value: record } = await readCatalogued(context, input.backup_id);
  isConfirmed(input.confirm, input.target ?? record.target);
  resolveMode(input);
  await requireThaw(context, record, input.thaw);
  return startRestore(context, input, by);
}

/**
 * Refuses a backup in cold storage immediately, unless its thawing was requested; the workflow would refuse it as well.
 * Throws ObjectArchivedError, or InvalidInputError if its class does not support the tier.
 */
export async function requireThaw(
  { bucket }: Pick<OperationsContext, 'bucket'>,
  record: CatalogRecord,
  thaw: ThawRequest | undefined,
): Promise<void> {
  if (thaw === undefined) {
    await requireReadable(bucket, record);
    return;
  }
  const head = await headArchive(bucket, record);
  const place = head && coldPlaceOf(head);
  if (place !== undefined) thawHours(place, thaw.tier);
}

/**
 * Starts the restore workflow with the request of a caller. Throws RefusedError if the idempotency key belongs to
 * another request.
 */
export async function startRestore(
  { bucket, sfn, stateMachines }: OperationsContext,
  input: object,
  by: Requester,
): Promise<StartedJob> {
  const jobId = newJobId('restore', by.idempotencyKey);
  // The job of an upload has no execution yet that could be found.
  if (by.idempotencyKey !== undefined && (await bucket.readRecord(restoreRequestKey(jobId), UploadRequest))) {
    throw usedKey(jobId);
  }
  return startJob(sfn, stateMachines.restore, jobId, { ...input, requested_by: by.requestedBy });
}

/**
 * Prepares the restore of an upload; the upload itself starts the job. With an idempotency key, a repeated request
 * returns the same job with new URLs. Throws InvalidInputError; RefusedError if the key belongs to another request, or
 * if the archive of its job has already been uploaded.
 */
export async function requestRestore(
  context: OperationsContext,
  input: RequestRestoreInput,
  by: Requester,
): Promise<SingleUpload | MultipartRequest> {
  const { bucket, config, uploadBytesMax } = context;
  const { target, file_name, bytes, upload, confirm, signature, ...options } = input;
  const jobId = by.idempotencyKey === undefined ? undefined : newJobId('restore', by.idempotencyKey);
  if (jobId !== undefined) await requireOwnJob(context, jobId);
  const request = {
    target: config ? chooseTarget(config, target) : (target ?? 'default'),
    fileName: file_name,
    options,
    confirm,
    requestedBy: by.requestedBy,
    signature,
    maxBytes: config?.upload_bytes_max ?? uploadBytesMax,
    jobId,
  };
  try {
    if (upload === 'single') return await createRestoreRequest(bucket, { ...request, bytes });
    if (bytes !== undefined) return await createPartsRequest(bucket, { ...request, bytes });
  } catch (error) {
    if (jobId === undefined || !(error instanceof ConflictError)) throw error;
    throw usedKey(jobId, error);
  }
  throw new InvalidInputError('An upload in parts needs the size of the archive.', {
    remedy: 'Add "bytes", the size of the file.',
  });
}

/**
 * Throws RefusedError if that id belongs to a restore of a catalogued backup, or to a job that no longer waits for its
 * upload.
 */
async function requireOwnJob(
  { bucket, sfn, stateMachines }: OperationsContext,
  jobId: string,
): Promise<void> {
  const job = await readJob(bucket, jobId);
  if (job?.upload && job.state !== 'pending') {
    throw new RefusedError(`Job ${jobId}, which was requested with this key, is ${job.state}.`, {
      remedy: `Show it with \`ngbak job ${jobId}\`; for another restore, use another key.`,
    });
  }
  try {
    await sfn.send(
      new DescribeExecutionCommand({ executionArn: executionArn(stateMachines.restore, jobId) }),
    );
  } catch (error) {
    if (error instanceof ExecutionDoesNotExist) return;
    throw error;
  }
  throw usedKey(jobId);
}

/**
 * Approves a pending restore; `phrase` is the target's name. With `inspectedAt`, only if the job has not been inspected
 * again since. Throws NotFoundError, RefusedError or InvalidInputError.
 */
export async function confirmRestore(
  context: OperationsContext,
  jobId: string,
  phrase: string,
  inspectedAt?: string,
): Promise<void> {
  const { job_id } = await requireWaiting(context, jobId);
  await answerConfirmation(context, job_id, { confirm: true, phrase, inspectedAt });
}

/**
 * Inspects a pending restore again, with other options instead of its current ones; then it waits again. Nothing is
 * written to a store. Throws NotFoundError, RefusedError or InvalidInputError.
 */
export async function changeRestoreOptions(
  context: OperationsContext,
  jobId: string,
  input: ChangeOptionsInput,
): Promise<void> {
  const job = await requireWaiting(context, jobId);
  const id = job.job_id;
  const options = resolveMode({ ...input, dry_run: false });
  // Checked here because an error leaves the job unchanged, whereas an error in the workflow would end it.
  if (context.config) chooseStores(context.config, job.target, options);
  const restore = await findAdmitted(context.bucket, id);
  requireAllowed('changeRestoreOptions', { ...job, attaches: restore?.attach_of !== undefined });
  if ((restore?.options.cypher_script ?? false) !== (options.cypher_script ?? false)) {
    throw new RefusedError(`Whether job ${id} reads a Cypher script can no longer be changed.`, {
      remedy: 'Reject it, and restore the archive again with or without "cypher_script".',
    });
  }
  await answerConfirmation(context, id, { options });
}

/** Rejects a pending restore, which has not changed anything. Throws NotFoundError or RefusedError. */
export async function rejectRestore(
  context: OperationsContext,
  jobId: string,
  reason?: string,
): Promise<void> {
  const { job_id } = await requireWaiting(context, jobId);
  await answerConfirmation(context, job_id, {
    confirm: false,
    ...(reason === undefined ? {} : { reason }),
  });
}

/** Reads the job, which must be waiting for a decision. */
async function requireWaiting({ bucket }: OperationsContext, jobId: string): Promise<JobRecord> {
  const id = parseInput(Id, jobId, 'The job id');
  const job = await readJob(bucket, id);
  if (!job) throw noSuchJob(id);
  requireAllowed('confirmRestore', job);
  return job;
}
