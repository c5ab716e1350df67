import type { Bucket } from '../aws/bucket.ts';
import { SELFTEST_TARGET } from '../core/selftest.ts';
import { type ListedItem, readListed } from './list.ts';
import { catalogEntries } from './read.ts';
import type { BackupSummary } from './summaries.ts';

async function* everyBackup(bucket: Bucket): AsyncGenerator<ListedItem> {
  yield* readListed(bucket, await catalogEntries(bucket));
}

/** Every backup of the catalog except those of self-tests, newest first, and the records that could not be read. */
export async function* allBackups(bucket: Bucket): AsyncGenerator<ListedItem> {
  for await (const item of everyBackup(bucket)) {
    if (item.listed?.summary.target !== SELFTEST_TARGET) yield item;
  }
}

/**
 * The newest good full backup of each target. With a list of targets, those without one are included, and reading stops
 * as soon as all are determined.
 *
 * @param targets  default: every target with a backup, except that of self-tests
 */
export async function newestGood(
  bucket: Bucket,
  targets?: readonly string[],
): Promise<Map<string, BackupSummary | undefined>> {
  const newest = new Map<string, BackupSummary | undefined>(targets?.map((target) => [target, undefined]));
  for await (const { listed } of targets ? everyBackup(bucket) : allBackups(bucket)) {
    if (listed?.summary.type !== 'full' || !listed.summary.good) continue;
    const { target } = listed.summary;
    if (targets?.includes(target) === false || newest.get(target) !== undefined) continue;
    newest.set(target, listed.summary);
    if (targets && [...newest.values()].every((found) => found !== undefined)) break;
  }
  return newest;
}
