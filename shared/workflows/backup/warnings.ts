import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { exportWarningsKey, exportWarningsPrefix } from '../../aws/keys.ts';
import { StoreName } from '../../core/store-name.ts';
import type { ByStore } from '../../core/store-names.ts';
import { mergeWarnings, StoreWarning } from '../../stores/warning.ts';

/** The warnings of one leg of an export: `staging/<job>/warnings/<segment>.json`. */
const ExportWarnings = z.object({ store: StoreName, warnings: z.array(StoreWarning) });
type ExportWarnings = z.infer<typeof ExportWarnings>;

/**
 * Stores the warnings of a leg. Every leg writes a record, even without warnings, so that a repeated leg overwrites
 * that of its first attempt.
 */
export async function writeExportWarnings(
  bucket: Bucket,
  jobId: string,
  segment: string,
  record: ExportWarnings,
): Promise<void> {
  await bucket.writeRecord(exportWarningsKey(jobId, segment), record);
}

/** The warnings of all legs of all exports, merged by store. */
export async function readExportWarnings(bucket: Bucket, jobId: string): Promise<ByStore<StoreWarning[]>> {
  const merged: ByStore<StoreWarning[]> = {};
  for await (const { key } of bucket.keys(exportWarningsPrefix(jobId))) {
    const { store, warnings } = await bucket.requireRecord(key, ExportWarnings, 'Start a new backup.');
    merged[store] = mergeWarnings([merged[store] ?? [], warnings]);
  }
  return merged;
}
