import { type ListedItem, readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { SELFTEST_TARGET } from '../core/selftest.ts';
import type { OperationsContext } from './context.ts';

/** Every backup of the catalog but those of self-tests, newest first, and what could not be read of it. */
export async function* allBackups({ bucket }: Pick<OperationsContext, 'bucket'>): AsyncGenerator<ListedItem> {
  for await (const item of readListed(bucket, await catalogEntries(bucket))) {
    if (item.listed?.summary.target !== SELFTEST_TARGET) yield item;
  }
}

/**
 * The newest good backup of everything of each target. Where the deployment's targets are known, those without one are
 * in it too, and no more records are read than it takes to know.
 */
export async function newestGood(
  context: Pick<OperationsContext, 'bucket' | 'config'>,
): Promise<Map<string, BackupSummary | undefined>> {
  const configured = context.config && backedUpTargets(context.config);
  const newest = new Map<string, BackupSummary | undefined>(configured?.map((target) => [target, undefined]));
  for await (const { listed } of allBackups(context)) {
    if (listed?.summary.type !== 'full' || !listed.summary.good) continue;
    const { target } = listed.summary;
    if (configured?.includes(target) === false || newest.get(target) !== undefined) continue;
    newest.set(target, listed.summary);
    if (configured && [...newest.values()].every((found) => found !== undefined)) break;
  }
  return newest;
}
