import { catalogKey } from '../bucket/layout.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { Id } from '../ids.ts';
import { parseInput } from '../input.ts';
import type { OperationsContext } from './context.ts';
import { noSuchBackup } from './errors.ts';

/** The catalog record of a backup. Throws NotFoundError. */
export async function showBackup(context: OperationsContext, backupId: string): Promise<CatalogRecord> {
  return (await readCatalogued(context, backupId)).value;
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
