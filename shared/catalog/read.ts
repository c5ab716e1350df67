import type { Bucket } from '../aws/bucket.ts';
import { BACKUPS, catalogKey } from '../aws/keys.ts';
import { describeError, InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { mapOrdered } from '../core/ordered.ts';
import { type ListedStorage, listedStorage } from './archive-storage.ts';
import { CatalogRecord } from './record.ts';

/** Records read concurrently: enough to hide S3's latency, few enough to stay far below its request rates. */
const READS_AT_ONCE = 32;

/** One record of the catalog, or the reason why it could not be read: listings report the problem and continue. */
export type CatalogItem =
  | { readonly backupId: string; readonly record: CatalogRecord; readonly problem?: undefined }
  | { readonly backupId: string; readonly record?: undefined; readonly problem: string };

/** The ids of all catalogued backups, newest first: ids start with the time of their backup. Reads no record. */
export async function catalogIds(bucket: Bucket): Promise<string[]> {
  return (await catalogEntries(bucket)).map(({ id }) => id);
}

/** A backup in a listing of the bucket: the ETag of its record, and where its archive is. */
export interface CatalogEntry {
  readonly id: string;
  readonly etag: string;
  /** Absent if there is no archive. */
  readonly storage?: ListedStorage;
}

/** Like {@link catalogIds}, with the ETag of each record and the storage class of each archive. */
export async function catalogEntries(bucket: Bucket): Promise<CatalogEntry[]> {
  const entries: { id: string; etag: string }[] = [];
  const archives = new Map<string, ListedStorage>();
  for await (const object of bucket.keys(BACKUPS)) {
    const { key, etag } = object;
    const id = key.endsWith('.json') ? key.slice(BACKUPS.length, -'.json'.length) : '';
    if (Id.safeParse(id).success) entries.push({ id, etag });
    if (key.endsWith('.ngbak')) {
      archives.set(key.slice(BACKUPS.length, -'.ngbak'.length), listedStorage(object));
    }
  }
  return entries
    .map((entry) => {
      const storage = archives.get(entry.id);
      return { ...entry, ...(storage ? { storage } : {}) };
    })
    .sort((a, b) => (a.id < b.id ? 1 : -1));
}

/**
 * Reads the records of backups, in the given order. Never touches an archive, and holds a bounded window of records.
 * Backups that were deleted in the meantime are omitted.
 */
export async function* readCatalog(bucket: Bucket, ids: Iterable<string>): AsyncGenerator<CatalogItem> {
  const items = mapOrdered(ids, READS_AT_ONCE, async (backupId): Promise<CatalogItem | undefined> => {
    try {
      const found = await bucket.readRecord(catalogKey(backupId), CatalogRecord);
      return found && { backupId, record: found.value };
    } catch (error) {
      // One corrupt record must not hide the others. Any other error is not specific to the record.
      if (!(error instanceof InvalidInputError)) throw error;
      return { backupId, problem: describeError(error) };
    }
  });
  for await (const item of items) if (item) yield item;
}
