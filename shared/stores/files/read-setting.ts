import { InvalidInputError } from '../../core/errors.ts';
import type { Folder } from './folder.ts';

/** The text of a file with settings; undefined if there is none of that name. Throws InvalidInputError if it is larger. */
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
