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
import { SignatureText } from '../../core/signature.ts';
import { ThawRequest } from '../../core/storage-class.ts';
import { StoreList } from '../../core/store-name.ts';
import { type DrillPlace, isRehearsal } from '../drill/destination.ts';
import { createJob, readJob } from '../job/record.ts';
import { PARTS } from './parts.ts';
import { abortUpload, beginUpload, layoutOf, UploadLayout } from './upload-parts.ts';

/** Seconds within which a presigned upload, or that of one part, must begin. */
export const UPLOAD_SECONDS = 15 * 60;
/**
 * How long a job waits for its upload, in seconds. An upload that began in time continues after its URL has expired,
 * and 5 GiB take a day at half a megabit per second. Each part gets a new URL, for archives that take days.
 */
const WAIT_SECONDS = { whole: 24 * 60 * 60, parts: 7 * 24 * 60 * 60 } as const;
/** Largest object that one PUT or POST can upload, in bytes: a limit of S3. */
export const SINGLE_UPLOAD_BYTES_MAX = 5 * 1024 ** 3;

/** Longest time that a comparison of records may take, in seconds. */
const COMPARE_SECONDS_MAX = 6 * 60 * 60;

/** Options of a restore, whatever the source of its archive. */
export const RestoreOptions = z.strictObject({
  /**
   * `replace` clears the target's scope first; `merge` keeps existing records; `if_empty` refuses a target whose scope
   * holds records.
   */
  mode: z.enum(['replace', 'merge', 'if_empty']).default('replace'),
  /** The flag of NGRAF-023: `false` is equivalent to the mode `if_empty`, `true` to `replace`. */
  overwrite: z.boolean().optional(),
  /** With `merge`: the treatment of a record whose id exists in the target with different content. */
  on_conflict: z.enum(['keep', 'overwrite', 'fail']).default('fail'),
  /** Only these stores. Default: every store that both archive and target have. */
  stores: StoreList.min(1).optional(),
  ...PARTS,
  /**
   * Reads the graph of an NGRAF-023 archive from its Cypher script. Only statements that its exporter writes are
   * understood, and none are executed.
   */
  cypher_script: z.boolean().optional(),
  /**
   * Sets expiries on the keys of an NGRAF-023 archive, which states none: the defaults of NGRAF-023, counted from the
   * time of the backup or of the restore. Default: the keys do not expire.
   */
  default_expiries: z.enum(['from-backup', 'from-restore']).optional(),
  /** Allows `replace` to clear a store that holds records although the archive contains none for it. */
  allow_empty: z.boolean().optional(),
  /**
   * Compares the archive with the target record by record in the inspection: which records would be added, changed and
   * removed. Reads all of both.
   */
  compare: z.boolean().optional(),
  /** Seconds after which that comparison ends; stores that are not compared by then are compared by their counts. */
  compare_seconds: z.int().min(1).max(COMPARE_SECONDS_MAX).optional(),
  /** Refuses an archive without a valid signature of a known key. */
  require_signature: z.boolean().optional(),
  /** Ends after the inspection. */
  dry_run: z.boolean().default(false),
  /** Takes a safety backup of the target first, so that a failed restore can be rolled back. */
  safety_backup: z.boolean().default(true),
});
export type RestoreOptions = z.infer<typeof RestoreOptions>;

/**
 * The options of a drill. Its scope is empty, so there is nothing to save; if it contains data when the load starts, the
 * drill is refused. A rehearsal inspects the target as a restore that replaces its contents would.
 */
export function drillOptions(plan: { readonly drill: DrillPlace }): RestoreOptions {
  return RestoreOptions.parse({ mode: isRehearsal(plan) ? 'replace' : 'if_empty', safety_backup: false });
}

/**
 * The options with `overwrite` translated into a mode. Throws InvalidInputError if `overwrite` and `mode` contradict
 * each other.
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

/** Input of the restore workflow for a catalogued backup, as for `aws stepfunctions start-execution --input`. */
export const CatalogRestore = RestoreOptions.extend({
  backup_id: Id,
  /** Thaws an archive that is in cold storage, and waits for it. If absent, such an archive is refused. */
  thaw: ThawRequest.optional(),
  /** The configured target to restore into. Default: the source target of the backup. */
  target: Id.optional(),
  /**
   * The target's name, as the operator's confirmation. If absent, the workflow waits for confirmation after the
   * inspection.
   */
  confirm: z.string().optional(),
  requested_by: z.string().max(200).optional(),
});
export type CatalogRestore = z.infer<typeof CatalogRestore>;

/** Input of the restore workflow for attaching the relationships that an earlier restore deferred. */
export const AttachRequest = z.strictObject({
  /** Job of the restore that deferred them. */
  attach: Id,
  dry_run: z.boolean().default(false),
  safety_backup: z.boolean().default(true),
  /** The target's name, as the operator's confirmation. */
  confirm: z.string().optional(),
  requested_by: z.string().max(200).optional(),
});

/** Input of the restore workflow for rolling back a failed restore. */
export const RollbackRequest = z.strictObject({ rollback_of: Id });

