import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { DRILLS, drillKey } from '../../aws/keys.ts';
import { TalliesRecord } from '../../catalog/record.ts';
import { BackupWarning } from '../../catalog/warnings.ts';
import { describeError, InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { byStore } from '../../core/store-name.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { DrillPlace } from './destination.ts';

/** Phases of a drill that are timed, in order. */
export const DRILL_PHASES = ['thaw', 'inspect', 'rehearse', 'load', 'verify', 'remove'] as const;

/** A smoke check that was run against both the target and the restored copy. */
const ComparedSmoke = z.object({
  question: z.string(),
  /** The target's answer before the drill. */
  target: z.string(),
  /** The restored copy's answer. Absent if it was not queried; `target` then states why. */
  drill: z.string().optional(),
  same: z.boolean(),
});

const DrilledStore = z.object({
  kind: z.string(),
  /** Version of the server, and of the source server if the archive states it. */
  version: z.string(),
  saved_version: z.string().optional(),
  /** Counts in the archive. */
  in_archive: z.record(z.string(), z.number()),
  /** Counts and digests of the loaded records, and of the records read back. */
  loaded: TalliesRecord,
  read_back: TalliesRecord,
  /** Of a rehearsal: counts and digests of the records that the restore function has parsed. Absent until then. */
  parsed: TalliesRecord.optional(),
  /** True if every record was read back. */
  verified: z.boolean(),
  /** Records that differ from the archive, with samples. */
  differences: z.number().int().nonnegative(),
  samples: z.array(z.object({ thing: z.string(), problem: z.string() })),
  smoke: z.array(ComparedSmoke),
  /** False while anything created by the drill still exists. */
  removed: z.boolean(),
});

/**
 * The result of one drill: `drills/<job>.json`, written once at the end of the drill, whatever its outcome. No
 * lifecycle rule of the bucket removes it.
 */
export const DrillRecord = z.object({
  drill_version: z.literal(1),
  job_id: Id,
  /** `rehearsal`: the archive was read, inspected and parsed in the functions that would restore it. Nothing was written. */
  kind: z.enum(['drill', 'rehearsal']).default('drill'),
  /**
   * `passed`: the whole backup was restored, read back and found equal, and everything was removed. For a rehearsal: the
   * whole archive was verified, its target could load it, and every record was parsed.
   */
  verdict: z.enum(['passed', 'failed', 'cancelled']),
  /** The target whose backup was restored. */
  target: Id,
  /** The destination: a configured target, under scratch names or under its own. A rehearsal has inspected the target. */
  destination: DrillPlace.omit({ of: true, or_rehearse: true }).extend({ target: Id }),
  started_at: z.iso.datetime(),
  finished_at: z.iso.datetime(),
  /** Seconds from the start to the end of the verification. Absent if it was not verified. */
  restore_seconds: z.number().nonnegative().optional(),
  requested_by: z.string().optional(),
  backup_id: z.string().optional(),
  archive: z
    .object({
      bytes: z.number(),
      entries: z.number(),
      /** Uncompressed bytes of its entries. */
      uncompressed_bytes: z.number().optional(),
      /** The manifest's `checksum`. */
      checksum: z.string(),
      created_at: z.string(),
      ngbak_version: z.string().optional(),
      system_version: z.string().optional(),
      /** True if the backup is of a subset. */
      partial: z.boolean(),
    })
    .optional(),
  ngbak_version: z.string(),
  /** Duration of each phase: from the first store that started it to the last one that finished. */
  phases: z.array(z.object({ phase: z.enum(DRILL_PHASES), seconds: z.number().nonnegative() })),
  /** By store: the rate limit of the load, in uncompressed bytes per second. */
  load_bytes_per_second: byStore(z.number()),
  stores: byStore(DrilledStore),
  /** References in the restored copy. */
  references: z.array(ReferenceCount),
  /** Differences between the target and the copy, as text. Often the data has changed since the backup. */
  differences: z.array(z.string()),
  warnings: z.array(BackupWarning),
  /** Notes of the inspection. */
  notes: z.array(z.string()),
  error: z.object({ name: z.string(), message: z.string() }).optional(),
});
export type DrillRecord = z.infer<typeof DrillRecord>;

/** Maximum number of records that a list reads. */
const READ_MAX = 1000;

/** A record, or why it can't be read. */
export type ListedDrill =
  | { readonly id: string; readonly drill: DrillRecord; readonly problem?: undefined }
  | { readonly id: string; readonly drill?: undefined; readonly problem: string };

/** The record of a drill; undefined if there is none. */
export async function readDrill(bucket: Bucket, jobId: string): Promise<DrillRecord | undefined> {
  return (await bucket.readRecord(drillKey(jobId), DrillRecord))?.value;
}

/** The records of drills, newest first; at most the newest 1,000. */
export async function* readDrills(bucket: Bucket): AsyncGenerator<ListedDrill> {
  const found: { id: string; modified: number }[] = [];
  for await (const { key, modified } of bucket.keys(DRILLS)) {
    const id = key.endsWith('.json') ? key.slice(DRILLS.length, -'.json'.length) : '';
    if (Id.safeParse(id).success) found.push({ id, modified: modified?.getTime() ?? 0 });
  }
  found.sort((a, b) => b.modified - a.modified || (a.id < b.id ? 1 : -1));
  for (const { id } of found.slice(0, READ_MAX)) {
    try {
      const drill = await readDrill(bucket, id);
      if (drill) yield { id, drill };
    } catch (error) {
      // One corrupt record must not hide the others.
      if (!(error instanceof InvalidInputError)) throw error;
      yield { id, problem: describeError(error) };
    }
  }
}
