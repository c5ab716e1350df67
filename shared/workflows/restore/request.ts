import { randomBytes } from 'node:crypto';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { z } from 'zod';
import { type Bucket, ConflictError } from '../../aws/bucket.ts';
import { restoreRequestKey, uploadPrefix } from '../../aws/keys.ts';
import { presignedUntil } from '../../aws/presign.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { isSameJson, parseInput } from '../../core/input.ts';
import { hasEnded } from '../../core/job-state.ts';
import { OBJECT_BYTES_MAX } from '../../core/limits.ts';
import { STORE_NAMES } from '../../core/store-names.ts';
import { createJob, readJob } from '../job/record.ts';
import { PARTS } from './parts.ts';
import { abortUpload, beginUpload, layoutOf, UploadLayout } from './upload-parts.ts';

/** How long a presigned upload, or that of one part, may begin, in seconds. */
export const UPLOAD_SECONDS = 15 * 60;
/**
 * How long a job waits for its upload, in seconds: one that began in time continues after its address has expired, and
 * 5 GiB take a day at half a megabit a second; parts get a new address each, for archives that take days.
 */
const WAIT_SECONDS = { whole: 24 * 60 * 60, parts: 7 * 24 * 60 * 60 } as const;
/** Largest object that one PUT or POST may carry, in bytes: a limit of S3. */
export const SINGLE_UPLOAD_BYTES_MAX = 5 * 1024 ** 3;

/** How a restore is to be done, whatever way its archive takes. */
export const RestoreOptions = z.strictObject({
  /**
   * `replace` empties the target's scope first; `merge` keeps what is there; `if_empty` refuses a target whose scope holds
   * records.
   */
  mode: z.enum(['replace', 'merge', 'if_empty']).default('replace'),
  /** The flag of NGRAF-023: `false` stands for the mode `if_empty`, `true` for `replace`. */
  overwrite: z.boolean().optional(),
  /** With `merge`: what happens to a record whose id exists in the target with other content. */
  on_conflict: z.enum(['keep', 'overwrite', 'fail']).default('fail'),
  /** Only these stores; left out: every store that both archive and target have. */
  stores: z.array(z.enum(STORE_NAMES)).min(1).optional(),
  ...PARTS,
  /**
   * Reads the graph of an archive of NGRAF-023 out of its Cypher script. Only what its exporter writes is understood, and
   * none of it is executed.
   */
  cypher_script: z.boolean().optional(),
  /**
   * Gives the keys of an archive of NGRAF-023, which states no expiries, those that NGRAF-023 sets by default, counted from
   * the time of the backup or from that of the restore. Left out: they do not expire.
   */
  default_expiries: z.enum(['from-backup', 'from-restore']).optional(),
  /** Lets `replace` clear a store that holds records, although the archive has none of it. */
  allow_empty: z.boolean().optional(),
  /** Ends after the inspection. */
  dry_run: z.boolean().default(false),
  /** Saves what the target holds before touching it, so that a failed restore can be rolled back. */
  safety_backup: z.boolean().default(true),
});
export type RestoreOptions = z.infer<typeof RestoreOptions>;

/**
 * The options with `overwrite` resolved into a mode. Throws InvalidInputError if `overwrite` and `mode` contradict each
 * other.
 */
export function resolveMode({ overwrite, ...options }: RestoreOptions): RestoreOptions {
  if (overwrite === undefined) return options;
  const { mode } = options;
  if (mode === 'merge' || (mode === 'if_empty' && overwrite)) {
    throw new InvalidInputError(`"overwrite": ${overwrite} contradicts "mode": "${mode}".`, {
      remedy:
        'Leave "overwrite" out: "mode" replaces it, and "on_conflict" applies to existing records in a merge.',
    });
  }
  return { ...options, mode: overwrite ? 'replace' : 'if_empty' };
}

