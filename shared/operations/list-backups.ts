import { z } from 'zod';
import { catalogIds, readCatalog } from '../catalog/read.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { Id } from '../ids.ts';
import { STORE_NAMES } from '../stores/port.ts';
import type { OperationsContext } from './context.ts';
import { BackupSummary, summarize } from './summaries.ts';

/** Backups in one page: each is about half a KiB as JSON. */
const PAGE_MAX = 1000;

export const BackupFilters = z.strictObject({
  target: Id.optional(),
  type: z.enum(['full', 'partial']).optional(),
  /** Holds this store. */
  store: z.enum(STORE_NAMES).optional(),
  /** Holds keys of this key-value namespace. */
  namespace: z.string().max(200).optional(),
  /** Holds points of this vector collection. */
  collection: z.string().max(200).optional(),
  /** Has this tag. */
  tag: z.string().max(128).optional(),
  /** Made at this time or later, and before that one; ISO 8601. */
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
});
export type BackupFilters = z.infer<typeof BackupFilters>;

export const ListBackupsInput = BackupFilters.extend({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(50),
  /** The `next_cursor` of the page before. */
  cursor: Id.optional(),
});
export type ListBackupsInput = z.infer<typeof ListBackupsInput>;

export const BackupList = z.object({
  backups: z.array(BackupSummary),
  /** How many backups match, on all pages. */
  total: z.number().int(),
  /** Where the next page starts; absent on the last one. */
  next_cursor: z.string().optional(),
  /** Records that could not be read, with the reason: they are in no page and not in `total`. */
  unreadable: z.array(z.object({ backup_id: z.string(), problem: z.string() })),
});
export type BackupList = z.infer<typeof BackupList>;

/**
 * One page of the catalog, newest first. Reads records only, never an archive; without filters only the records of the
 * page, with filters every record once, to count. Holds the ids and one page.
 */
export async function listBackups(
  { bucket }: OperationsContext,
  input: ListBackupsInput,
): Promise<BackupList> {
  const { limit, cursor, ...filters } = input;
  const ids = await catalogIds(bucket);
  const filtered = Object.values(filters).some((filter) => filter !== undefined);
  const after = cursor === undefined ? ids : ids.filter((id) => id < cursor);
  const backups: BackupSummary[] = [];
  const unreadable: BackupList['unreadable'] = [];
  let total = 0;
  let more = false;
  for await (const item of readCatalog(bucket, filtered ? ids : after.slice(0, limit))) {
    if (item.record === undefined) {
      unreadable.push({ backup_id: item.backupId, problem: item.problem });
      continue;
    }
    if (!matches(item.record, filters)) continue;
    total++;
    if (cursor !== undefined && item.backupId >= cursor) continue;
    if (backups.length < limit) backups.push(summarize(item.record));
    else more = true;
  }
  const last = filtered ? backups.at(-1)?.backup_id : after[limit - 1];
  const hasNext = filtered ? more : after.length > limit;
  return {
    backups,
    total: filtered ? total : ids.length - unreadable.length,
    ...(hasNext && last !== undefined ? { next_cursor: last } : {}),
    unreadable,
  };
}

function matches(record: CatalogRecord, filters: BackupFilters): boolean {
  const { target, type, store, namespace, collection, tag, since, until } = filters;
  const created = Date.parse(record.created_at);
  return (
    (target === undefined || record.target === target) &&
    (type === undefined || record.type === type) &&
    (store === undefined || record.stores.includes(store)) &&
    (namespace === undefined || holds(record, 'kv', `keys:${namespace}`)) &&
    (collection === undefined || holds(record, 'vectors', `points:${collection}`)) &&
    (tag === undefined || record.tags.includes(tag)) &&
    (since === undefined || created >= Date.parse(since)) &&
    (until === undefined || created < Date.parse(until))
  );
}

function holds({ tallies }: CatalogRecord, store: string, tally: string): boolean {
  return Object.hasOwn(tallies[store] ?? {}, tally);
}
