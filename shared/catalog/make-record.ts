import { parseInput } from '../core/input.ts';
import { metadataOf } from './metadata.ts';
import { CatalogRecord } from './record.ts';

/** Facts about a verified backup. Undefined ones are omitted from its record. */
export interface BackupFacts {
  readonly backup_id: string;
  readonly target: string | undefined;
  readonly job_id: string | undefined;
  readonly type: string;
  readonly stores: readonly string[];
  readonly only: object | undefined;
  /** ISO 8601 in UTC, like all times. */
  readonly created_at: string;
  readonly completed_at: string;
  readonly verified_at: string;
  readonly by_checksum?: object | undefined;
  readonly archive: {
    readonly key: string;
    readonly version_id: string | undefined;
    readonly bytes: number | undefined;
    readonly entries: number;
    readonly codec: string;
    readonly crc32: string | undefined;
    readonly checksum: string;
  };
  readonly signature?: object | undefined;
  readonly unconfirmed?: true | undefined;
  readonly storage_class?: string | undefined;
  readonly uncompressed_bytes: number;
  readonly statistics: object;
  readonly tallies: object | undefined;
  readonly consistency: object | undefined;
  readonly readings?: object | undefined;
  readonly regions?: object | undefined;
  readonly warnings: readonly object[] | undefined;
  readonly references?: readonly object[] | undefined;
  readonly copies?: readonly object[] | undefined;
  readonly ngbak_version: string | undefined;
  readonly system_version: string | undefined;
  readonly system_evidence?: object | undefined;
  readonly tags: readonly string[];
  readonly note: string | undefined;
  readonly retention: string | undefined;
  readonly requested_by: string | undefined;
}

/**
 * Creates the catalog record of a backup. This is the only place that does so. Throws InvalidInputError if facts are
 * missing or invalid.
 *
 * @param bucket  name of the archive's bucket
 * @param source  origin of the facts, for the error
 */
export function makeRecord(
  { verified_at, by_checksum, ...facts }: BackupFacts,
  bucket: string,
  source: string,
  remedy: string,
): CatalogRecord {
  const seconds = (Date.parse(facts.completed_at) - Date.parse(facts.created_at)) / 1000;
  const fields = {
    record_version: 1,
    ...facts,
    ...(facts.warnings?.length === 0 ? { warnings: undefined } : {}),
    ...(facts.copies?.length === 0 ? { copies: undefined } : {}),
    duration_seconds: Math.max(0, seconds),
    verification: { state: 'verified', at: verified_at, by_checksum },
  };
  // The JSON round trip removes undefined fields.
  const record = parseInput(CatalogRecord, JSON.parse(JSON.stringify(fields)), source, remedy);
  const { tag_pairs: _, ...metadata } = metadataOf(record, bucket);
  return { ...record, ...metadata };
}
