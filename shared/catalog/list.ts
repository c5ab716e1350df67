import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { CATALOG_CACHE_KEY, catalogKey } from '../aws/keys.ts';
import { AccessDeniedError, describeError, InvalidInputError } from '../core/errors.ts';
import { mapOrdered } from '../core/ordered.ts';
import { CatalogRecord } from './record.ts';
import { assess, BackupSummary, summarize } from './summaries.ts';
import { type Acknowledged, readAcknowledged } from './warnings.ts';

/** Records read concurrently. */
const READS_AT_ONCE = 32;
/**
 * Minimum length of a list for which the cache is used: for shorter ones, one large GET would cost more than it saves.
 */
const LONG_LIST = 100;
/**
 * Maximum number of summaries in the cache, at about 1 KiB each, to stay below the size limit of a record, and in the
 * memory of a process: those of the newest backups.
 */
const CACHED_MAX = 2000;
/** Number of cache misses after which the cache is rewritten. */
const MISSES_MAX = 50;

/** The data of a record that lists need: its summary, and the names of what was counted, for filters. */
const Listed = z.object({
  summary: BackupSummary,
  /** `kv keys:full_docs`, `vectors points:chunks`, … */
  holds: z.array(z.string()),
});
export type Listed = z.infer<typeof Listed>;

/** Without the assessment, which depends on later acknowledgements. */
const CachedListed = Listed.extend({
  summary: BackupSummary.omit({ state: true, open_warnings: true, good: true }),
});
const CachedBackup = z.object({ etag: z.string(), listed: CachedListed });
type CachedBackup = z.infer<typeof CachedBackup>;
const Cache = z.object({ cache_version: z.literal(3), backups: z.record(z.string(), CachedBackup) });
type Cache = z.infer<typeof Cache>;

/** The cache that a process has in memory, such as the function of the API, which lists the same backups many times. */
const inMemory = new WeakMap<Bucket, Map<string, CachedBackup>>();

export type ListedItem =
  | { readonly id: string; readonly listed: Listed; readonly problem?: undefined }
  | { readonly id: string; readonly listed?: undefined; readonly problem: string };

/**
 * Reads the list data of these backups, in their order. Backups that were deleted in the meantime are omitted. Records
 * that this process has read before, and for long lists those in a cache in the bucket, are not read again if their ETag
 * equals the one that S3 has just reported, so the list is correct even if the cache is old, wrong or missing.
 *
 * @param newestFirst  the backups in the order of their ids, which starts with the newest
 * @param keep  rewrites the cache in any case, before the bucket's lifecycle rules remove it. Retention sets it, every
 *   day and after each backup, so that the cache lacks a few records at most
 */
export async function* readListed(
  bucket: Bucket,
  newestFirst: readonly { id: string; etag: string }[],
  { keep = false } = {},
): AsyncGenerator<ListedItem> {
  const memory = inMemory.get(bucket) ?? new Map<string, CachedBackup>();
  inMemory.set(bucket, memory);
  const recall = ({ id, etag }: { id: string; etag: string }) => {
    const known = memory.get(id);
    return known?.etag === etag && etag !== '' ? known.listed : undefined;
  };
  const unknown = newestFirst.filter((entry) => recall(entry) === undefined);
  const [cached, acknowledged]: [Cache['backups'], Acknowledged] = await Promise.all([
    unknown.length >= LONG_LIST ? readCache(bucket) : {},
    readAcknowledged(bucket),
  ]);
  for (const { id, etag } of unknown) {
    const known = Object.hasOwn(cached, id) ? cached[id] : undefined;
    if (known?.etag === etag) memory.set(id, known);
  }
  const oldest = newestFirst[CACHED_MAX - 1]?.id ?? '';
  let misses = 0;
  const items = mapOrdered(newestFirst, READS_AT_ONCE, async (entry): Promise<ListedItem | undefined> => {
    const { id } = entry;
    const known = recall(entry);
    if (known) return { id, listed: assessed(known, acknowledged) };
    try {
      const found = await bucket.readRecord(catalogKey(id), CatalogRecord);
      if (!found) return undefined;
      const listed = listedOf(found.value, acknowledged, bucket);
      if (id >= oldest) {
        misses++;
        memory.set(id, { etag: found.etag, listed });
      }
      return { id, listed };
    } catch (error) {
      // One corrupt record must not hide the others. Any other error is not specific to the record.
      if (!(error instanceof InvalidInputError)) throw error;
      return { id, problem: describeError(error) };
    }
  });
  try {
    for await (const item of items) if (item) yield item;
    if (newestFirst.length >= LONG_LIST && (keep || misses >= MISSES_MAX)) {
      await writeCache(bucket, newestFirst, memory);
    }
  } finally {
    const surplus = memory.size - CACHED_MAX;
    if (surplus > 0) for (const id of [...memory.keys()].sort().slice(0, surplus)) memory.delete(id);
  }
}

function listedOf(record: CatalogRecord, acknowledged: Acknowledged, bucket: Bucket): Listed {
  const holds = Object.entries(record.tallies).flatMap(([store, tallies]) =>
    Object.keys(tallies).map((name) => `${store} ${name}`),
  );
  return { summary: summarize(record, acknowledged, bucket.place), holds };
}

function assessed({ summary, holds }: CachedBackup['listed'], acknowledged: Acknowledged): Listed {
  return { summary: { ...summary, ...assess(summary, acknowledged) }, holds };
}

async function readCache(bucket: Bucket): Promise<Cache['backups']> {
  try {
    return (await bucket.readRecord(CATALOG_CACHE_KEY, Cache))?.value.backups ?? {};
  } catch (error) {
    // Another version's cache, a corrupt one, or one that this caller may not read: every record is read instead.
    if (error instanceof InvalidInputError || error instanceof AccessDeniedError) return {};
    throw error;
  }
}

/**
 * Keeps the newest entries. The write is unconditional: of two concurrent writes, either is correct, because entries
 * are validated when they are used.
 */
async function writeCache(
  bucket: Bucket,
  newestFirst: readonly { id: string }[],
  known: ReadonlyMap<string, CachedBackup>,
): Promise<void> {
  const backups: Cache['backups'] = {};
  for (const { id } of newestFirst.slice(0, CACHED_MAX)) {
    const entry = known.get(id);
    if (entry) backups[id] = entry;
  }
  try {
    await bucket.writeRecord(CATALOG_CACHE_KEY, Cache.parse({ cache_version: 3, backups }));
  } catch (error) {
    // Callers without write permission can still list, at the speed of single records.
    if (!(error instanceof AccessDeniedError)) throw error;
  }
}
