import { z } from 'zod';
import { CatalogRecord } from '../catalog/record.ts';

/** One backup in a list: what an operator chooses by, without the tallies of the full record. */
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
}).extend({
  /** Size of the archive in bytes. */
  bytes: z.number(),
  /** Uncompressed bytes for each second of the backup. */
  bytes_per_second: z.number(),
  checksum: z.string(),
  consistency: CatalogRecord.shape.consistency.shape.grade,
});
export type BackupSummary = z.infer<typeof BackupSummary>;

/** The summary of a record. */
export function summarize(record: CatalogRecord): BackupSummary {
  const { archive, consistency, duration_seconds, uncompressed_bytes } = record;
  const optional = <Key extends 'only' | 'note' | 'retention' | 'requested_by'>(key: Key) =>
    record[key] === undefined ? {} : { [key]: record[key] };
  return {
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
    tags: record.tags,
    ...optional('only'),
    ...optional('note'),
    ...optional('retention'),
    ...optional('requested_by'),
  };
}
