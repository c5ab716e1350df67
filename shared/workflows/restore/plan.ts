import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { restorePlanKey, UPLOADS } from '../../aws/keys.ts';
import { Id } from '../../core/ids.ts';
import { STORE_NAMES } from '../../core/store-names.ts';
import { Routes } from '../../profiles/routes-record.ts';
import type { LoadOptions as StoreOptions } from '../../stores/restore-leg.ts';
import type { Scopes } from '../../stores/scopes.ts';
import { RestoreOptions, RollbackRequest } from './request.ts';

/** One version of one object: what was inspected is what is loaded, whatever is uploaded meanwhile. */
export const ObjectVersion = z.object({
  bucket: z.string(),
  key: z.string(),
  version_id: z.string().optional(),
});
export type ObjectVersion = z.infer<typeof ObjectVersion>;

/** What a restore is going to do: `jobs/<job>/restore.json`. */
export const RestorePlan = z.object({
  job_id: Id,
  target: Id,
  execution_arn: z.string(),
  created_at: z.iso.datetime(),
  /** Where the archive came from: an upload, or a catalogued backup. */
  source: ObjectVersion,
  /** The seekable archive that is loaded: the source itself, or its normalized copy. Set by the inspection. */
  archive: ObjectVersion.optional(),
  backup_id: z.string().optional(),
  options: RestoreOptions,
  /** The stores that are restored: those asked for, or every store that the target has. */
  stores: z.array(z.enum(STORE_NAMES)),
  /** Where the data of each store goes, and under which names. Set by the inspection. */
  routes: Routes.optional(),
  /** Whether the target is saved before it is touched; set when the restore begins to write. */
  safety: z.enum(['taken', 'declined by the request', 'not for a rollback']).optional(),
  /**
   * True where a safety backup is restored into its own target: into the scopes that it was saved from, whatever the
   * configuration says by now. Read from the catalog record, since an archive's manifest says what its author likes.
   */
  saved_scopes: z.boolean().optional(),
  /** The restore that this one rolls back. */
  rollback_of: Id.optional(),
  /** The restore whose deferred relationships this one attaches. */
  attach_of: Id.optional(),
  /** True where the request carried the operator's confirmation. */
  confirmed: z.boolean(),
  requested_by: z.string().optional(),
});
export type RestorePlan = z.infer<typeof RestorePlan>;

/** What becomes of relationships that lead out of the archive; see `RestoreOptions`. */
export function danglingOf({ options, routes }: RestorePlan): 'prune' | 'stitch' | 'defer' {
  if (options.dangling !== undefined) return options.dangling;
  const [renamed] = Object.entries(routes?.graph?.names ?? {});
  return renamed && renamed[0] !== renamed[1] ? 'prune' : 'stitch';
}

/** How the stores are to treat what the target holds. */
export function storeOptions(plan: RestorePlan): StoreOptions {
  return {
    // What `if_empty` refuses is refused before; an empty scope is then replaced.
    mode: plan.options.mode === 'merge' ? 'merge' : 'replace',
    onConflict: plan.options.on_conflict,
    dangling: danglingOf(plan) === 'prune' ? 'prune' : 'stitch',
  };
}

/** Which part of each server a restore works on. */
export function scopesOf(plan: RestorePlan): Scopes {
  return Object.fromEntries(Object.entries(plan.routes ?? {}).map(([name, { scope }]) => [name, scope]));
}

/** Reads a running restore's plan. */
export function readRestorePlan(bucket: Bucket, jobId: string): Promise<RestorePlan> {
  return bucket.requireRecord(
    restorePlanKey(jobId),
    RestorePlan,
    'The plan is written by the first step of the restore: upload the archive again.',
  );
}

/** The part of EventBridge's "Object Created" event of S3 that we use. The key is not URL-encoded. */
export const UploadEvent = z.object({
  'detail-type': z.literal('Object Created'),
  detail: z.object({
    bucket: z.object({ name: z.string() }),
    object: z.object({
      key: z.string().startsWith(UPLOADS),
      size: z.number().optional(),
      etag: z.string().optional(),
      'version-id': z.string().optional(),
    }),
  }),
});
export type UploadEvent = z.infer<typeof UploadEvent>;

/**
 * The job that an upload may belong to: the folder it was uploaded into. Where that is not a requested job, the job of an
 * upload made by hand, whose id is derived from the object's version, so that an event that comes twice names it twice.
 */
export function jobIdsOfUpload(event: UploadEvent): { requested: string | undefined; byHand: string } {
  const { bucket, object } = event.detail;
  const folder = object.key.slice(UPLOADS.length).split('/')[0] ?? '';
  const requested = object.key.slice(UPLOADS.length).includes('/') && Id.safeParse(folder).success;
  const version = object['version-id'] ?? object.etag ?? '';
  const hash = createHash('sha256').update(`${bucket.name}/${object.key}/${version}`).digest('hex');
  return { requested: requested ? folder : undefined, byHand: `upload_${hash.slice(0, 16)}` };
}

/** The upload that an execution was started by, read from its input; undefined for other inputs. */
export function uploadOfInput(input: string | null | undefined): UploadEvent | undefined {
  return UploadEvent.safeParse(parsed(input)).data;
}

/** The restore that an execution was started to roll back, read from its input; undefined for other inputs. */
export function rollbackOfInput(input: string | null | undefined): string | undefined {
  return RollbackRequest.safeParse(parsed(input)).data?.rollback_of;
}

function parsed(input: string | null | undefined): unknown {
  try {
    return JSON.parse(input ?? '');
  } catch {
    return undefined;
  }
}

/**
 * The ids that the job of an execution may have, read from the execution's input: for an upload the requested job and
 * the one made by hand; none for other inputs, whose job is named after the execution.
 */
export function jobIdsOfInput(input: string | null | undefined): string[] {
  const event = uploadOfInput(input);
  if (!event) return [];
  const { requested, byHand } = jobIdsOfUpload(event);
  return requested === undefined ? [byHand] : [requested, byHand];
}
