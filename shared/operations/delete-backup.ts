import { z } from 'zod';
import { archiveKey, catalogKey, signatureKey } from '../aws/keys.ts';
import { headArchive, objectLock } from '../catalog/head-archive.ts';
import { requireAllowed } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';
import { backupsInUse } from './in-use.ts';
import { readCatalogued } from './show-backup.ts';

export const Deletion = z.object({
  backup_id: z.string(),
  /** Total size of all versions of the archive, of its signature and of its record. */
  bytes_freed: z.number().int(),
});
export type Deletion = z.infer<typeof Deletion>;

/**
 * Deletes a backup permanently: every version of its archive and of its record. Throws RefusedError while a restore
 * needs it, while it is `permanent`, and under Object Lock. The record is deleted first, so that no new job uses the
 * backup, and is written again if the archive can't be deleted.
 *
 * @param inUse  the backups that running restores need, if the caller has just determined them
 */
export async function deleteBackup(
  context: OperationsContext,
  backupId: string,
  inUse?: ReadonlyMap<string, string>,
): Promise<Deletion> {
  const { bucket } = context;
  const { value: record, etag } = await readCatalogued(context, backupId);
  const { backup_id, retention } = record;
  requireAllowed('deleteBackup', { backup_id, retention });
  const use = (inUse ?? (await backupsInUse(context))).get(backup_id);
  const lock = use === undefined ? await objectLock(bucket, record) : undefined;
  requireAllowed('deleteBackup', { backup_id, use, lock });
  const archive = archiveKey(backup_id);
  const key = catalogKey(backup_id);
  let bytes = 0;
  for (const object of [archive, signatureKey(archive), key]) {
    for await (const { size } of bucket.versions(object)) bytes += size;
  }
  await bucket.removeRecord(key, etag);
  try {
    // The signature has the same beginning.
    await bucket.removeAll(archive);
  } catch (error) {
    if (await headArchive(bucket, record)) await bucket.writeRecord(key, record, { absent: true });
    throw error;
  }
  await bucket.removeAll(key);
  return { backup_id, bytes_freed: bytes };
}
