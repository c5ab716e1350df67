import { z } from 'zod';
import type { Bucket } from '../aws/bucket.ts';
import { CATALOG_CACHE_KEY, catalogKey } from '../aws/keys.ts';
import { AccessDeniedError, describeError, InvalidInputError } from '../core/errors.ts';
import { mapOrdered } from '../core/ordered.ts';
import { CatalogRecord } from './record.ts';
import { assess, BackupSummary, summarize } from './summaries.ts';
import { type Acknowledged, readAcknowledged } from './warnings.ts';

/** Records read at once. */
const READS_AT_ONCE = 32;
/** Shorter lists are read without the cache: one large GET would cost more than it saves. */
const LONG_LIST = 100;
/** Summaries in the cache: about 1 KiB each, so that it stays below what a record may have. */
const CACHED_MAX = 2000;
/** The cache is written again once so many records had to be read beside it. */
const MISSES_MAX = 50;

/** What a list needs of a record: its summary, and the names of what was counted, to filter by. */
const Listed = z.object({
  summary: BackupSummary,
  /** `kv keys:full_docs`, `vectors points:chunks`, … */
  holds: z.array(z.string()),
});
export type Listed = z.infer<typeof Listed>;

/** Without the assessment, which depends on what was acknowledged since. */
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
 * Reads what a list needs of these backups, in their order; a backup that was deleted meanwhile is left out. Long lists
 * take from a cache in the bucket whatever has the ETag that S3 has just told of its record, so the cache can be old,
 * wrong or gone, and the list is right all the same.
 *
 * @param keep writes the cache in any case, before the bucket's rules remove it: retention does, which runs each day and
 *   after each backup, so that whoever lists finds one that lacks a few records at most
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
    // One record that somebody spoiled must not hide the others; anything else is not a fact about the record.
    if (!(error instanceof InvalidInputError)) throw error;
    return { id, problem: describeError(error) };
  }
}

async function readCache(bucket: Bucket): Promise<Cache['backups']> {
  try {
    return (await bucket.readRecord(CATALOG_CACHE_KEY, Cache))?.value.backups ?? {};
  } catch (error) {
    // Of another version, spoiled, or not for this caller: then every record is read.
    if (error instanceof InvalidInputError || error instanceof AccessDeniedError) return {};
    throw error;
  }
}

/** Keeps the newest. Without a condition: of two writers either one is right, since entries are checked when used. */
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
    // Whoever may only read lists as well, at the speed of single records.
    if (!(error instanceof AccessDeniedError)) throw error;
  }
}