/** Input of the restore workflow for a catalogued backup: what `aws stepfunctions start-execution --input` takes. */
export const CatalogRestore = RestoreOptions.extend({
  backup_id: Id,
  /** The configured target to restore into; left out: the one that the backup was made from. */
  target: Id.optional(),
  /** The target's name, as the operator's confirmation. Left out: the workflow waits for it after the inspection. */
  confirm: z.string().optional(),
  requested_by: z.string().max(200).optional(),
});
export type CatalogRestore = z.infer<typeof CatalogRestore>;

/** Input of the restore workflow that attaches the relationships which an earlier restore deferred. */
export const AttachRequest = z.strictObject({
  /** Job of the restore that kept them. */
  attach: Id,
  dry_run: z.boolean().default(false),
  safety_backup: z.boolean().default(true),
  /** The target's name, as the operator's confirmation. */
  confirm: z.string().optional(),
  requested_by: z.string().max(200).optional(),
});

/** Input of the restore workflow that puts a target back to what it was before a restore that failed. */
export const RollbackRequest = z.strictObject({ rollback_of: Id });

/** What somebody asked for before uploading: `jobs/<job>/request.json`. */
export const UploadRequest = z.object({
  job_id: Id,
  target: Id,
  /** The only key whose upload starts this job. */
  key: z.string(),
  /** The file's name as the user knows it. */
  file_name: z.string().max(255),
  options: RestoreOptions,
  confirmed: z.boolean(),
  created_at: z.iso.datetime(),
  requested_by: z.string().optional(),
  /** Size of the archive, where it is known. */
  bytes: z.number().int().positive().optional(),
  /** The multipart upload in S3, where the archive is to come in parts. */
  multipart: UploadLayout.extend({ upload_id: z.string() }).optional(),
});
export type UploadRequest = z.infer<typeof UploadRequest>;

const Requested = z.object({
  job_id: Id,
  /** The object's key in S3, with the prefix of the deployment. */
  key: z.string(),
  /** Until when these addresses take an upload, ISO 8601. */
  expires_at: z.iso.datetime(),
  /** True where an earlier request with the same idempotency key had made the job already. */
  replayed: z.boolean(),
});

/** Where and how to upload at once. The addresses are credentials: they go to the person who asked and nowhere else. */
export const SingleUpload = Requested.extend({
  put: z.object({
    url: z.string(),
    method: z.literal('PUT'),
    headers: z.record(z.string(), z.string()),
  }),
  /** For forms: every field goes before the field `file`. */
  post: z.object({ url: z.string(), fields: z.record(z.string(), z.string()) }),
});
export type SingleUpload = z.infer<typeof SingleUpload>;

/** How to upload in parts, whose addresses are asked for one by one. */
export const MultipartRequest = Requested.omit({ expires_at: true }).extend({ multipart: UploadLayout });
export type MultipartRequest = z.infer<typeof MultipartRequest>;

/**
 * Turns a user's file name into the last part of an object key: only letters, digits, `.`, `_` and `-`, at most 100
 * characters, ending in `.ngbak`. Throws InvalidInputError for another ending.
 */
export function sanitizeFileName(name: string): string {
  const base = name.split(/[\\/]/).at(-1) ?? '';
  if (!base.toLowerCase().endsWith('.ngbak')) {
    throw new InvalidInputError(`"${base.slice(0, 100)}" does not end in .ngbak.`, {
      remedy: 'Upload an archive created by ngbak, under a name that ends in .ngbak.',
    });
  }
  const baseName = base
    .slice(0, -'.ngbak'.length)
    .normalize('NFKD')
    .replaceAll(/[^a-zA-Z0-9._-]+/g, '-')
    .replaceAll(/^[.-]+/g, '')
    .slice(0, 94);
  return `${baseName || 'archive'}.ngbak`;
}

/** A user's file name to be shown: its last part, in any script, without what steers terminals or turns other text around. */
export function shownFileName(name: string): string {
  const base = name.split(/[\\/]/).at(-1) ?? '';
  return base.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '').slice(0, 255);
}

