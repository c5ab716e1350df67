import type { LegContext } from '../leg.ts';
import type { Folder } from './folder.ts';
import { ORIGIN_FILE } from './origin-file.ts';

/**
 * Records the origin of a folder's files in a separate file, because their own bytes must be those of the archive. The
 * file is never listed as a file of the folder, and a restore that replaces the files removes it.
 */
export async function writeOrigin(
  folder: Folder,
  origin: Readonly<Record<string, string>>,
  { signal }: Pick<LegContext, 'signal'>,
): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify(origin, null, 2)}\n`);
  const content = (async function* () {
    yield bytes;
  })();
  await folder.write(ORIGIN_FILE, content, bytes.length, { absent: false, signal });
}
