import type { Bucket } from '../../aws/bucket.ts';
import { catalogKey } from '../../aws/keys.ts';
import type { DrillInput } from '../../catalog/drill-request.ts';
import { newestGood } from '../../catalog/good-backups.ts';
import { CatalogRecord } from '../../catalog/record.ts';
import type { NgbakConfig } from '../../core/config.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { chooseTarget } from '../job/names.ts';

/**
 * The backup that a drill restores: the requested one, or the newest good full backup of the target. Throws
 * InvalidInputError if there is none.
 */
export async function chooseBackup(
  { bucket, config }: { readonly bucket: Bucket; readonly config: NgbakConfig },
  { backup_id, target }: DrillInput,
): Promise<CatalogRecord> {
  const id = backup_id ?? (await newestGoodOf(bucket, chooseTarget(config, target)));
  const found = await bucket.readRecord(catalogKey(id), CatalogRecord);
  if (!found) {
    throw new InvalidInputError(`There is no backup "${id}" in the catalog.`, {
      remedy: 'List the backups with `ngbak list` and take an id from there.',
    });
  }
  if (target !== undefined && found.value.target !== target) {
    throw new InvalidInputError(
      `Backup ${id} is of target "${found.value.target}", not of target "${target}".`,
      { remedy: 'Leave the target out: where a drill restores to is part of the configuration.' },
    );
  }
  return found.value;
}

async function newestGoodOf(bucket: Bucket, target: string): Promise<string> {
  const newest = (await newestGood(bucket, [target])).get(target);
  if (newest) return newest.backup_id;
  throw new InvalidInputError(
    `Target "${target}" has no good backup: verified, complete, not empty, and not a safety backup.`,
    { remedy: `Back it up with \`ngbak backup --target ${target}\`.` },
  );
}
