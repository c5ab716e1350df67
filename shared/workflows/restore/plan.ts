import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { admittedRestoreKey, restorePlanKey, UPLOADS } from '../../aws/keys.ts';
import { NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { AnyJson } from '../../core/input.ts';
import { SignatureText } from '../../core/signature.ts';
import { ThawRequest } from '../../core/storage-class.ts';
import { StoreList } from '../../core/store-name.ts';
import { Routes } from '../../profiles/routes-record.ts';
import type { LoadOptions as StoreOptions } from '../../stores/restore-leg.ts';
import type { Scopes } from '../../stores/scopes.ts';
import { DrillPlace } from '../drill/destination.ts';
import { RestoreOptions, RollbackRequest } from './request.ts';

/** One version of one object, so that exactly the inspected object is loaded, regardless of later uploads. */
export const ObjectVersion = z.object({
  bucket: z.string(),
  key: z.string(),
  version_id: z.string().optional(),
});
export type ObjectVersion = z.infer<typeof ObjectVersion>;

/** The admitted request of a restore: `jobs/<job>/restore.json`, written once by its first step. */
export const AdmittedRestore = z.object({
  job_id: Id,
  target: Id,
  execution_arn: z.string(),
  created_at: z.iso.datetime(),
  /** The archive: an upload, or a catalogued backup. */
  source: ObjectVersion,
  backup_id: z.string().optional(),
  options: RestoreOptions,
  /** The stores that the request names, or every store of the target. */
  stores: StoreList,
  /**
   * True if a safety backup is restored into its own target: into the scopes that it was saved from, even if the
   * configuration has changed since. Read from the catalog record, because the author of an archive controls its
   * manifest.
   */
  saved_scopes: z.boolean().optional(),
  /** Set for a drill: source target and destination. */
  drill: DrillPlace.optional(),
  /** The restore that this one rolls back. */
  rollback_of: Id.optional(),
  /** The restore whose deferred relationships this one attaches. */
  attach_of: Id.optional(),
  /** The scope of the graph that it wrote to, from its plan. */
  attach_scope: AnyJson.optional(),
  /** Whether and how an archive in cold storage is thawed first. */
  thaw: ThawRequest.optional(),
  /** The signature of an upload, base64. */
  signature: SignatureText.optional(),
  /** True if the request included the operator's confirmation. */
  confirmed: z.boolean(),
  requested_by: z.string().optional(),
});
export type AdmittedRestore = z.infer<typeof AdmittedRestore>;

/**
 * The parts of a restore that an inspection resolves, stored in its record. An operator may request another inspection
 * with other options.
 */
export const ResolvedRestore = z.object({
  options: RestoreOptions,
  /** The requested stores that both archive and target have. */
  stores: StoreList,
  /** The seekable archive that is loaded: the source itself, or its normalized copy. */
  archive: ObjectVersion,
  /** The destination of each store's data, and the names there. */
  routes: Routes,
  /** Of a drill: its destination, which may have become that of a rehearsal. Absent in records of earlier versions. */
  drill: DrillPlace.optional(),
});
export type ResolvedRestore = z.infer<typeof ResolvedRestore>;

/**
 * The plan of a restore: `jobs/<job>/plan.json`, written once when it takes the lock of its target. Later steps read
 * only this record.
 */
export const RestorePlan = AdmittedRestore.extend({
  ...ResolvedRestore.shape,
  /** Whether a safety backup is taken. */
  safety: z.enum(['taken', 'declined by the request', 'not for a rollback', 'not for a drill']),
  /** When it took the lock. Absent in plans of earlier versions. */
  begun_at: z.iso.datetime().optional(),
});
export type RestorePlan = z.infer<typeof RestorePlan>;

/** How dangling relationships are treated; see `RestoreOptions`. */
export function danglingOf({
  options,
  routes,
}: Pick<ResolvedRestore, 'options' | 'routes'>): 'prune' | 'stitch' | 'defer' {
  if (options.dangling !== undefined) return options.dangling;
  const [renamed] = Object.entries(routes.graph?.names ?? {});
  return renamed && renamed[0] !== renamed[1] ? 'prune' : 'stitch';
}

/** How the stores treat existing records of the target. */
export function storeOptions(plan: Pick<ResolvedRestore, 'options' | 'routes'>): StoreOptions {
  return {
    // `if_empty` has already been enforced. An empty scope is then replaced.
    mode: plan.options.mode === 'merge' ? 'merge' : 'replace',
    onConflict: plan.options.on_conflict,
    dangling: danglingOf(plan) === 'prune' ? 'prune' : 'stitch',
  };
}

/** The scope of each store that a restore works on. */
export function scopesOf({ routes }: Pick<ResolvedRestore, 'routes'>): Scopes {
  return Object.fromEntries(Object.entries(routes).map(([name, { scope }]) => [name, scope]));
}

/** Reads the admitted request of a restore. */
export function readAdmitted(bucket: Bucket, jobId: string): Promise<AdmittedRestore> {
  return bucket.requireRecord(
    admittedRestoreKey(jobId),
    AdmittedRestore,
    'It is written by the first step of the restore: restore again.',
  );
}

/** Reads the admitted request of a restore. Undefined for other jobs, and before its first step. */
export async function findAdmitted(bucket: Bucket, jobId: string): Promise<AdmittedRestore | undefined> {
  return (await bucket.readRecord(admittedRestoreKey(jobId), AdmittedRestore))?.value;
}

/**
 * Reads the plan of a restore. Undefined if it has not begun. Restores that a version before `plan.json` began have the
 * whole plan in `restore.json`.
 */
export async function findRestorePlan(bucket: Bucket, jobId: string): Promise<RestorePlan | undefined> {
  const plan = (await bucket.readRecord(restorePlanKey(jobId), RestorePlan))?.value;
  if (plan) return plan;
  return RestorePlan.safeParse((await bucket.readRecord(admittedRestoreKey(jobId), z.json()))?.value).data;
}

/** Reads the plan of a restore that has begun. */
export async function readRestorePlan(bucket: Bucket, jobId: string): Promise<RestorePlan> {
  const plan = await findRestorePlan(bucket, jobId);
  if (plan) return plan;
  throw new NgbakError(
    `Restore ${jobId} has no plan: it has not begun, or began while ngbak was being deployed.`,
    {
      remedy: 'No store was written to. Restore again.',
    },
  );
}

/** EventBridge's "Object Created" event of S3: the fields that ngbak uses. The key is not URL-encoded. */
export const UploadEvent = z.object({
  'detail-type': z.literal('Object Created'),
  detail: z.object({
    bucket: z.object({ name: z.string() }),
    object: z.object({
      key: z.string(),
      size: z.number().optional(),
      etag: z.string().optional(),
      'version-id': z.string().optional(),
    }),
  }),
});
export type UploadEvent = z.infer<typeof UploadEvent>;

/**
 * The jobs that an upload may belong to: the one named by its folder and, if that is not a requested job, the job of a
 * manual upload. The id of the latter is derived from the object's version, so that a repeated event yields the same
 * id.
 */
export function jobIdsOfUpload(event: UploadEvent): { requested: string | undefined; byHand: string } {
  const { bucket, object } = event.detail;
  const folder = object.key.slice(UPLOADS.length).split('/')[0] ?? '';
  const requested = object.key.slice(UPLOADS.length).includes('/') && Id.safeParse(folder).success;
  const version = object['version-id'] ?? object.etag ?? '';
  const hash = createHash('sha256').update(`${bucket.name}/${object.key}/${version}`).digest('hex');
  return { requested: requested ? folder : undefined, byHand: `upload_${hash.slice(0, 16)}` };
}

/**
 * The upload that an event reports, with its key relative to the deployment's prefix. Undefined for other inputs. An
 * upload into another bucket keeps its key, and is refused with an error that names it.
 */
export function uploadOf(bucket: Bucket, input: unknown): UploadEvent | undefined {
  const event = UploadEvent.safeParse(input).data;
  if (!event) return undefined;
  const { detail } = event;
  const key = detail.bucket.name === bucket.name ? bucket.ownKey(detail.object.key) : detail.object.key;
  if (!key?.startsWith(UPLOADS)) return undefined;
  return { ...event, detail: { ...detail, object: { ...detail.object, key } } };
}

/** The upload that started an execution, read from its input. Undefined for other inputs. */
export function uploadOfInput(bucket: Bucket, input: string | null | undefined): UploadEvent | undefined {
  return uploadOf(bucket, parsed(input));
}

/** The restore that an execution rolls back, read from its input. Undefined for other inputs. */
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
 * The ids that the job of an execution may have, read from its input: for an upload, the requested job and the job of a
 * manual upload. Empty for other inputs, whose job is named after the execution.
 */
export function jobIdsOfInput(bucket: Bucket, input: string | null | undefined): string[] {
  const event = uploadOfInput(bucket, input);
  if (!event) return [];
  const { requested, byHand } = jobIdsOfUpload(event);
  return requested === undefined ? [byHand] : [requested, byHand];
}
