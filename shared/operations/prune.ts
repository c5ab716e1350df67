import { z } from 'zod';
import { catalogKey } from '../aws/keys.ts';
import {
  ArchiveStorage,
  inClassSince,
  type ListedStorage,
  minimumOf,
  regionOf,
} from '../catalog/archive-storage.ts';
import { objectLock } from '../catalog/head-archive.ts';
import { readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { planRetention, type RetainedBackup } from '../catalog/retention/plan.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { describeError, InvalidInputError, NgbakError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { RetentionPolicy } from '../core/retention-policy.ts';
import type { OperationsContext } from './context.ts';
import { deleteBackup } from './delete-backup.ts';
import { backupsInUse } from './in-use.ts';
import { showRetention } from './retention.ts';

export const PruneInput = z.strictObject({
  /** If true, nothing is deleted. */
  dry_run: z.boolean().default(true),
  /** Only this target. */
  target: Id.optional(),
  /** Default: the policy in effect, if the caller knows it. */
  policy: RetentionPolicy.optional(),
});
export type PruneInput = z.infer<typeof PruneInput>;

export const Pruned = z.object({
  dry_run: z.boolean(),
  policy: RetentionPolicy,
  backups: z.array(
    z.object({
      backup_id: z.string(),
      target: z.string(),
      action: z.enum(['keep', 'drop']),
      reasons: z.array(z.string()),
      /** Size of the archive. */
      bytes: z.number(),
      /** The minimum duration of its storage class, if that has not passed: S3 bills it in any case. */
      minimum: ArchiveStorage.shape.minimum,
      deleted: z.boolean(),
      /** Why a backup that was to be deleted still exists. */
      error: z.string().optional(),
    }),
  ),
  /** The bytes freed or, in a dry run, to be freed. */
  bytes_freed: z.number(),
  /** What S3 bills in any case for minimum durations of the backups that are or were to be deleted, in USD; estimated. */
  early_deletion_usd: z.number().optional(),
  unreadable: z.array(z.object({ backup_id: z.string(), problem: z.string() })),
});
export type Pruned = z.infer<typeof Pruned>;

type Candidate = RetainedBackup & Pick<Pruned['backups'][number], 'bytes' | 'minimum'>;

/**
 * Applies the retention rules to each backup, explains each decision, and unless it is a dry run, deletes the backups
 * that no rule keeps. Idempotent. A backup that can't be deleted is reported and does not prevent the rest.
 */
export async function prune(context: OperationsContext, input: PruneInput): Promise<Pruned> {
  const { bucket } = context;
  const policy = input.policy ?? (await showRetention(context)).policy;
  if (!policy) {
    // A default could delete backups that the deployment's own policy keeps.
    throw new InvalidInputError('The retention policy of the deployment is unknown.', {
      remedy: 'State what to keep, for example `--keep-last 7 --keep-monthly 12`.',
    });
  }
  const candidates = new Map<string, Candidate>();
  const unreadable: Pruned['unreadable'] = [];
  const entries = await catalogEntries(bucket);
  const storages = new Map(entries.map(({ id, storage }) => [id, storage]));
  const region = await regionOf(bucket);
  const now = new Date();
  const minimumFor = (summary: BackupSummary, storage: ListedStorage | undefined) => {
    if (storage === undefined) return undefined;
    const since = inClassSince(summary, storage.storage_class, context.config?.transitions);
    return minimumOf(storage.storage_class, { bytes: summary.bytes, since, now, region });
  };
  for await (const { id, listed, problem } of readListed(bucket, entries, { keep: !input.dry_run })) {
    if (listed === undefined) {
      unreadable.push({ backup_id: id, problem });
    } else if (input.target === undefined || listed.summary.target === input.target) {
      const { backup_id, target, stores, only, created_at, retention, verification, bytes, good } =
        listed.summary;
      candidates.set(backup_id, {
        backup_id,
        target,
        stores,
        ...(only === undefined ? {} : { only }),
        created_at,
        retention,
        verified: verification.state === 'verified',
        good,
        bytes,
        minimum: minimumFor(listed.summary, storages.get(id)),
      });
    }
  }
  const inUse = await backupsInUse(context);
  const decide = (protectedBy: ReadonlyMap<string, string>) =>
    planRetention([...candidates.values()], policy, now, protectedBy);
  const locked = await locksOf(context, decide(inUse));
  const backups: Pruned['backups'] = [];
  let freed = 0;
  let early = 0;
  for (const decision of decide(new Map([...inUse, ...locked]))) {
    const { bytes = 0, minimum } = candidates.get(decision.backup_id) ?? {};
    const report = {
      ...decision,
      reasons: [...decision.reasons],
      bytes,
      ...(minimum === undefined ? {} : { minimum }),
    };
    if (decision.action === 'drop') early += minimum?.usd ?? 0;
    if (decision.action === 'keep' || input.dry_run) {
      if (decision.action === 'drop') freed += bytes;
      backups.push({ ...report, deleted: false });
      continue;
    }
    try {
      freed += (await deleteBackup(context, decision.backup_id)).bytes_freed;
      backups.push({ ...report, deleted: true });
    } catch (error) {
      if (!(error instanceof NgbakError)) throw error;
      backups.push({ ...report, deleted: false, error: describeError(error) });
    }
  }
  const early_deletion_usd = early === 0 ? {} : { early_deletion_usd: early };
  return { dry_run: input.dry_run, policy, backups, bytes_freed: freed, ...early_deletion_usd, unreadable };
}

/** Of the backups to be deleted, those that S3 would refuse to delete. */
async function locksOf(
  { bucket }: OperationsContext,
  decisions: ReturnType<typeof planRetention>,
): Promise<Map<string, string>> {
  const locked = new Map<string, string>();
  for (const { backup_id, action } of decisions) {
    if (action === 'keep') continue;
    const record = (await bucket.readRecord(catalogKey(backup_id), CatalogRecord))?.value;
    const lock = record && (await objectLock(bucket, record));
    if (lock !== undefined) locked.set(backup_id, lock);
  }
  return locked;
}