/** The request that precedes an upload: `jobs/<job>/request.json`. */
export const UploadRequest = z.object({
  job_id: Id,
  target: Id,
  /** The only key whose upload starts this job. */
  key: z.string(),
  /** The user's file name. */
  file_name: z.string().max(255),
  options: RestoreOptions,
  confirmed: z.boolean(),
  /** The signature of the archive, base64. */
  signature: SignatureText.optional(),
  created_at: z.iso.datetime(),
  requested_by: z.string().optional(),
  /** Size of the archive, if known. */
  bytes: z.number().int().positive().optional(),
  /** The multipart upload in S3, if the archive is uploaded in parts. */
  multipart: UploadLayout.extend({ upload_id: z.string() }).optional(),
});
export type UploadRequest = z.infer<typeof UploadRequest>;

const Requested = z.object({
  job_id: Id,
  /** The object's key in S3, with the prefix of the deployment. */
  key: z.string(),
  /** When these URLs expire, ISO 8601. */
  expires_at: z.iso.datetime(),
  /** True if an earlier request with the same idempotency key had already created the job. */
  replayed: z.boolean(),
});

/** How to upload an archive in one request. The URLs are credentials: they must be given to the requester only. */
export const SingleUpload = Requested.extend({
  put: z.object({
    url: z.string(),
    method: z.literal('PUT'),
    headers: z.record(z.string(), z.string()),
  }),
  /** For HTML forms: every field precedes the field `file`. */
  post: z.object({ url: z.string(), fields: z.record(z.string(), z.string()) }),
});
export type SingleUpload = z.infer<typeof SingleUpload>;

/** How to upload an archive in parts. The URLs of the parts are requested separately. */
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

/**
 * A user's file name for display: the last part of its path, in any script, without terminal control characters and
 * without characters that change the direction of text.
 */
export function shownFileName(name: string): string {
  const base = name.split(/[\\/]/).at(-1) ?? '';
  return base.replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '').slice(0, 255);
}

/**
 * Whether `phrase` confirms a restore into `target`: it must be exactly the target's name. Throws if it is a different
 * name.
 */
export function isConfirmed(phrase: string | undefined, target: string): boolean {
  if (phrase === undefined) return false;
  if (phrase === target) return true;
  throw new InvalidInputError('The confirmation does not match the name of the target.', {
    remedy: `To confirm that target "${target}" may be overwritten, give its name.`,
  });
}

/** A restore that is requested before its archive is uploaded. */
export interface RestoreRequest {
  /** Name of the configured target. */
  readonly target: string;
  /** The user's file name. Only its sanitized last part is used in a key. */
  readonly fileName: string;
  readonly options?: z.input<typeof RestoreOptions>;
  /** The target's name, if the operator confirms in advance. */
  readonly confirm?: string | undefined;
  readonly requestedBy?: string | undefined;
  /** The signature of the archive, base64. */
  readonly signature?: string | undefined;
  /** Size of the archive. */
  readonly bytes?: number | undefined;
  /** Largest archive accepted, in bytes. */
  readonly maxBytes?: number | undefined;
  /** The job's id, if derived from an idempotency key. */
  readonly jobId?: string | undefined;
}

/**
 * Prepares a restore of an archive that will be uploaded in one request: records the request and its job, and presigns
 * the upload of exactly one key, as PUT and as form POST. Throws InvalidInputError; ConflictError if the job id belongs
 * to another request.
 */
export async function createRestoreRequest(bucket: Bucket, request: RestoreRequest): Promise<SingleUpload> {
  const max = Math.min(request.maxBytes ?? SINGLE_UPLOAD_BYTES_MAX, SINGLE_UPLOAD_BYTES_MAX);
  requireSize(request.bytes, max);
  const wanted = checkRequest(request);
  const { record, replayed } = await recordRequest(bucket, wanted);
  const addresses = await presignWhole(bucket, record.key, { bytes: request.bytes, max });
  return { job_id: record.job_id, key: bucket.fullKey(record.key), replayed, ...addresses };
}

/**
 * Like {@link createRestoreRequest}, for an archive that will be uploaded in parts: begins the multipart upload.
 * `bytes` is the size of the archive.
 */
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

/** Refuses an archive that exceeds the limit of the deployment or of one PUT. Throws InvalidInputError. */
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
    ...(request.signature === undefined ? {} : { signature: request.signature }),
  };
}

/** Records a request and its job, or finds the existing one of the same job id. */
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
  const isOpen = job === undefined || job.execution_arn !== undefined || !hasEnded(job.state);
  if (created || (replayed && isOpen)) return { record, replayed };
  throw new ConflictError(`There is a job ${record.job_id} already${job ? `, which is ${job.state}` : ''}.`, {
    remedy: 'Use another idempotency key.',
  });
}

/** Whether two requests are the same. Their times and the ids of their uploads in S3 may differ. */
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
  // The SDK also signs the checksum of an empty body, which servers other than S3 compare with the uploaded data.
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
    // Not affected by the client's middleware.
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
