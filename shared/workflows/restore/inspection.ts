import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { admittedRestoreKey, inspectionKey } from '../../aws/keys.ts';
import { Id } from '../../core/ids.ts';
import { STORE_NAMES } from '../../core/store-names.ts';
import { Subset } from '../../core/subset.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { SettingDifference } from '../../stores/config/compare.ts';
import { SmokeAnswer } from './answer.ts';
import { ResolvedRestore } from './plan.ts';

/** What the inspection of a restore found. */
export const Inspection = z.object({
  job_id: Id,
  target: Id,
  inspected_at: z.iso.datetime(),
  archive: z.object({
    backup_id: z.string(),
    created_at: z.string(),
    /** Size of the upload in bytes. */
    bytes: z.number(),
    entries: z.number(),
    /** Uncompressed bytes of its entries; inspections of earlier versions do not say. */
    uncompressed_bytes: z.number().optional(),
    checksum: z.string(),
    /** The target that the backup was made from, where the archive says. */
    origin: z.string().optional(),
    /** The part of the target that the archive holds, where that is not all of these stores. */
    only: Subset.optional(),
    /** True where it had to be rewritten into a seekable archive first. */
    normalized: z.boolean(),
    /** What an older or foreign format does not say, in words. */
    lacks: z.array(z.string()),
    /** Version of ngbak that wrote it, and of the GraphRAG system, where the archive says. */
    ngbak_version: z.string().optional(),
    system_version: z.string().optional(),
  }),
  stores: z.array(
    z.object({
      store: z.enum(STORE_NAMES),
      kind: z.string(),
      version: z.string(),
      /** Version of the server that was saved, where the archive says. */
      saved_version: z.string().optional(),
      /** Counts by tally name in the archive, and in the target as it is now. */
      archive: z.record(z.string(), z.number()),
      target: z.record(z.string(), z.number()),
      warnings: z.array(z.string()),
      /** What is other at the destination than in the archive: names, and parts that are left out. In words. */
      changes: z.array(z.string()).default([]),
      /** Questions that are asked again after the restore, and the answers of now. */
      smoke: z.array(SmokeAnswer).default([]),
      /** What the load needs of the server, by estimate, and what is free there, where the server reports it. */
      room: z
        .object({
          of: z.enum(['disk', 'memory']),
          needed_bytes: z.number(),
          free_bytes: z.number().optional(),
          /** Where the server reports its size and not what is free. */
          total_bytes: z.number().optional(),
        })
        .optional(),
      /** What prevents loading the archive here. */
      problems: z.array(z.string()),
    }),
  ),
  /**
   * Settings of the GraphRAG system that are not the same in the archive and in the target, secrets masked; absent where
   * nothing differs, or the archive has no configuration.
   */
  configuration: z.object({ differences: z.array(SettingDifference), total: z.number().int() }).optional(),
  /** References between stores: how many lead where, and how many nowhere. */
  references: z.array(ReferenceCount).default([]),
  warnings: z.array(z.string()),
  problems: z.array(z.string()),
});
export type Inspection = z.infer<typeof Inspection>;

/**
 * The record of an inspection: `jobs/<job>/inspection.json`, written as a whole by each inspection of the job. What it resolves is
 * absent from the records of deployments before `plan.json`, which had it in `restore.json`.
 */
export const InspectionRecord = Inspection.extend({ resolved: ResolvedRestore.optional() });
export type InspectionRecord = z.infer<typeof InspectionRecord>;

/** Reads what the newest inspection of a job found; undefined if there was none. */
export async function findInspection(bucket: Bucket, jobId: string): Promise<InspectionRecord | undefined> {
  return (await bucket.readRecord(inspectionKey(jobId), InspectionRecord))?.value;
}

/** Reads what the newest inspection of a job found. */
export function readInspection(bucket: Bucket, jobId: string): Promise<InspectionRecord> {
  return bucket.requireRecord(inspectionKey(jobId), InspectionRecord, 'Restore again.');
}

/** Reads what the newest inspection of a job resolved. */
export async function readResolved(bucket: Bucket, jobId: string): Promise<ResolvedRestore> {
  const { resolved } = await readInspection(bucket, jobId);
  return resolved ?? bucket.requireRecord(admittedRestoreKey(jobId), ResolvedRestore, 'Restore again.');
}
