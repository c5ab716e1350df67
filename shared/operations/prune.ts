import { z } from 'zod';
import { catalogKey } from '../aws/keys.ts';
import { objectLock } from '../catalog/head-archive.ts';
import { readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { planRetention, type RetainedBackup } from '../catalog/retention/plan.ts';
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
      deleted: z.boolean(),
      /** Why a backup that was to be deleted still exists. */
      error: z.string().optional(),
    }),
  ),
  /** The bytes freed or, in a dry run, to be freed. */
  bytes_freed: z.number(),
  unreadable: z.array(z.object({ backup_id: z.string(), problem: z.string() })),
});
export type Pruned = z.infer<typeof Pruned>;

type Candidate = RetainedBackup & { readonly bytes: number };

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
      });
    }
  }
  const inUse = await backupsInUse(context);
  const now = new Date();
  const decide = (protectedBy: ReadonlyMap<string, string>) =>
    planRetention([...candidates.values()], policy, now, protectedBy);
  const locked = await locksOf(context, decide(inUse));
  const backups: Pruned['backups'] = [];
  let freed = 0;
  for (const decision of decide(new Map([...inUse, ...locked]))) {
    const bytes = candidates.get(decision.backup_id)?.bytes ?? 0;
    const report = { ...decision, reasons: [...decision.reasons], bytes };
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
  return { dry_run: input.dry_run, policy, backups, bytes_freed: freed, unreadable };
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
