import { statfs } from 'node:fs/promises';
import { NgbakError } from '../../shared/core/errors.ts';
import { bytes as sizeText } from '../format.ts';

/** Throws NgbakError if a folder of this machine does not have so many bytes of free space. */
export async function requireSpace(folder: string, bytes: number, remedy: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new NgbakError(
    `"${folder}" has ${sizeText(free)} free (${free} bytes); ${sizeText(bytes)} (${bytes} bytes) are needed.`,
    {
      remedy,
    },
  );
}
