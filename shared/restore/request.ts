import { randomBytes } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { z } from 'zod';
import type { Bucket } from '../bucket/bucket.ts';
import { restoreRequestKey, uploadPrefix } from '../bucket/layout.ts';
import { InvalidInputError } from '../errors.ts';
import { Id } from '../ids.ts';
import { parseInput } from '../input.ts';
import { createJob } from '../jobs/record.ts';
import { STORE_NAMES } from '../stores/port.ts';

/** How long a presigned upload may begin, in seconds. */
export const UPLOAD_SECONDS = 15 * 60;
/** Largest object that one PUT or POST may carry, in bytes: a limit of S3. */
export const SINGLE_UPLOAD_BYTES_MAX = 5 * 1024 ** 3;

/** How a restore is to be done, whatever way its archive takes. */
export const RestoreOptions = z.strictObject({
  /** `replace` empties the target's scope first; `merge` keeps what is there. */
  mode: z.enum(['replace', 'merge']).default('replace'),
  /** With `merge`: what happens to a record whose id exists in the target with other content. */
  on_conflict: z.enum(['keep', 'overwrite', 'fail']).default('fail'),
  /** Only these stores; left out: every store that both archive and target have. */
  stores: z.array(z.enum(STORE_NAMES)).min(1).optional(),
  /** Ends after the inspection. */
  dry_run: z.boolean().default(false),
  /** Saves what the target holds before touching it, so that a failed restore can be rolled back. */
  safety_backup: z.boolean().default(true),
});
export type RestoreOptions = z.infer<typeof RestoreOptions>;

/** Input of the restore workflow for a catalogued backup: what `aws stepfunctions start-execution --input` takes. */
export const CatalogRestore = RestoreOptions.extend({
  backup_id: Id,
  /** The configured target to restore into; left out: the one that the backup was made of. */
  target: Id.optional(),
  /** The target's name, as the operator's confirmation. Left out: the workflow waits for it after the inspection. */
  confirm: z.string().optional(),
  requested_by: z.string().max(200).optional(),
});
export type CatalogRestore = z.infer<typeof CatalogRestore>;

/** Input of the restore workflow that puts a target back to what it was before a restore that failed. */
export const RollbackRequest = z.strictObject({ rollback_of: Id });

/** What somebody asked for before uploading: `jobs/<job>/request.json`. */
export const UploadRequest = z.object({
  job_id: Id,
  target: Id,
  /** The only key whose upload starts this job. */
  key: z.string(),
  options: RestoreOptions,
  confirmed: z.boolean(),
  created_at: z.iso.datetime(),
  requested_by: z.string().optional(),
});
export type UploadRequest = z.infer<typeof UploadRequest>;

/** Where and how to upload. The addresses are credentials: they go to the person who asked and nowhere else. */
export interface RequestedUpload {
  readonly job_id: string;
  readonly key: string;
  /** Until when the upload may begin, ISO 8601. */
  readonly expires_at: string;
  readonly put: { readonly url: string; readonly method: 'PUT'; readonly headers: Record<string, string> };
  /** For forms: every field goes before the field `file`. */
  readonly post: { readonly url: string; readonly fields: Record<string, string> };
}

/**
 * Turns a user's file name into the last part of an object key: only letters, digits, `.`, `_` and `-`, at most 100
 * characters, ending in `.ngbak`. Throws InvalidInputError for another ending.
 */
export function sanitizeFileName(name: string): string {
  const base = name.split(/[\\/]/).at(-1) ?? '';
  if (!base.toLowerCase().endsWith('.ngbak')) {
    throw new InvalidInputError(`"${base.slice(0, 100)}" does not end in .ngbak.`, {
      remedy: 'Upload an archive that ngbak made, under a name that ends in .ngbak.',
    });
  }
  const stem = base
    .slice(0, -'.ngbak'.length)
    .normalize('NFKD')
    .replaceAll(/[^a-zA-Z0-9._-]+/g, '-')
    .replaceAll(/^[.-]+/g, '')
    .slice(0, 94);
  return `${stem || 'archive'}.ngbak`;
}

/** Whether `phrase` confirms a restore into `target`: it is the target's name, exactly. Throws where it is another. */
export function isConfirmed(phrase: string | undefined, target: string): boolean {
  if (phrase === undefined) return false;
  if (phrase === target) return true;
  throw new InvalidInputError('The confirmation is not the name of the target.', {
    remedy: `To confirm that target "${target}" may be overwritten, give its name.`,
  });
}

/**
 * Prepares a restore of an archive that is still to be uploaded: records the request and its job, and presigns the
 * upload of exactly one key, as PUT and as form POST.
 *
 * @param target     name of the configured target
 * @param fileName   the user's file name; only its sanitized last part is used
 * @param options    see {@link RestoreOptions}
 * @param confirm    the target's name, where the operator confirms already now
 * @param maxBytes   largest upload accepted, in bytes
 */
export async function createRestoreRequest(
  bucket: Bucket,
  request: {
    target: string;
    fileName: string;
    options?: z.input<typeof RestoreOptions>;
    confirm?: string | undefined;
    requestedBy?: string | undefined;
    maxBytes?: number;
  },
): Promise<RequestedUpload> {
  const options = parseInput(RestoreOptions, request.options ?? {}, 'The restore request');
  const jobId = `restore_${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z_${randomBytes(4).toString('hex')}`;
  const key = `${uploadPrefix(jobId)}${sanitizeFileName(request.fileName)}`;
  const now = new Date();
  const requestedBy = request.requestedBy === undefined ? {} : { requested_by: request.requestedBy };
  const record: UploadRequest = {
    job_id: jobId,
    target: request.target,
    key,
    options,
    confirmed: isConfirmed(request.confirm, request.target),
    created_at: now.toISOString(),
    ...requestedBy,
  };
  await bucket.writeRecord(restoreRequestKey(jobId), record, { absent: true });
  await createJob(bucket, {
    job_id: jobId,
    kind: 'restore',
    target: request.target,
    state: 'pending',
    created_at: now.toISOString(),
    updated_at: now.toISOString(),
    ...requestedBy,
  });
  const contentType = 'application/octet-stream';
  const [url, post] = await Promise.all([
    getSignedUrl(
      bucket.s3,
      new PutObjectCommand({ Bucket: bucket.name, Key: key, ContentType: contentType }),
      {
        expiresIn: UPLOAD_SECONDS,
        signableHeaders: new Set(['content-type', 'host']),
      },
    ),
    createPresignedPost(bucket.s3, {
      Bucket: bucket.name,
      Key: key,
      Expires: UPLOAD_SECONDS,
      Fields: { 'Content-Type': contentType },
      Conditions: [
        [
          'content-length-range',
          1,
          Math.min(request.maxBytes ?? SINGLE_UPLOAD_BYTES_MAX, SINGLE_UPLOAD_BYTES_MAX),
        ],
      ],
    }),
  ]);
  return {
    job_id: jobId,
    key,
    expires_at: new Date(now.getTime() + UPLOAD_SECONDS * 1000).toISOString(),
    put: { url, method: 'PUT', headers: { 'content-type': contentType } },
    post,
  };
}
