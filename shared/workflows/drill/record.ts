import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { DRILLS, drillKey } from '../../aws/keys.ts';
import { TalliesRecord } from '../../catalog/record.ts';
import { BackupWarning } from '../../catalog/warnings.ts';
import { describeError, InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import { STORE_NAMES } from '../../core/store-names.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { DrillPlace } from './destination.ts';

/** Phases of a drill whose times are measured, in their order. */
export const DRILL_PHASES = ['inspect', 'load', 'verify', 'remove'] as const;

/** A smoke question that both sides were asked. */
const ComparedSmoke = z.object({
  question: z.string(),
  /** What the target answered before the drill. */
  target: z.string(),
  /** What the restored copy answered; absent if it was not asked, for the reason in `target`. */
  drill: z.string().optional(),
  same: z.boolean(),
});

const DrilledStore = z.object({
  kind: z.string(),
  /** Version of the server, and of the one that was saved, if the archive states it. */
  version: z.string(),
  saved_version: z.string().optional(),
  /** Counts in the archive. */
  in_archive: z.record(z.string(), z.number()),
  /** Counts and digests of what was loaded, and of what was then read back. */
  loaded: TalliesRecord,
  read_back: TalliesRecord,
  /** True if every record was read back. */
  verified: z.boolean(),
  /** Records that differ from the archive, with samples. */
  differences: z.number().int().nonnegative(),
  samples: z.array(z.object({ thing: z.string(), problem: z.string() })),
  smoke: z.array(ComparedSmoke),
  /** False while something that the drill has created is still there. */
  removed: z.boolean(),
});

/**
 * What one drill has proved: `drills/<job>.json`, written once at its end, however it ended. No rule of the bucket removes it.
 */
export const DrillRecord = z.object({
  drill_version: z.literal(1),
  job_id: Id,
  /** `passed`: all of the backup was restored, read back and found equal, and everything was removed. */
  verdict: z.enum(['passed', 'failed', 'cancelled']),
  /** The target whose backup was restored. */
  target: Id,
  /** Where it was restored: a configured target, under scratch names or as it is. */
  destination: DrillPlace.omit({ of: true }).extend({ target: Id }),
  started_at: z.iso.datetime(),
  finished_at: z.iso.datetime(),
  /** From the start to the end of the verification, in seconds; absent if it was not verified. */
  restore_seconds: z.number().nonnegative().optional(),
  requested_by: z.string().optional(),
  backup_id: z.string().optional(),
  archive: z
    .object({
      bytes: z.number(),
      entries: z.number(),
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
  /** How long each phase took: from the first store that began to the last one that ended. */
  phases: z.array(z.object({ phase: z.enum(DRILL_PHASES), seconds: z.number().nonnegative() })),
  /** By store: the limit of the load, in uncompressed bytes a second. */
  load_bytes_per_second: z.partialRecord(z.enum(STORE_NAMES), z.number()),
  stores: z.partialRecord(z.enum(STORE_NAMES), DrilledStore),
  /** References in the restored copy. */
  references: z.array(ReferenceCount),
  /** What is not the same on both sides, in words. Data that changed since the backup is a usual reason. */
  differences: z.array(z.string()),
  warnings: z.array(BackupWarning),
  /** What the inspection reported. */
  notes: z.array(z.string()),
  error: z.object({ name: z.string(), message: z.string() }).optional(),
});
export type DrillRecord = z.infer<typeof DrillRecord>;

/** Records read for a list at most. */
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
      // One record that somebody spoiled must not hide the others.
      if (!(error instanceof InvalidInputError)) throw error;
      yield { id, problem: describeError(error) };
    }
  }
}
