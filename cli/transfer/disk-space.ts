import { statfs } from 'node:fs/promises';
import { NgbakError } from '../../shared/core/errors.ts';
import { bytes as sizeText } from '../format.ts';

/** Throws NgbakError where a folder of this machine has no room for so many bytes. */
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
