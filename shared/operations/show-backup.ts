import type { z } from 'zod';
import { catalogKey } from '../aws/keys.ts';
import { ArchiveStorage, archiveStorage } from '../catalog/archive-storage.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { BackupDetails, detail } from '../catalog/summaries.ts';
import { readAcknowledged } from '../catalog/warnings.ts';
import { NgbakError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { noSuchBackup } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';

/** A backup with the current location of its archive. */
export const BackupView = BackupDetails.extend({
  /** Where the archive is now. Absent if it does not exist, or cannot be looked at. */
  storage: ArchiveStorage.optional(),
});
export type BackupView = z.infer<typeof BackupView>;

/** The catalog record of a backup, with its assessment, and where its archive is. Throws NotFoundError. */
export async function showBackup(context: OperationsContext, backupId: string): Promise<BackupView> {
  const { bucket } = context;
  const { value } = await readCatalogued(context, backupId);
  const details = detail(value, await readAcknowledged(bucket), bucket.place);
  const storage = await storageOf(context, value);
  return storage === undefined ? details : { ...details, storage_class: storage.storage_class, storage };
}

/** Where the archive is, which lifecycle rules of the bucket may have changed. Undefined if S3 does not report it. */
async function storageOf(
  { bucket, config }: OperationsContext,
  record: CatalogRecord,
): Promise<ArchiveStorage | undefined> {
  try {
    return await archiveStorage(bucket, record, config?.transitions);
  } catch (error) {
    // Not essential: the record can still be shown, also to callers who may not read archives.
    if (error instanceof NgbakError) return undefined;
    throw error;
  }
}

/** The record with its ETag, for a conditional change. Throws NotFoundError. */
export async function readCatalogued(
  { bucket }: OperationsContext,
  backupId: string,
): Promise<{ value: CatalogRecord; etag: string }> {
  const id = parseInput(Id, backupId, 'The backup id');
  const found = await bucket.readRecord(catalogKey(id), CatalogRecord);
  if (!found) throw noSuchBackup(id);
  return found;
}
