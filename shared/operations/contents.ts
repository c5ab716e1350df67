import { z } from 'zod';
import type { Manifest } from '../archive/format/manifest.ts';
import { openArchive } from '../archive/read/open.ts';
import { s3Source } from '../archive/read/sources.ts';
import { requireReadable } from '../catalog/archive-storage.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';

export const ContentsInput = z.strictObject({
  /** Only entries with this name prefix. */
  prefix: z.string().max(512).default(''),
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  /** Number of entries to skip: the `next_offset` of the previous page. */
  offset: z.coerce.number().int().min(0).default(0),
});
export type ContentsInput = z.infer<typeof ContentsInput>;

export const Contents = z.object({
  backup_id: z.string(),
  /** Number of entries in the archive. */
  total: z.number().int(),
  entries: z.array(
    z.object({
      name: z.string(),
      /** Uncompressed size in bytes. */
      size: z.number(),
      sha256: z.string(),
      /** Offset and number of its compressed bytes in the archive. */
      offset: z.number(),
      length: z.number(),
    }),
  ),
  /** Absent on the last page. */
  next_offset: z.number().int().optional(),
});
export type Contents = z.infer<typeof Contents>;

/** The entries of a backup's archive, one page at a time, read by ranges from its index. */
export async function listContents(
  context: OperationsContext,
  backupId: string,
  { prefix, limit, offset }: ContentsInput,
): Promise<Contents> {
  const archive = await openBackup(context, (await readCatalogued(context, backupId)).value);
  const entries: Contents['entries'] = [];
  let place = 0;
  let more = false;
  for await (const entry of archive.entries(prefix)) {
    if (place++ < offset) continue;
    if (entries.length === limit) {
      more = true;
      break;
    }
    const { name, size, sha256, offset: start, length } = entry;
    entries.push({ name, size, sha256, offset: start, length });
  }
  return {
    backup_id: backupId,
    total: archive.manifest.index.entries,
    entries,
    ...(more ? { next_offset: offset + limit } : {}),
  };
}

/** The manifest of a backup's archive, read from the archive itself. */
export async function showManifest(context: OperationsContext, backupId: string): Promise<Manifest> {
  return (await openBackup(context, (await readCatalogued(context, backupId)).value)).manifest;
}

/**
 * Opens the archive of a backup, in exactly the version that was catalogued. Throws ObjectArchivedError if it has to be
 * thawed first.
 */
export async function openBackup({ bucket }: OperationsContext, record: CatalogRecord) {
  const { archive } = record;
  await requireReadable(bucket, record);
  return openArchive(await s3Source(bucket.s3, bucket.name, archive.key, archive.version_id));
}
