import { GetObjectCommand } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { z } from 'zod';
import { mediaTypeOf } from '../archive/format/codec.ts';
import { presignedUntil } from '../aws/presign.ts';
import { requireReadable } from '../catalog/archive-storage.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { NotFoundError } from '../core/refusals.ts';
import { downloadName } from '../workflows/job/names.ts';
import { openBackup } from './contents.ts';
import type { OperationsContext } from './context.ts';
import { readCatalogued } from './show-backup.ts';

/** Maximum lifetime of a download link, in seconds. */
export const DOWNLOAD_SECONDS_MAX = 60 * 60;

export const DownloadInput = z.strictObject({
  expires_in: z.coerce.number().int().min(1).max(DOWNLOAD_SECONDS_MAX).default(DOWNLOAD_SECONDS_MAX),
  /** Name of one entry. The link then returns only the compressed bytes of that entry. */
  entry: z.string().min(1).max(512).optional(),
});
export type DownloadInput = z.infer<typeof DownloadInput>;

export const Download = z.object({
  backup_id: z.string(),
  /** A credential until it expires: it must be given to the requester only. */
  url: z.string(),
  /** Headers that must be sent, such as the range of an entry. */
  headers: z.record(z.string(), z.string()),
  file_name: z.string(),
  /** Number of bytes that the link returns. */
  bytes: z.number(),
  /** CRC-32 of these bytes in base64, as computed by S3. Only for whole archives. */
  crc32: z.string().optional(),
  /** Size and SHA-256 of the uncompressed entry. Only for entries. */
  entry: z.object({ name: z.string(), size: z.number(), sha256: z.string() }).optional(),
  expires_at: z.iso.datetime(),
});
export type Download = z.infer<typeof Download>;

/**
 * Presigns the download of a backup's archive, in exactly the version that was catalogued. With `entry`, the link
 * covers only the compressed members of that entry. They form a piece of a tar archive, which can be unpacked:
 * `curl -H 'Range: …' URL | tar -xz`.
 */
export async function downloadBackup(
  context: OperationsContext,
  backupId: string,
  { expires_in, entry }: DownloadInput,
): Promise<Download> {
  const { bucket } = context;
  const { value: record } = await readCatalogued(context, backupId);
  const { archive } = record;
  const fileName = downloadName(record);
  await requireReadable(bucket, record);
  const part = entry === undefined ? undefined : await findEntry(context, record, entry);
  const range = part && `bytes=${part.offset}-${part.offset + part.length - 1}`;
  const command = new GetObjectCommand({
    Bucket: bucket.name,
    Key: archive.key,
    ...(archive.version_id === undefined ? {} : { VersionId: archive.version_id }),
    ...(range === undefined ? {} : { Range: range }),
    ResponseContentDisposition: `attachment; filename="${fileName}"`,
    // Archives of earlier versions were stored without a content type.
    ResponseContentType: mediaTypeOf(archive.codec),
  });
  const url = await getSignedUrl(bucket.s3, command, {
    expiresIn: expires_in,
    // Kept as a signed header, because S3 ignores it in the query.
    ...(range === undefined
      ? {}
      : { unhoistableHeaders: new Set(['range']), signableHeaders: new Set(['host', 'range']) }),
  });
  return {
    backup_id: record.backup_id,
    url,
    headers: range === undefined ? {} : { range },
    file_name: fileName,
    bytes: part?.length ?? archive.bytes,
    ...(part
      ? { entry: { name: part.name, size: part.size, sha256: part.sha256 } }
      : { crc32: archive.crc32 }),
    expires_at: await presignedUntil(bucket.s3, expires_in),
  };
}

async function findEntry(context: OperationsContext, record: CatalogRecord, name: string) {
  const found = await (await openBackup(context, record)).find(name);
  if (found) return found;
  throw new NotFoundError(`Backup ${record.backup_id} has no entry "${name}".`, {
    remedy: `List its entries with \`ngbak contents ${record.backup_id}\`.`,
  });
}
