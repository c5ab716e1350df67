import { z } from 'zod';
import { BackupCopy } from '../core/copies.ts';
import { Id } from '../core/ids.ts';
import { Reading } from '../core/reading.ts';
import { ArchiveSignature } from '../core/signature.ts';
import { byStore, StoreList } from '../core/store-name.ts';
import { Subset } from '../core/subset.ts';
import { SystemEvidence } from '../core/system-evidence.ts';
import { ReferenceCount } from '../profiles/reference-count.ts';
import { Consistency } from './consistency.ts';
import { ReadRegions } from './read-region.ts';
import { Retention } from './request.ts';
import { BackupWarning } from './warnings.ts';

/** Counts and digests by tally name; see {@link ../core/digest.ts}. */
export const TalliesRecord = z.record(
  z.string(),
  z.object({ count: z.number().int().nonnegative(), digest: z.string().regex(/^[0-9a-f]{64}$/) }),
);

/**
 * The catalog record of a backup: `backups/<backup_id>.json`, created once, after the archive was verified. Only
 * `tags`, `note` and `retention` change later, `verification` when the backup is verified again, and `copies`. Listing
 * reads these records and never an archive.
 */
export const CatalogRecord = z.looseObject({
  record_version: z.literal(1),
  backup_id: Id,
  target: Id,
  job_id: Id,
  type: z.enum(['full', 'partial']),
  stores: StoreList,
  /** The requested subset of these stores. Absent if all of them were saved. */
  only: Subset.optional(),
  created_at: z.iso.datetime(),
  completed_at: z.iso.datetime(),
  archive: z.object({
    key: z.string(),
    /** Absent if the bucket has no versioning. */
    version_id: z.string().optional(),
    /** Size of the object in bytes. */
    bytes: z.number().int().positive(),
    /** Number of entries in the index. */
    entries: z.number().int().nonnegative(),
    codec: z.enum(['gzip', 'zstd']),
    /** S3's full-object CRC-32, base64. */
    crc32: z.string(),
    /** The manifest's `checksum`: SHA-256 over the sorted lines of `SHA256SUMS`. */
    checksum: z.string(),
  }),
  /** The signature of the archive. Absent if the deployment did not sign it. */
  signature: ArchiveSignature.optional(),
  /**
   * True if the record was rebuilt from an archive without a valid signature: nothing else confirms what its manifest
   * states.
   */
  unconfirmed: z.literal(true).optional(),
  /** Number of records and of files, and storage class and path. Absent in records of earlier versions. */
  record_count: z.number().int().nonnegative().optional(),
  file_count: z.number().int().nonnegative().optional(),
  includes_files: z.boolean().optional(),
  storage_type: z.literal('s3').optional(),
  storage_class: z.string().optional(),
  storage_path: z.string().optional(),
  /** Seconds from the start of the execution to this record. */
  duration_seconds: z.number().nonnegative(),
  /** Uncompressed bytes of all entries. */
  uncompressed_bytes: z.number().int().nonnegative(),
  statistics: z.record(z.string(), z.number()),
  tallies: z.record(z.string(), TalliesRecord),
  consistency: Consistency,
  /** By store: whether it was read or carried from an earlier backup. Absent in records of earlier versions. */
  readings: byStore(Reading).optional(),
  /**
   * By store: its data in the archive, as it was when it was last read, so that a later backup that carries it need not
   * read it again. Absent in records of earlier versions.
   */
  regions: ReadRegions.optional(),
  /** When the archive was last verified, and the result. */
  verification: z.object({
    state: z.enum(['verified', 'damaged']),
    at: z.iso.datetime(),
    /**
     * The stores whose data was not read then: S3 states the checksum of their copy that an earlier verification computed
     * from what it read, at `read_at` or later. Absent if every byte was read.
     */
    by_checksum: z.object({ stores: StoreList, read_at: z.iso.datetime() }).optional(),
    /** The errors found, if the state is `damaged`. */
    problems: z.array(z.string()).optional(),
  }),
  /** What was not saved, or needs attention. Absent in records of versions that did not store warnings. */
  warnings: z.array(BackupWarning).optional(),
  /** References between the stores of the archive. Absent if they were not counted. */
  references: z.array(ReferenceCount).optional(),
  /** Its copies in other buckets. Absent if none were configured. */
  copies: z.array(BackupCopy).optional(),
  ngbak_version: z.string(),
  /** Version of the GraphRAG system, if the target's configuration or its data states it. */
  system_version: z.string().optional(),
  /** What the data reveals about that version; absent if it reveals nothing. */
  system_evidence: SystemEvidence.optional(),
  tags: z.array(z.string()),
  note: z.string().optional(),
  retention: Retention.optional(),
  requested_by: z.string().optional(),
});
export type CatalogRecord = z.infer<typeof CatalogRecord>;
