import { z } from 'zod';
import type { CatalogRecord } from './record.ts';
import { recordCounts } from './record-counts.ts';
import { pairsOf } from './tags.ts';

/** Fields derived from a catalog record, under the names that inventories and other tools expect. */
export const BackupMetadata = z.object({
  /** Number of nodes, relationships, points and keys. */
  record_count: z.number().int(),
  /** Number of files of a files store. */
  file_count: z.number().int(),
  /** Whether the backup contains files, in addition to keys or instead of them. */
  includes_files: z.boolean(),
  storage_type: z.literal('s3'),
  /** Storage class of the archive: the recorded one in lists, the current one where a single backup is shown. */
  storage_class: z.string(),
  /** `s3://` address of the archive. */
  storage_path: z.string(),
  /** Tags of the form `key=value`, by key. */
  tag_pairs: z.record(z.string(), z.string()),
});
export type BackupMetadata = z.infer<typeof BackupMetadata>;

/** Number of records and files in tallies or counts of several stores. */
export function countContents(stores: Readonly<Record<string, Parameters<typeof recordCounts>[0]>>): {
  records: number;
  files: number;
} {
  let records = 0;
  let files = 0;
  for (const counted of Object.values(stores)) {
    const counts = recordCounts(counted);
    // Keys inside files are counted for statistics, but are part of these files.
    const isFiles = counts.files !== undefined;
    for (const [name, count] of Object.entries(counts)) {
      if (name === 'files') files += count;
      else if (!isFiles) records += count;
    }
  }
  return { records, files };
}

/** @param bucket  name of the archive's bucket */
export function metadataOf(
  {
    tallies,
    archive,
    tags,
    storage_class,
  }: Pick<CatalogRecord, 'tallies' | 'tags' | 'storage_class'> & {
    readonly archive: Pick<CatalogRecord['archive'], 'key'>;
  },
  bucket: string,
): BackupMetadata {
  const { records, files } = countContents(tallies);
  return {
    record_count: records,
    file_count: files,
    includes_files: Object.values(tallies).some((counted) => counted.files !== undefined),
    storage_type: 's3',
    storage_class: storage_class ?? 'STANDARD',
    storage_path: `s3://${bucket}/${archive.key}`,
    tag_pairs: pairsOf(tags),
  };
}
