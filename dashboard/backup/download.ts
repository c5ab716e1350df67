import { type ApiClient, ApiError } from '../api.ts';
import { saveLink } from '../download/save-link.ts';
import { DamagedEntryError, unpackEntry } from './unpack-entry.ts';

/** Largest entry that is unpacked in the browser, in bytes: memory holds it twice. */
export const UNPACK_BYTES_MAX = 64 * 1024 ** 2;

/** Downloads a whole archive with the browser, directly from S3. */
export async function downloadArchive(api: ApiClient, backupId: string): Promise<void> {
  const { url, file_name } = await api.downloadBackup(backupId);
  saveLink(url, file_name);
}

/** Downloads, unpacks and verifies one entry. Throws ApiError. */
export async function downloadEntry(api: ApiClient, backupId: string, name: string): Promise<void> {
  const { url, headers, entry } = await api.downloadBackup(backupId, { entry: name });
  if (!entry) throw new Error('The API returned no information about the entry.');
  let answer: Response;
  try {
    answer = await fetch(url, { headers, cache: 'no-store' });
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw refused('S3 could not be reached, or its CORS rules do not allow this origin.');
  }
  if (!answer.ok) throw refused(`S3 answered ${answer.status}.`);
  try {
    const content = await unpackEntry(entry, new Uint8Array(await answer.arrayBuffer()));
    const address = URL.createObjectURL(new Blob([content]));
    saveLink(address, name.split('/').at(-1) ?? name);
    // By then the browser has opened it.
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  } catch (error) {
    if (!(error instanceof DamagedEntryError)) throw error;
    throw new ApiError({
      status: 422,
      title: 'Damaged data',
      detail: error.message,
      remedy: error.remedy,
    });
  }
}

function refused(detail: string): ApiError {
  return new ApiError({
    status: 0,
    title: 'Download failed',
    detail,
    remedy: 'Check the network and that the CORS rules of the bucket list this origin. Then try again.',
  });
}
