import { InvalidInputError } from '../../core/errors.ts';
import type { Folder } from './folder.ts';

/** Reads a file with settings as text; undefined if it does not exist. Throws InvalidInputError if it is too large. */
export async function readSetting(
  folder: Folder,
  name: string,
  bytesMax: number,
  remedy: string,
): Promise<string | undefined> {
  const file = await folder.find(name);
  if (!file) return undefined;
  if (file.size > bytesMax) {
    throw new InvalidInputError(
      `${folder.name}: "${name}" has ${file.size} bytes; the limit is ${bytesMax}.`,
      { remedy },
    );
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of folder.read(file, 0, file.size)) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts).toString('utf8');
}
