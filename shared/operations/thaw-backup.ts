import { z } from 'zod';
import { ArchiveStorage, archiveStorage } from '../catalog/archive-storage.ts';
import { thawArchive, thawHours } from '../catalog/thaw.ts';
import { InvalidInputError } from '../core/errors.ts';
import type { ThawRequest } from '../core/storage-class.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';

const HOUR_MS = 3_600_000;

/** What came of a request to thaw a backup. */
export const Thawing = ArchiveStorage.extend({
  backup_id: z.string(),
  /** Whether it can be read now. */
  readable: z.boolean(),
  /** True if this call has requested it from S3; false if that was not necessary, or done before. */
  requested: z.boolean(),
  /** When it should be readable at the latest, by the usual duration. Absent unless this call has requested it. */
  expected_by: z.iso.datetime().optional(),
});
export type Thawing = z.infer<typeof Thawing>;

/**
 * Requests that the archive of a backup be thawed, if it is in cold storage. Idempotent: call it again to find out
 * whether it is readable. Throws NotFoundError or InvalidInputError.
 */
export async function thawBackup(
  context: OperationsContext,
  backupId: string,
  request: ThawRequest,
  now = Date.now(),
): Promise<Thawing> {
  const { bucket, config } = context;
  const { value: record } = await readCatalogued(context, backupId);
  const { place, requested, state } = await thawArchive(bucket, record.archive, request, now);
  const storage = await archiveStorage(bucket, record, config?.transitions, new Date(now));
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
  return { backup_id: record.backup_id, ...storage, readable, requested, ...due };
}
