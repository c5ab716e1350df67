import { type ListedItem, readListed } from '../catalog/list.ts';
import { catalogEntries } from '../catalog/read.ts';
import type { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { SELFTEST_TARGET } from '../core/selftest.ts';
import type { OperationsContext } from './context.ts';

/** Every backup of the catalog except those of self-tests, newest first, and the records that could not be read. */
export async function* allBackups({ bucket }: Pick<OperationsContext, 'bucket'>): AsyncGenerator<ListedItem> {
  for await (const item of readListed(bucket, await catalogEntries(bucket))) {
    if (item.listed?.summary.target !== SELFTEST_TARGET) yield item;
  }
}

/**
 * The newest good full backup of each target. If the deployment's targets are known, targets without one are included,
 * and reading stops as soon as all are determined.
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
