import { z } from 'zod';
import { ArchiveStorage, archiveStorage } from '../catalog/archive-storage.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { thawArchive, thawHours } from '../catalog/thaw.ts';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { ThawRequest } from '../core/storage-class.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';
import { openCopy } from './verify-backup.ts';

const HOUR_MS = 3_600_000;

export const ThawInput = ThawRequest.extend({
  /** Thaws this copy of the backup, in another bucket. Default: the original. */
  copy: Id.optional(),
});
export type ThawInput = z.input<typeof ThawInput>;

/** What came of a request to thaw a backup. */
export const Thawing = ArchiveStorage.extend({
  backup_id: z.string(),
  /** The copy that is thawed instead of the original. */
  copy: z.string().optional(),
  /** Whether it can be read now. */
  readable: z.boolean(),
  /** True if this call has requested it from S3; false if that was not necessary, or done before. */
  requested: z.boolean(),
  /** When it should be readable at the latest, by the usual duration. Absent unless this call has requested it. */
  expected_by: z.iso.datetime().optional(),
});
export type Thawing = z.infer<typeof Thawing>;

/**
 * Requests that the archive of a backup, or of a copy, be thawed, if it is in cold storage. Idempotent: call it again to find out
 * whether it is readable. Throws NotFoundError or InvalidInputError.
 */
export async function thawBackup(
  context: OperationsContext,
  backupId: string,
  { copy, ...request }: z.output<typeof ThawInput>,
  now = Date.now(),
): Promise<Thawing> {
  const { config } = context;
  const { value: catalogued } = await readCatalogued(context, backupId);
  const { bucket, record } =
    copy === undefined
      ? { bucket: context.bucket, record: catalogued }
      : inBucketOfCopy(context, catalogued, copy);
  const { place, requested, state } = await thawArchive(bucket, record.archive, request, now);
  const transitions = copy === undefined ? config?.transitions : undefined;
  const storage = await archiveStorage(bucket, record, transitions, new Date(now));
  if (!storage) {
    throw new InvalidInputError(`The archive of ${record.backup_id} no longer exists.`, {
      remedy: 'Use another backup: `ngbak list` shows them.',
    });
  }
  const due =
    requested && state === 'thawing' && place !== undefined
      ? { expected_by: new Date(now + thawHours(place, request.tier).max * HOUR_MS).toISOString() }
      : {};
  const readable = storage.state === 'readable' || storage.state === 'thawed';
  const which = { backup_id: record.backup_id, ...(copy === undefined ? {} : { copy }) };
  return { ...which, ...storage, readable, requested, ...due };
}

/** The bucket of a copy, and the record with the archive of the copy. */
function inBucketOfCopy(context: OperationsContext, record: CatalogRecord, name: string) {
  const { known, bucket } = openCopy(context, record, name);
  const { version_id } = known;
  const { version_id: _, ...archive } = record.archive;
  return {
    bucket,
    record: {
      ...record,
      storage_class: known.storage_class,
      completed_at: known.at,
      archive: { ...archive, ...(version_id === undefined ? {} : { version_id }) },
    },
  };
}
