import { catalogKey } from '../aws/keys.ts';
import { headArchive } from '../catalog/head-archive.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { type BackupDetails, detail } from '../catalog/summaries.ts';
import { readAcknowledged } from '../catalog/warnings.ts';
import { NgbakError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { noSuchBackup } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';

/** The catalog record of a backup, with its assessment. Throws NotFoundError. */
export async function showBackup(context: OperationsContext, backupId: string): Promise<BackupDetails> {
  const { bucket } = context;
  const { value } = await readCatalogued(context, backupId);
  const details = detail(value, await readAcknowledged(bucket), bucket.place);
  const storage_class = await storageClass(context, value);
  return storage_class === undefined ? details : { ...details, storage_class };
}

/**
 * The current storage class of the archive, which lifecycle rules of the bucket may have changed. Undefined if S3 does
 * not report it.
 */
async function storageClass(
  { bucket }: OperationsContext,
  record: CatalogRecord,
): Promise<string | undefined> {
  try {
    const head = await headArchive(bucket, record);
    // S3 omits the standard class.
    return head && (head.StorageClass ?? 'STANDARD');
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
