import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { link, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { EntryReader, IndexEntry } from '../../shared/archive/format/types.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';

/**
 * Writes one entry below a folder. The file is renamed to its final name only after its digest was verified, so a
 * damaged file never has that name. Throws InvalidInputError if the file exists and `overwrite` is false, or if a link
 * in the folder points outside of it.
 */
export async function extractEntry(
  archive: EntryReader,
  entry: IndexEntry,
  folder: string,
  overwrite: boolean,
): Promise<string> {
  const path = join(folder, ...entry.name.split('/'));
  await makeFolders(folder, dirname(path));
  const unfinished = `${path}.${randomBytes(4).toString('hex')}.part`;
  try {
    await pipeline(archive.open(entry), createWriteStream(unfinished, { flags: 'wx' }));
    if (overwrite) await rename(unfinished, path);
    else await linkNew(unfinished, path);
  } finally {
    await rm(unfinished, { force: true });
  }
  return path;
}

/** Renames a file unless the name is taken: a plain rename would silently replace the existing file. */
async function linkNew(from: string, path: string): Promise<void> {
  try {
    await link(from, path);
  } catch (cause) {
    if (typeof cause !== 'object' || cause === null || Reflect.get(cause, 'code') !== 'EEXIST') throw cause;
    throw new InvalidInputError(`"${path}" already exists.`, {
      remedy: 'Choose another folder with -C, or replace existing files with --force.',
      cause,
    });
  }
}

/** Creates the folders between `folder` and `inner`, and refuses links and files in the path. */
async function makeFolders(folder: string, inner: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  let path = resolve(folder);
  for (const part of relative(folder, inner).split(sep)) {
    if (part === '') continue;
    path = join(path, part);
    await mkdir(path, { recursive: true }).catch((cause) => {
      throw notAFolder(path, cause);
    });
    if (!(await lstat(path)).isDirectory()) throw notAFolder(path);
  }
}

function notAFolder(path: string, cause?: unknown): InvalidInputError {
  return new InvalidInputError(`${path} is not a folder, or is a link to one.`, {
    remedy: 'Choose an empty folder with -C.',
    cause,
  });
}
