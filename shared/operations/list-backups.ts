import { z } from 'zod';
import { ListedStorage } from '../catalog/archive-storage.ts';
import { type Listed, readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import { BackupSummary } from '../catalog/summaries.ts';
import { hasTags } from '../catalog/tags.ts';
import { Id } from '../core/ids.ts';
import { StoreName } from '../core/store-name.ts';
import { roleOf, type ServedRole } from '../core/store-names.ts';
import { talliesOf } from '../stores/known-facts.ts';
import type { OperationsContext } from './context.ts';

/** Maximum number of backups on one page. Each takes about half a KiB as JSON. */
const PAGE_MAX = 1000;

const TagFilter = z.string().max(128);

export const BackupFilters = z.strictObject({
  target: Id.optional(),
  type: z.enum(['full', 'partial']).optional(),
  /** Contains this store. */
  store: StoreName.optional(),
  /** Contains keys of this key-value namespace. */
  namespace: z.string().max(200).optional(),
  /** Contains points of this vector collection. */
  collection: z.string().max(200).optional(),
  /** Has this state. */
  state: BackupSummary.shape.state.optional(),
  /** Has this tag, or all of these: a plain tag, `key=value`, or a key with any value (`key` or `key=`). */
  tag: z.union([TagFilter, z.array(TagFilter).max(10)]).optional(),
  /** Created at `since` or later, and before `until`; ISO 8601. */
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
});
export type BackupFilters = z.infer<typeof BackupFilters>;

export const ListBackupsInput = BackupFilters.extend({
  limit: z.coerce.number().int().min(1).max(PAGE_MAX).default(50),
  /** The `next_cursor` of the previous page. */
  cursor: Id.optional(),
});
export type ListBackupsInput = z.infer<typeof ListBackupsInput>;

/** A backup in a list, with the current location of its archive. */
export const ListedBackup = BackupSummary.extend({
  /** Absent if there is no archive. */
  storage: ListedStorage.optional(),
});
export type ListedBackup = z.infer<typeof ListedBackup>;

export const BackupList = z.object({
  backups: z.array(ListedBackup),
  /** Number of matching backups, on all pages. */
  total: z.number().int(),
  /** Where the next page starts. Absent on the last page. */
  next_cursor: z.string().optional(),
  /** Records that could not be read, with the reason. They are not on any page and not counted in `total`. */
  unreadable: z.array(z.object({ backup_id: z.string(), problem: z.string() })),
});
export type BackupList = z.infer<typeof BackupList>;

/**
 * One page of the catalog, newest first. Reads records only, never an archive: without filters only those of the page,
 * with filters every record once, to count. Memory holds the ids, one page, and for long lists the cache of
 * {@link readListed}.
 */
export async function listBackups(
  { bucket }: OperationsContext,
  input: ListBackupsInput,
): Promise<BackupList> {
  const { limit, cursor, ...filters } = input;
  const entries = await catalogEntries(bucket);
  const filtered = Object.values(filters).some((filter) => filter !== undefined);
  const after = cursor === undefined ? entries : entries.filter(({ id }) => id < cursor);
  const storages = new Map(entries.map(({ id, storage }) => [id, storage]));
  const backups: ListedBackup[] = [];
  const unreadable: BackupList['unreadable'] = [];
  let total = 0;
  let more = false;
  for await (const { id, listed, problem } of readListed(
    bucket,
    filtered ? entries : after.slice(0, limit),
  )) {
    if (listed === undefined) {
      unreadable.push({ backup_id: id, problem });
      continue;
    }
    if (!matches(listed, filters)) continue;
    total++;
    if (cursor !== undefined && id >= cursor) continue;
    if (backups.length < limit) backups.push(withStorage(listed.summary, storages.get(id)));
    else more = true;
  }
  const last = filtered ? backups.at(-1)?.backup_id : after[limit - 1]?.id;
  const hasNext = filtered ? more : after.length > limit;
  return {
    backups,
    total: filtered ? total : entries.length - unreadable.length,
    ...(hasNext && last !== undefined ? { next_cursor: last } : {}),
    unreadable,
  };
}

function withStorage(summary: BackupSummary, storage: ListedStorage | undefined): ListedBackup {
  if (storage === undefined) return summary;
  return { ...summary, storage_class: storage.storage_class, storage };
}

function matches({ summary, holds }: Listed, filters: BackupFilters): boolean {
  const { target, type, store, namespace, collection, state, tag, since, until } = filters;
  const created = Date.parse(summary.created_at);
  return (
    (target === undefined || summary.target === target) &&
    (type === undefined || summary.type === type) &&
    (store === undefined || summary.stores.includes(store)) &&
    (namespace === undefined || holdsThing(holds, 'kv', 'namespaces', namespace)) &&
    (collection === undefined || holdsThing(holds, 'vectors', 'collections', collection)) &&
    (state === undefined || summary.state === state) &&
    hasTags(summary.tags, tag) &&
    (since === undefined || created >= Date.parse(since)) &&
    (until === undefined || created < Date.parse(until))
  );
}

function holdsThing(
  holds: readonly string[],
  role: ServedRole,
  field: 'collections' | 'namespaces',
  thing: string,
): boolean {
  const tallies = talliesOf(role, field, thing);
  return holds.some((held) => {
    const [store = '', ...tally] = held.split(' ');
    return roleOf(store as StoreName) === role && tallies.includes(tally.join(' '));
  });
}
