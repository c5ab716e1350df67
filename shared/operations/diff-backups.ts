import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { comparisonId, stagingPrefix, VERIFICATIONS } from '../aws/keys.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import type { Json } from '../core/json.ts';
import { StoreList, StoreName } from '../core/store-name.ts';
import { comparisonOf } from '../stores/comparison/archives.ts';
import { compareHere } from '../stores/comparison/compare-here.ts';
import type { StoresLeg } from '../stores/comparison/compare-stores.ts';
import { ComparedStore } from '../stores/comparison/result.ts';
import { StagedRuns } from '../stores/comparison/run-store.ts';
import { compareLeg } from '../workflows/job/compare-leg.ts';
import { openBackup } from './contents.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';

/** Longest time that a comparison of two backups may take, in seconds. */
const SECONDS_MAX = 24 * 60 * 60;

export const DiffInput = z.strictObject({
  /** The backup that is compared with the one in the path: what it has more is added. */
  to: Id,
  /** Only these stores. Default: all that one of the backups has. The configuration has no records. */
  stores: StoreList.min(1).optional(),
});

/** One leg of a comparison of two backups, for callers with limited time: repeat the call with `cursor` until `done`. */
export const BackupDiff = z.object({
  /** The older state, and its time. */
  backup_id: z.string(),
  created_at: z.iso.datetime({ offset: true }),
  /** The newer state, and its time. */
  to: z.string(),
  to_created_at: z.iso.datetime({ offset: true }),
  done: z.boolean(),
  /** Where the next leg continues. Null once the comparison is done. */
  cursor: z.json(),
  /** The store that is being compared, and how many of its records were read, of both backups. */
  progress: z.object({ store: StoreName, records: z.number(), total: z.number() }).optional(),
  /** What differs, by store: `before` is the backup in the path, `after` the other one. Complete once `done`. */
  stores: z.array(ComparedStore),
});
export type BackupDiff = z.infer<typeof BackupDiff>;

/** Where a comparison continues. Its state is stored in the bucket. */
const DiffCursor = z.strictObject({ diff: Id.startsWith(VERIFICATIONS), leg: z.int().positive() });

/** Time limit of one leg. */
export interface DiffLeg extends Omit<StoresLeg, 'state' | 'progress'> {
  /** The cursor that the previous leg returned. Null for the first one. */
  readonly cursor: Json;
  /** Called with the number of records read, of both backups. */
  progress?(records: number, total: number): void;
}

/**
 * Compares two backups record by record: what was added, changed and removed from the first to the second. Reads the
 * archives only: no store, and no secret of one. Resumable. A caller without a time limit keeps the intermediate files
 * on its own disk, others in the bucket.
 */
export async function diffBackups(
  context: OperationsContext,
  backupId: string,
  { to, stores }: z.infer<typeof DiffInput>,
  leg: DiffLeg,
): Promise<BackupDiff> {
  const { bucket } = context;
  const records = await Promise.all([backupId, to].map((id) => readCatalogued(context, id)));
  const [before, after] = await Promise.all(records.map(({ value }) => openBackup(context, value)));
  if (!before || !after) throw new TypeError('an archive is missing');
  const comparison = { ...comparisonOf(before, after, stores), secondsMax: SECONDS_MAX };
  let progress: BackupDiff['progress'];
  const limits: Omit<StoresLeg, 'state'> = {
    timeLeft: () => leg.timeLeft(),
    signal: leg.signal,
    progress: (store: StoreName, read: number, total: number) => {
      progress = { store, records: read, total };
      leg.progress?.(read, total);
    },
  };
  const result = (found: { cursor: Json; stores: readonly ComparedStore[] }): BackupDiff => ({
    backup_id: before.manifest.backup_id,
    created_at: before.manifest.created_at,
    to: after.manifest.backup_id,
    to_created_at: after.manifest.created_at,
    done: found.cursor === null,
    cursor: found.cursor,
    ...(progress === undefined || found.cursor === null ? {} : { progress }),
    stores: [...found.stores],
  });
  if (leg.cursor === null && !Number.isFinite(leg.timeLeft())) {
    return result({ cursor: null, stores: await compareHere(comparison, limits) });
  }
  const at =
    leg.cursor === null
      ? { diff: comparisonId(randomUUID()), leg: 0 }
      : parseInput(DiffCursor, leg.cursor, 'The cursor of the comparison', 'Start it again.');
  const staged = { ...comparison, runs: (store: StoreName) => new StagedRuns(bucket, at.diff, store) };
  const compared = await compareLeg(bucket, at.diff, at.leg, staged, limits);
  if (!compared.done) {
    return result({ cursor: { diff: at.diff, leg: at.leg + 1 }, stores: compared.stores });
  }
  await bucket.removeAll(stagingPrefix(at.diff));
  return result({ cursor: null, stores: compared.stores });
}