/** Whether `phrase` confirms a restore into `target`: it is the target's name, exactly. Throws where it is another. */
export function isConfirmed(phrase: string | undefined, target: string): boolean {
  if (phrase === undefined) return false;
  if (phrase === target) return true;
  throw new InvalidInputError('The confirmation does not match the name of the target.', {
    remedy: `To confirm that target "${target}" may be overwritten, give its name.`,
  });
}

/** A restore that is asked for before its archive is there. */
export interface RestoreRequest {
  /** Name of the configured target. */
  readonly target: string;
  /** The user's file name; only its sanitized last part becomes a part of a key. */
  readonly fileName: string;
  readonly options?: z.input<typeof RestoreOptions>;
  /** The target's name, where the operator confirms already now. */
  readonly confirm?: string | undefined;
  readonly requestedBy?: string | undefined;
  /** Size of the archive. */
  readonly bytes?: number | undefined;
  /** Largest archive accepted, in bytes. */
  readonly maxBytes?: number | undefined;
  /** The job's id, where an idempotency key decides it. */
  readonly jobId?: string | undefined;
}

/**
 * Prepares a restore of an archive that is still to be uploaded at once: records the request and its job, and presigns
 * the upload of exactly one key, as PUT and as form POST. Throws InvalidInputError; ConflictError where the job id is
 * that of another request.
 */
export async function createRestoreRequest(bucket: Bucket, request: RestoreRequest): Promise<SingleUpload> {
  const max = Math.min(request.maxBytes ?? SINGLE_UPLOAD_BYTES_MAX, SINGLE_UPLOAD_BYTES_MAX);
  requireSize(request.bytes, max);
  const wanted = checkRequest(request);
  const { record, replayed } = await recordRequest(bucket, wanted);
  const addresses = await presignWhole(bucket, record.key, { bytes: request.bytes, max });
  return { job_id: record.job_id, key: bucket.fullKey(record.key), replayed, ...addresses };
}

/** The same for an archive that comes in parts: begins the multipart upload. `bytes` is its size. */
export async function createPartsRequest(
  bucket: Bucket,
  request: RestoreRequest & { bytes: number },
): Promise<MultipartRequest> {
  requireSize(request.bytes, request.maxBytes ?? OBJECT_BYTES_MAX);
  const wanted = checkRequest(request);
  const layout = layoutOf(request.bytes);
  const upload_id = await beginUpload(bucket, wanted.key);
  const unused = () => abortUpload(bucket, { key: wanted.key, upload_id });
  const { record, replayed } = await recordRequest(bucket, {
    ...wanted,
    multipart: { ...layout, upload_id },
  }).catch(async (error) => {
    await unused();
    throw error;
  });
  if (replayed) await unused();
  return { job_id: record.job_id, key: bucket.fullKey(record.key), replayed, multipart: layout };
}

/** Refuses an archive that is larger than the deployment or one PUT accepts. Throws InvalidInputError. */
export function requireSize(bytes: number | undefined, max: number): void {
  if (bytes === undefined || bytes <= max) return;
  throw new InvalidInputError(`The archive has ${bytes} bytes; the limit is ${max}.`, {
    remedy:
      max === SINGLE_UPLOAD_BYTES_MAX
        ? 'Request "upload": "multipart".'
        : 'Restore fewer stores from it, or raise ngbak.uploadBytesMax in cdk.json.',
  });
}

function checkRequest(request: RestoreRequest): UploadRequest {
  const now = new Date().toISOString();
  const jobId =
    request.jobId ?? `restore_${now.slice(0, 19).replaceAll(':', '-')}Z_${randomBytes(4).toString('hex')}`;
  return {
    job_id: jobId,
    target: request.target,
    key: `${uploadPrefix(jobId)}${sanitizeFileName(request.fileName)}`,
    file_name: shownFileName(request.fileName),
    options: resolveMode(parseInput(RestoreOptions, request.options ?? {}, 'The restore request')),
    confirmed: isConfirmed(request.confirm, request.target),
    created_at: now,
    ...(request.requestedBy === undefined ? {} : { requested_by: request.requestedBy }),
    ...(request.bytes === undefined ? {} : { bytes: request.bytes }),
  };
}

