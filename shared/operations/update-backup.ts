import { z } from 'zod';
import { catalogKey } from '../aws/keys.ts';
import { CatalogRecord } from '../catalog/record.ts';
import { BackupRequest, Retention, SAFETY_TAG } from '../catalog/request.ts';
import { endOfRetention } from '../catalog/retention/plan.ts';
import { type BackupDetails, detail } from '../catalog/summaries.ts';
import { addTags } from '../catalog/tags.ts';
import { readAcknowledged } from '../catalog/warnings.ts';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { noSuchBackup } from '../core/refusals.ts';
import type { OperationsContext } from './context.ts';

const Tags = BackupRequest.shape.tags.unwrap();

/** Changes to a catalogued backup. Null removes a note or a retention; absent fields stay unchanged. */
export const BackupChanges = z
  .strictObject({
    tags: Tags.optional(),
    add_tags: Tags.optional(),
    remove_tags: Tags.optional(),
    note: z.string().max(1000).nullable().optional(),
    retention: Retention.nullable().optional(),
  })
  .refine(({ tags, add_tags, remove_tags }) => tags === undefined || !(add_tags || remove_tags), {
    error: 'tags replaces all tags and cannot be combined with add_tags or remove_tags',
  });
export type BackupChanges = z.infer<typeof BackupChanges>;

/**
 * Changes tags, note or retention of a backup. Throws NotFoundError, and InvalidInputError for the reserved tag.
 *
 * @param allowShorter  throws if the caller may not cause a backup to be deleted earlier than before
 */
export async function updateBackup(
  context: OperationsContext,
  backupId: string,
  changes: BackupChanges,
  allowShorter: () => void = () => undefined,
): Promise<BackupDetails> {
  const changed = await changeRecord(context, backupId, (record) => {
    if (shortens(record, changes)) allowShorter();
    const { tags, note, retention, ...rest } = record;
    const newNote = changes.note === undefined ? note : (changes.note ?? undefined);
    const newRetention = changes.retention === undefined ? retention : (changes.retention ?? undefined);
    return {
      ...rest,
      tags: changeTags(tags, changes),
      ...(newNote === undefined ? {} : { note: newNote }),
      ...(newRetention === undefined ? {} : { retention: newRetention }),
    } as CatalogRecord;
  });
  return detail(changed, await readAcknowledged(context.bucket), context.bucket.place);
}

/**
 * Whether a change may cause a backup to be deleted earlier than before. How long the policy alone keeps it is not
 * known in advance, so any individual retention except `permanent` may be shorter.
 */
function shortens({ created_at, retention: old }: CatalogRecord, { retention }: BackupChanges): boolean {
  if (retention === undefined || (retention ?? undefined) === old) return false;
  if (retention === null) return true;
  if (old === undefined) return retention !== 'permanent';
  return endOfRetention(created_at, retention) < endOfRetention(created_at, old);
}

function changeTags(tags: readonly string[], { tags: all, add_tags, remove_tags }: BackupChanges): string[] {
  const removed = new Set(remove_tags);
  const kept = tags.filter((tag) => !removed.has(tag));
  const changed = all ?? addTags(kept, add_tags ?? []);
  if (changed.includes(SAFETY_TAG) !== tags.includes(SAFETY_TAG)) {
    throw new InvalidInputError(
      `Tag "${SAFETY_TAG}" marks the safety backups of restores and cannot be added or removed.`,
      { remedy: 'Choose another tag.' },
    );
  }
  return Tags.parse([...new Set(changed)]);
}

/** Changes a record by compare-and-swap. `change` is called again after a concurrent write. */
export async function changeRecord(
  context: OperationsContext,
  backupId: string,
  change: (record: CatalogRecord) => CatalogRecord,
): Promise<CatalogRecord> {
  const id = parseInput(Id, backupId, 'The backup id');
  const changed = await context.bucket.updateRecord(catalogKey(id), CatalogRecord, (record) => {
    if (!record) throw noSuchBackup(id);
    return change(record);
  });
  if (!changed) throw noSuchBackup(id);
  return changed;
}
