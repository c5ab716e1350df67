import { z } from 'zod';
import { archiveKey, catalogKey } from '../aws/keys.ts';
import { headArchive, objectLock } from '../catalog/head-archive.ts';
import { requireAllowed } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';
import { backupsInUse } from './in-use.ts';
import { readCatalogued } from './show-backup.ts';

export const Deletion = z.object({
  backup_id: z.string(),
  /** Bytes of every version of the archive and of its record. */
  bytes_freed: z.number().int(),
});
export type Deletion = z.infer<typeof Deletion>;

/**
 * Deletes a backup for good: every version of its archive and of its record. Refused (RefusedError) while a restore
 * needs it, while it is `permanent`, and under Object Lock. The record goes first, so that nobody starts to use what is
 * on its way out, and comes back where the archive can't be deleted.
 *
 * @param inUse  what running restores need, where the caller has just looked
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
  for (const object of [archive, key]) {
    for await (const { size } of bucket.versions(object)) bytes += size;
  }
  await bucket.removeRecord(key, etag);
  try {
    await bucket.removeAll(archive);
  } catch (error) {
    if (await headArchive(bucket, record)) await bucket.writeRecord(key, record, { absent: true });
    throw error;
  }
  await bucket.removeAll(key);
  return { backup_id, bytes_freed: bytes };
}