/** Records a request and its job, or finds the one that was recorded for the same job id. */
async function recordRequest(
  bucket: Bucket,
  wanted: UploadRequest,
): Promise<{ record: UploadRequest; replayed: boolean }> {
  const key = restoreRequestKey(wanted.job_id);
  let record = wanted;
  try {
    await bucket.writeRecord(key, wanted, { absent: true });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    const found = await bucket.readRecord(key, UploadRequest);
    if (!found || !isSameRequest(found.value, wanted)) throw error;
    record = found.value;
  }
  const replayed = record !== wanted;
  const wait = record.multipart ? WAIT_SECONDS.parts : WAIT_SECONDS.whole;
  const created = await createJob(bucket, {
    job_id: record.job_id,
    kind: 'restore',
    target: record.target,
    state: 'pending',
    created_at: record.created_at,
    updated_at: record.created_at,
    upload: {
      file_name: record.file_name,
      ...(record.bytes === undefined ? {} : { bytes: record.bytes }),
      until: new Date(Date.parse(record.created_at) + wait * 1000).toISOString(),
    },
    ...(record.requested_by === undefined ? {} : { requested_by: record.requested_by }),
  });
  const job = created ? undefined : await readJob(bucket, record.job_id);
  const waits = job === undefined || job.execution_arn !== undefined || !hasEnded(job.state);
  if (created || (replayed && waits)) return { record, replayed };
  throw new ConflictError(`There is a job ${record.job_id} already${job ? `, which is ${job.state}` : ''}.`, {
    remedy: 'Use another idempotency key.',
  });
}

/** Whether two requests ask for the same; when they did, and the id of their upload in S3, may differ. */
function isSameRequest(one: UploadRequest, other: UploadRequest): boolean {
  const withoutTime = ({ created_at: _, multipart, ...rest }: UploadRequest) => ({
    ...rest,
    multipart: multipart !== undefined,
  });
  return isSameJson(withoutTime(one), withoutTime(other));
}

/** Signs the upload of a whole archive to one key. */
async function presignWhole(
  bucket: Bucket,
  Key: string,
  { bytes, max }: { bytes: number | undefined; max: number },
): Promise<Pick<SingleUpload, 'put' | 'post' | 'expires_at'>> {
  const { name: Bucket, s3 } = bucket;
  const contentType = 'application/octet-stream';
  const expires_at = await presignedUntil(s3, UPLOAD_SECONDS);
  const put = new PutObjectCommand({
    Bucket,
    Key,
    ContentType: contentType,
    ...(bytes === undefined ? {} : { ContentLength: bytes }),
  });
  // The SDK signs the checksum of an empty body along, which other servers than S3 hold against what is sent.
  put.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      delete headers['x-amz-checksum-crc32'];
      delete headers['x-amz-sdk-checksum-algorithm'];
      return next(args);
    },
    { step: 'build', priority: 'low' },
  );
  const [url, post] = await Promise.all([
    getSignedUrl(s3, put, {
      expiresIn: UPLOAD_SECONDS,
      signableHeaders: new Set(['content-type', 'host', 'content-length']),
    }),
    // Signed without the client's middleware.
    createPresignedPost(s3, {
      Bucket,
      Key: bucket.fullKey(Key),
      Expires: UPLOAD_SECONDS,
      Fields: { 'Content-Type': contentType },
      Conditions: [['content-length-range', bytes ?? 1, bytes ?? max]],
    }),
  ]);
  return { expires_at, put: { url, method: 'PUT', headers: { 'content-type': contentType } }, post };
}
