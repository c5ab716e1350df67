import { z } from 'zod';
import { SAFETY_TAG } from '../catalog/request.ts';
import { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { allowedAges } from './backup-age.ts';
import type { OperationsContext } from './context.ts';
import { allBackups } from './good-backups.ts';

/** How far back the history goes, in days. */
const HISTORY_DAYS = 90;
/** Backups in the history: each is about 200 bytes as JSON. */
const HISTORY_MAX = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export const Overview = z.object({
  /** Every target that is configured or has backups. */
  targets: z.array(
    z.object({
      target: z.string(),
      backups: z.number().int(),
      /** Bytes of its archives. */
      bytes: z.number(),
      /** Backups that a verification found damaged. */
      damaged: z.number().int(),
      /** Backups with a warning that nobody has acknowledged. */
      with_warnings: z.number().int(),
      newest: BackupSummary.optional(),
      /** The newest one of every store, good or not, that is not the safety backup of a restore. */
      newest_full: BackupSummary.optional(),
      /**
       * The newest good one that holds every store: verified, with records, not suspiciously small, and not the safety
       * backup of a restore, which holds what the restore was to repair.
       */
      newest_good: BackupSummary.optional(),
      /** How old it may be, in hours: from the schedules of the target. Health and the alarm use the same. */
      allowed_age_hours: z.number(),
    }),
  ),
  /** The backups of the last 90 days, newest first; the newest 1,000 at most. */
  history: z.array(
    BackupSummary.pick({
      backup_id: true,
      target: true,
      created_at: true,
      type: true,
      duration_seconds: true,
      bytes: true,
    }).extend({ verified: z.boolean(), state: BackupSummary.shape.state }),
  ),
  /** How many catalog records could not be read. */
  unreadable: z.number().int(),
});
export type Overview = z.infer<typeof Overview>;

/** What is there to come back from: for each target the newest good backup, storage used, and the history of 90 days. */
export async function overview(
  context: Pick<OperationsContext, 'bucket' | 'config' | 'scheduler'>,
  now = Date.now(),
): Promise<Overview> {
  const targets = new Map<string, Overview['targets'][number]>();
  const allowed = await allowedAges(context);
  const of = (target: string) => {
    const allowed_age_hours = allowed(target) / HOUR_MS;
    const nothing = { backups: 0, bytes: 0, damaged: 0, with_warnings: 0, allowed_age_hours };
    const known = targets.get(target) ?? { target, ...nothing };
    targets.set(target, known);
    return known;
  };
  for (const name of context.config ? backedUpTargets(context.config) : []) of(name);
  const history: Overview['history'] = [];
  let unreadable = 0;
  for await (const { listed } of allBackups(context)) {
    if (!listed) {
      unreadable++;
      continue;
    }
    const { summary } = listed;
    const { backup_id, target, created_at, type, duration_seconds, bytes, tags } = summary;
    const verified = summary.verification.state === 'verified';
    const known = of(target);
    known.backups++;
    known.bytes += bytes;
    if (!verified) known.damaged++;
    if (summary.state === 'complete_with_warnings') known.with_warnings++;
    known.newest ??= summary;
    if (type === 'full' && !tags.includes(SAFETY_TAG)) known.newest_full ??= summary;
    if (type === 'full' && summary.good) known.newest_good ??= summary;
    if (history.length < HISTORY_MAX && now - Date.parse(created_at) < HISTORY_DAYS * DAY_MS) {
      history.push({
        backup_id,
        target,
        created_at,
        type,
        duration_seconds,
        bytes,
        verified,
        state: summary.state,
      });
    }
  }
  return { targets: [...targets.values()], history, unreadable };
}
