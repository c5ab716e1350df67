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
/** Maximum number of summaries in the cache, at about 1 KiB each, to stay below the size limit of a record. */
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
const Cache = z.object({
  cache_version: z.literal(3),
  backups: z.record(z.string(), z.object({ etag: z.string(), listed: CachedListed })),
});
type Cache = z.infer<typeof Cache>;

export type ListedItem =
  | { readonly id: string; readonly listed: Listed; readonly problem?: undefined }
  | { readonly id: string; readonly listed?: undefined; readonly problem: string };

/**
 * Reads the list data of these backups, in their order. Backups that were deleted in the meantime are omitted. For long
 * lists, entries of a cache in the bucket are used if their ETag equals the one that S3 has just reported for the
 * record, so the list is correct even if the cache is old, wrong or missing.
 *
 * @param keep  rewrites the cache in any case, before the bucket's lifecycle rules remove it. Retention sets it, every
 *   day and after each backup, so that the cache lacks a few records at most
 */
export async function* readListed(
  bucket: Bucket,
  entries: readonly { id: string; etag: string }[],
  { keep = false } = {},
): AsyncGenerator<ListedItem> {
  const long = entries.length >= LONG_LIST;
  const [cached, acknowledged]: [Cache['backups'], Acknowledged] = await Promise.all([
    long ? readCache(bucket) : {},
    readAcknowledged(bucket),
  ]);
  const fresh: Cache['backups'] = {};
  let misses = 0;
  const items = mapOrdered(entries, READS_AT_ONCE, async ({ id, etag }): Promise<ListedItem | undefined> => {
    const known = Object.hasOwn(cached, id) ? cached[id] : undefined;
    if (known?.etag === etag && etag !== '') {
      const { summary, holds } = known.listed;
      return { id, listed: { summary: { ...summary, ...assess(summary, acknowledged) }, holds } };
    }
    misses++;
    return read(bucket, id, acknowledged, fresh);
  });
  for await (const item of items) if (item) yield item;
  if (long && (keep || misses >= MISSES_MAX)) await writeCache(bucket, entries, { ...cached, ...fresh });
}

async function read(
  bucket: Bucket,
  id: string,
  acknowledged: Acknowledged,
  fresh: Cache['backups'],
): Promise<ListedItem | undefined> {
  try {
    const found = await bucket.readRecord(catalogKey(id), CatalogRecord);
    if (!found) return undefined;
    const holds = Object.entries(found.value.tallies).flatMap(([store, tallies]) =>
      Object.keys(tallies).map((name) => `${store} ${name}`),
    );
    const listed = { summary: summarize(found.value, acknowledged, bucket.place), holds };
    fresh[id] = { etag: found.etag, listed };
    return { id, listed };
  } catch (error) {
    // One corrupt record must not hide the others. Any other error is not specific to the record.
    if (!(error instanceof InvalidInputError)) throw error;
    return { id, problem: describeError(error) };
  }
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
  known: Cache['backups'],
): Promise<void> {
  const backups: Cache['backups'] = {};
  for (const { id } of newestFirst.slice(0, CACHED_MAX)) {
    const entry = known[id];
    if (entry) backups[id] = entry;
  }
  try {
    await bucket.writeRecord(CATALOG_CACHE_KEY, Cache.parse({ cache_version: 3, backups }));
  } catch (error) {
    // Callers without write permission can still list, at the speed of single records.
    if (!(error instanceof AccessDeniedError)) throw error;
  }
}
