import { catalogKey } from '../aws/keys.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { type BackupDetails, detail } from '../catalog/summaries.ts';
import { readAcknowledged } from '../catalog/warnings.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { noSuchBackup } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';

/** What the catalog knows of a backup, with its assessment. Throws NotFoundError. */
export async function showBackup(context: OperationsContext, backupId: string): Promise<BackupDetails> {
  const { value } = await readCatalogued(context, backupId);
  return detail(value, await readAcknowledged(context.bucket));
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
