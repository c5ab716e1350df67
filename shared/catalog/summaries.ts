import { z } from 'zod';
import { BackupCopy } from '../core/copies.ts';
import { BackupMetadata, metadataOf } from './metadata.ts';
import { CatalogRecord } from './record.ts';
import { countRecords } from './record-counts.ts';
import { SAFETY_TAG } from './request.ts';
import { type Acknowledged, Acknowledgement, BackupWarning, isSuspicious, warningId } from './warnings.ts';

/** The assessment of a backup. It depends on warnings that were acknowledged after the backup. */
export const Assessment = z.object({
  /** `complete_with_warnings` while it has an unacknowledged warning. */
  state: z.enum(['complete', 'complete_with_warnings', 'damaged']),
  /** Number of unacknowledged warnings. */
  open_warnings: z.number().int(),
  /**
   * Whether it is suitable for recovering the target: verified, neither empty nor far smaller than expected, and not
   * the safety backup of a restore. Health, metrics, retention and the dashboard rely on this.
   */
  good: z.boolean(),
});
export type Assessment = z.infer<typeof Assessment>;

/** A copy as lists state it. */
const SummaryCopy = BackupCopy.pick({
  name: true,
  bucket: true,
  prefix: true,
  storage_class: true,
  state: true,
  at: true,
  verified_at: true,
  problem: true,
  attempts: true,
  next_attempt_at: true,
});

/** One backup in a list: the fields by which an operator chooses, without the tallies of the full record. */
export const BackupSummary = CatalogRecord.pick({
  backup_id: true,
  target: true,
  job_id: true,
  type: true,
  stores: true,
  only: true,
  created_at: true,
  completed_at: true,
  duration_seconds: true,
  uncompressed_bytes: true,
  statistics: true,
  verification: true,
  tags: true,
  note: true,
  retention: true,
  requested_by: true,
})
  .extend({
    /** The state of each copy in another bucket. Absent if none was configured. */
    copies: z.array(SummaryCopy).optional(),
    /** Size of the archive in bytes. */
    bytes: z.number(),
    /** Uncompressed bytes per second of the backup. */
    bytes_per_second: z.number(),
    checksum: z.string(),
    consistency: CatalogRecord.shape.consistency.shape.grade,
    /** Number of nodes, relationships, points, keys and files. */
    records: z.number().int(),
    /** Ids of its warnings, acknowledged or not. */
    warnings: z.array(z.string()),
  })
  .extend(BackupMetadata.shape)
  .extend(Assessment.shape);
export type BackupSummary = z.infer<typeof BackupSummary>;

/** All catalog data of one backup. */
export const BackupDetails = CatalogRecord.extend({
  warnings: z.array(
    BackupWarning.extend({
      id: z.string(),
      acknowledged: Acknowledgement.pick({ by: true, at: true, note: true }).optional(),
    }),
  ),
})
  .extend(BackupMetadata.shape)
  .extend(Assessment.shape);
export type BackupDetails = z.infer<typeof BackupDetails>;

/** Assesses a backup. This is the only definition of a good backup. */
export function assess(
  backup: Pick<BackupSummary, 'target' | 'verification' | 'tags' | 'records' | 'warnings'>,
  acknowledged: Acknowledged,
): Assessment {
  const open = backup.warnings.filter((id) => !acknowledged.find(backup.target, id));
  const damaged = backup.verification.state === 'damaged';
  const sound = !damaged && backup.records > 0 && !open.some(isSuspicious);
  return {
    state: damaged ? 'damaged' : open.length > 0 ? 'complete_with_warnings' : 'complete',
    open_warnings: open.length,
    good: sound && !backup.tags.includes(SAFETY_TAG),
  };
}

/**
 * The summary of a record.
 *
 * @param bucket  name of the archive's bucket
 */
export function summarize(record: CatalogRecord, acknowledged: Acknowledged, bucket: string): BackupSummary {
  const { archive, consistency, duration_seconds, uncompressed_bytes, warnings = [] } = record;
  const optional = <Key extends 'only' | 'note' | 'retention' | 'requested_by'>(key: Key) =>
    record[key] === undefined ? {} : { [key]: record[key] };
  const summary = {
    backup_id: record.backup_id,
    target: record.target,
    job_id: record.job_id,
    type: record.type,
    stores: record.stores,
    created_at: record.created_at,
    completed_at: record.completed_at,
    duration_seconds,
    uncompressed_bytes,
    bytes_per_second: duration_seconds > 0 ? Math.round(uncompressed_bytes / duration_seconds) : 0,
    bytes: archive.bytes,
    checksum: archive.checksum,
    consistency: consistency.grade,
    statistics: record.statistics,
    verification: record.verification,
    records: Object.values(record.tallies).reduce((sum, tallies) => sum + countRecords(tallies), 0),
    warnings: warnings.map(warningId),
    tags: record.tags,
    ...metadataOf(record, bucket),
    ...(record.copies === undefined ? {} : { copies: record.copies.map((copy) => SummaryCopy.parse(copy)) }),
    ...optional('only'),
    ...optional('note'),
    ...optional('retention'),
    ...optional('requested_by'),
  };
  return { ...summary, ...assess(summary, acknowledged) };
}

/** The record with its assessment, and for each warning the acknowledgement, if any. */
export function detail(record: CatalogRecord, acknowledged: Acknowledged, bucket: string): BackupDetails {
  const { state, open_warnings, good } = summarize(record, acknowledged, bucket);
  return {
    ...record,
    ...metadataOf(record, bucket),
    warnings: (record.warnings ?? []).map((warning) => {
      const id = warningId(warning);
      const found = acknowledged.find(record.target, id);
      if (!found) return { ...warning, id };
      const { by, at, note } = found;
      return { ...warning, id, acknowledged: { by, at, ...(note === undefined ? {} : { note }) } };
    }),
    state,
    open_warnings,
    good,
  };
}
