import { z } from 'zod';
import { allBackups } from '../catalog/good-backups.ts';
import { SAFETY_TAG } from '../catalog/request.ts';
import { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import type { AgeSchedule } from '../schedules/age.ts';
import { allowedAges, readableSchedules } from './backup-age.ts';
import type { OperationsContext } from './context.ts';

/** Length of the history in days. */
const HISTORY_DAYS = 90;
/** Maximum number of backups in the history. Each takes about 200 bytes as JSON. */
const HISTORY_MAX = 1000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

type Context = Pick<OperationsContext, 'bucket' | 'config' | 'scheduler'>;

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
      /** Backups with an unacknowledged warning. */
      with_warnings: z.number().int(),
      newest: BackupSummary.optional(),
      /** The newest backup that contains every store, good or not, except for safety backups of restores. */
      newest_full: BackupSummary.optional(),
      /**
       * The newest good backup that contains every store: verified, with records, not suspiciously small, and not the
       * safety backup of a restore, which holds the data that the restore was meant to replace.
       */
      newest_good: BackupSummary.optional(),
      /** Its maximum age in hours, from the schedules of the target. Also used by health and the alarm. */
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
  /** Number of catalog records that could not be read. */
  unreadable: z.number().int(),
});
export type Overview = z.infer<typeof Overview>;

/** An overview with what only metrics need. */
export interface CatalogState {
  readonly overview: Overview;
  /** The newest good backup of each target and type, in the order of the catalog. */
  readonly newestGood: readonly BackupSummary[];
}

/**
 * An overview of the available backups: for each target the newest good backup and the storage used, and the history of
 * 90 days.
 */
export async function overview(context: Context, now?: number): Promise<Overview> {
  return (await readCatalogState(context, await readableSchedules(context.scheduler), now)).overview;
}

/** Reads the catalog once. */
export async function readCatalogState(
  context: Context,
  schedules: readonly AgeSchedule[],
  now = Date.now(),
): Promise<CatalogState> {
  const targets = new Map<string, Overview['targets'][number]>();
  const allowed = allowedAges(context, schedules);
  const of = (target: string) => {
    const allowed_age_hours = allowed(target) / HOUR_MS;
    const nothing = { backups: 0, bytes: 0, damaged: 0, with_warnings: 0, allowed_age_hours };
    const known = targets.get(target) ?? { target, ...nothing };
    targets.set(target, known);
    return known;
  };
  for (const name of context.config ? backedUpTargets(context.config) : []) of(name);
  const history: Overview['history'] = [];
  const newestGood = new Map<string, BackupSummary>();
  let unreadable = 0;
  for await (const { listed } of allBackups(context.bucket)) {
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
    const kind = `${target} ${type}`;
    if (summary.good && !newestGood.has(kind)) newestGood.set(kind, summary);
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
  return {
    overview: { targets: [...targets.values()], history, unreadable },
    newestGood: [...newestGood.values()],
  };
}
