import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { admittedRestoreKey, inspectionKey } from '../../aws/keys.ts';
import { Id } from '../../core/ids.ts';
import { SignatureCheck } from '../../core/signature.ts';
import { StoreName } from '../../core/store-name.ts';
import { roleOf } from '../../core/store-names.ts';
import { Subset } from '../../core/subset.ts';
import { SystemEvidence } from '../../core/system-evidence.ts';
import { ReferenceCount } from '../../profiles/reference-count.ts';
import { ComparedStore } from '../../stores/comparison/result.ts';
import { SettingDifference } from '../../stores/config/compare.ts';
import { SmokeAnswer } from './answer.ts';
import { ResolvedRestore } from './plan.ts';

/** The findings of an inspection. */
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
    /** Uncompressed bytes of its entries. Absent in inspections of earlier versions. */
    uncompressed_bytes: z.number().optional(),
    checksum: z.string(),
    /** The source target of the backup, if the archive states it. */
    origin: z.string().optional(),
    /** The subset of the target that the archive holds, unless it holds all of these stores. */
    only: Subset.optional(),
    /** True if it had to be rewritten into a seekable archive first. */
    normalized: z.boolean(),
    /** What an older or foreign format does not state, as text. */
    lacks: z.array(z.string()),
    /** Version of ngbak that wrote it, and of the GraphRAG system, if the archive states them. */
    ngbak_version: z.string().optional(),
    system_version: z.string().optional(),
    /** What its data reveals about the version of the GraphRAG system. */
    system_evidence: SystemEvidence.optional(),
    /** Absent if the deployment does not use signatures and the request did not require one. */
    signature: SignatureCheck.optional(),
  }),
  stores: z.array(
    z.object({
      store: StoreName,
      kind: z.string(),
      version: z.string(),
      /** Version of the source server, if the archive states it. */
      saved_version: z.string().optional(),
      /** Counts by tally name in the archive, and in the target as it is now. */
      archive: z.record(z.string(), z.number()),
      target: z.record(z.string(), z.number()),
      warnings: z.array(z.string()),
      /** Differences between destination and archive: names, and omitted parts. As text. */
      changes: z.array(z.string()).default([]),
      /** Smoke checks, which are repeated after the restore, with their current answers. */
      smoke: z.array(SmokeAnswer).default([]),
      /** Estimated space that the load requires on the server, and the free space, if the server reports it. */
      room: z
        .object({
          of: z.enum(['disk', 'memory']),
          needed_bytes: z.number(),
          free_bytes: z.number().optional(),
          /** Present if the server reports its size, but not its free space. */
          total_bytes: z.number().optional(),
        })
        .optional(),
      /** What prevents loading the archive here. */
      problems: z.array(z.string()),
    }),
  ),
  /**
   * Settings of the GraphRAG system that differ between archive and target, with secrets masked. Absent if nothing
   * differs, or if the archive has no configuration.
   */
  configuration: z.object({ differences: z.array(SettingDifference), total: z.number().int() }).optional(),
  /**
   * What a restore would change, record by record: `before` is the target as it is now, `after` the archive. Present if
   * it was requested and no problem was found. With the mode `merge`, records that only the target has are kept.
   */
  comparison: z.object({ mode: z.enum(['replace', 'merge']), stores: z.array(ComparedStore) }).optional(),
  /** References between stores: where they lead, and how many are dangling. */
  references: z.array(ReferenceCount).default([]),
  warnings: z.array(z.string()),
  problems: z.array(z.string()),
});
export type Inspection = z.infer<typeof Inspection>;

/**
 * The record of an inspection: `jobs/<job>/inspection.json`, overwritten by each inspection of the job. `resolved` is
 * absent from the records of versions before `plan.json`, which stored it in `restore.json`.
 */
export const InspectionRecord = Inspection.extend({ resolved: ResolvedRestore.optional() });
export type InspectionRecord = z.infer<typeof InspectionRecord>;

/** Reads the findings of the newest inspection of a job. Undefined if there was none. */
export async function findInspection(bucket: Bucket, jobId: string): Promise<InspectionRecord | undefined> {
  return (await bucket.readRecord(inspectionKey(jobId), InspectionRecord))?.value;
}

/** Reads the findings of the newest inspection of a job. */
export function readInspection(bucket: Bucket, jobId: string): Promise<InspectionRecord> {
  return bucket.requireRecord(inspectionKey(jobId), InspectionRecord, 'Restore again.');
}

/** Reads what the newest inspection of a job has resolved. */
export async function readResolved(bucket: Bucket, jobId: string): Promise<ResolvedRestore> {
  const { resolved } = await readInspection(bucket, jobId);
  return resolved ?? bucket.requireRecord(admittedRestoreKey(jobId), ResolvedRestore, 'Restore again.');
}

/**
 * The counts of what a restore loads into a store, by tally name. Undefined if they are unknown: the archive states
 * counts for each collection and namespace, but not for a label or a prefix.
 */
export function countsToLoad(
  { store, archive }: Pick<Inspection['stores'][number], 'store' | 'archive'>,
  only: Subset | undefined,
): Readonly<Record<string, number>> | undefined {
  const role = roleOf(store);
  const isCut = role === 'graph' ? only?.label : role === 'kv' ? only?.key_prefixes : undefined;
  return isCut === undefined ? archive : undefined;
}
