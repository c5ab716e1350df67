import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type ClosableSource, fileSource, s3Source } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey } from '../../shared/aws/keys.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { Id } from '../../shared/core/ids.ts';
import { type ArchiveSource, decrypted } from '../age/encrypted-source.ts';
import type { Settings } from '../settings.ts';

/**
 * Finds the source that `ngbak archive` reads: an `s3://` address, a file, a file of the download folder, or the id of
 * a backup in the configured bucket; in that order, a file before an id. Settings are read for an id only, so files
 * need no AWS.
 *
 * @param identities  identity files of age, for an encrypted archive
 */
export async function resolveSource(
  reference: string,
  settings: () => Promise<Settings>,
  identities: readonly string[] = [],
): Promise<ArchiveSource> {
  return decrypted(await findSource(reference, settings), identities);
}

async function findSource(reference: string, settings: () => Promise<Settings>): Promise<ClosableSource> {
  const address = /^s3:\/\/([^/]+)\/(.+)$/.exec(reference);
  if (address?.[1] !== undefined && address[2] !== undefined)
    return openObject(new Bucket(address[1]), address[2]);
  if (existsSync(reference)) return fileSource(reference);
  if (!Id.safeParse(reference).success) return fileSource(await findDownloaded(reference, settings));
  return openObject(new Bucket(await bucketOf(await settings(), reference)), archiveKey(reference));
}

/** The path of the archive with that name in the download folder, or the name itself if there is none. */
async function findDownloaded(
  name: string,
  settings: () => Promise<Pick<Settings, 'download_folder'>>,
): Promise<string> {
  if (name !== basename(name)) return name;
  const path = join((await settings()).download_folder, name);
  return existsSync(path) ? path : name;
}

async function openObject({ s3, name }: Bucket, key: string): Promise<ClosableSource> {
  try {
    return { ...(await s3Source(s3, name, key)), close: async () => s3.destroy() };
  } catch (error) {
    s3.destroy();
    throw error;
  }
}

async function bucketOf(settings: Settings, reference: string): Promise<string> {
  if (settings.bucket) return settings.bucket;
  const { discoverContext } = await import('../discover.ts');
  try {
    return (await discoverContext(settings)).bucket.place;
  } catch (cause) {
    throw new InvalidInputError(
      `There is no file "${reference}", and no bucket is configured to look for a backup.`,
      {
        remedy: 'Check the name. For a backup ID, add --bucket or --stack.',
        cause,
      },
    );
  }
}
