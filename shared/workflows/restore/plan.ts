import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { admittedRestoreKey, restorePlanKey, UPLOADS } from '../../aws/keys.ts';
import { NgbakError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { STORE_NAMES } from '../../core/store-names.ts';
import { Routes } from '../../profiles/routes-record.ts';
import type { LoadOptions as StoreOptions } from '../../stores/restore-leg.ts';
import type { Scopes } from '../../stores/scopes.ts';
import { DrillPlace } from '../drill/destination.ts';
import { RestoreOptions, RollbackRequest } from './request.ts';

/** One version of one object: what was inspected is what is loaded, whatever is uploaded meanwhile. */
export const ObjectVersion = z.object({
  bucket: z.string(),
  key: z.string(),
  version_id: z.string().optional(),
});
export type ObjectVersion = z.infer<typeof ObjectVersion>;

/** What a restore was asked for: `jobs/<job>/restore.json`, written once by its first step. */
export const AdmittedRestore = z.object({
  job_id: Id,
  target: Id,
  execution_arn: z.string(),
  created_at: z.iso.datetime(),
  /** Where the archive came from: an upload, or a catalogued backup. */
  source: ObjectVersion,
  backup_id: z.string().optional(),
  options: RestoreOptions,
  /** The stores that the request names, or every store that the target has. */
  stores: z.array(z.enum(STORE_NAMES)),
  /**
   * True where a safety backup is restored into its own target: into the scopes that it was saved from, whatever the
   * configuration says by now. Read from the catalog record, since an archive's manifest says what its author likes.
   */
  saved_scopes: z.boolean().optional(),
  /** Present in a drill: whose backup is restored, and where. */
  drill: DrillPlace.optional(),
  /** The restore that this one rolls back. */
  rollback_of: Id.optional(),
  /** The restore whose deferred relationships this one attaches. */
  attach_of: Id.optional(),
  /** True where the request carried the operator's confirmation. */
  confirmed: z.boolean(),
  requested_by: z.string().optional(),
});
export type AdmittedRestore = z.infer<typeof AdmittedRestore>;

/** What an inspection resolves of a restore; part of its record. An operator may request one with other options. */
export const ResolvedRestore = z.object({
  options: RestoreOptions,
  /** The stores that archive and target have in common, of those that were asked for. */
  stores: z.array(z.enum(STORE_NAMES)),
  /** The seekable archive that is loaded: the source itself, or its normalized copy. */
  archive: ObjectVersion,
  /** Where the data of each store goes, and under which names. */
  routes: Routes,
});
export type ResolvedRestore = z.infer<typeof ResolvedRestore>;

/**
 * What a restore does: `jobs/<job>/plan.json`, written once when it takes the lock of its target. Every later step reads
 * this record only.
 */
export const RestorePlan = AdmittedRestore.extend({
  ...ResolvedRestore.shape,
  /** Whether the target is saved before it is touched. */
  safety: z.enum(['taken', 'declined by the request', 'not for a rollback', 'not for a drill']),
  /** When it took the lock; plans of earlier versions do not say. */
  begun_at: z.iso.datetime().optional(),
});
export type RestorePlan = z.infer<typeof RestorePlan>;

/** What becomes of relationships that lead out of the archive; see `RestoreOptions`. */
export function danglingOf({
  options,
  routes,
}: Pick<ResolvedRestore, 'options' | 'routes'>): 'prune' | 'stitch' | 'defer' {
  if (options.dangling !== undefined) return options.dangling;
  const [renamed] = Object.entries(routes.graph?.names ?? {});
  return renamed && renamed[0] !== renamed[1] ? 'prune' : 'stitch';
}

/** How the stores are to treat what the target holds. */
export function storeOptions(plan: Pick<ResolvedRestore, 'options' | 'routes'>): StoreOptions {
  return {
    // What `if_empty` refuses is refused before; an empty scope is then replaced.
    mode: plan.options.mode === 'merge' ? 'merge' : 'replace',
    onConflict: plan.options.on_conflict,
    dangling: danglingOf(plan) === 'prune' ? 'prune' : 'stitch',
  };
}

/** Which part of each server a restore works on. */
export function scopesOf({ routes }: Pick<ResolvedRestore, 'routes'>): Scopes {
  return Object.fromEntries(Object.entries(routes).map(([name, { scope }]) => [name, scope]));
}

/** Reads what a restore was asked for. */
export function readAdmitted(bucket: Bucket, jobId: string): Promise<AdmittedRestore> {
  return bucket.requireRecord(
    admittedRestoreKey(jobId),
    AdmittedRestore,
    'It is written by the first step of the restore: restore again.',
  );
}

/** Reads what a restore was asked for; undefined for other jobs, and before its first step. */
export async function findAdmitted(bucket: Bucket, jobId: string): Promise<AdmittedRestore | undefined> {
  return (await bucket.readRecord(admittedRestoreKey(jobId), AdmittedRestore))?.value;
}

/**
 * Reads the plan of a restore; undefined for one that has not begun. Restores that a deployment from before `plan.json`
 * began have the whole plan in `restore.json`.
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

/** The part of EventBridge's "Object Created" event of S3 that we use. The key is not URL-encoded. */
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

/**
 * The upload that an event reports, with its key as ngbak knows it; undefined for other inputs. An upload into another bucket
 * keeps its key: it is refused by name.
 */
export function uploadOf(bucket: Bucket, input: unknown): UploadEvent | undefined {
  const event = UploadEvent.safeParse(input).data;
  if (!event) return undefined;
  const { detail } = event;
  const key = detail.bucket.name === bucket.name ? bucket.ownKey(detail.object.key) : detail.object.key;
  if (!key?.startsWith(UPLOADS)) return undefined;
  return { ...event, detail: { ...detail, object: { ...detail.object, key } } };
}

/** The upload that an execution was started by, read from its input; undefined for other inputs. */
export function uploadOfInput(bucket: Bucket, input: string | null | undefined): UploadEvent | undefined {
  return uploadOf(bucket, parsed(input));
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
export function jobIdsOfInput(bucket: Bucket, input: string | null | undefined): string[] {
  const event = uploadOfInput(bucket, input);
  if (!event) return [];
  const { requested, byHand } = jobIdsOfUpload(event);
  return requested === undefined ? [byHand] : [requested, byHand];
}
