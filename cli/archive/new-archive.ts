import { createWriteStream, existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type ClosableSource, fileSource } from '../../shared/archive/read/sources.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';

/** Throws InvalidInputError if there is such a file, unless it may be replaced. */
export function requireNewFile(file: string, force: boolean): void {
  if (force || !existsSync(file)) return;
  throw new InvalidInputError(`"${file}" already exists.`, {
    remedy: 'Choose another name, or replace it with --force.',
  });
}

/**
 * Writes an archive to a file that gets its final name only once `verify` has accepted it. Nothing is left of a failure,
 * nor of one that `signal` stopped. Returns the result of `verify`.
 */
export async function writeNewArchive<T>(
  file: string,
  chunks: AsyncIterable<Buffer>,
  verify: (written: ClosableSource) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const unfinished = `${file}.part`;
  try {
    // Archives hold whole knowledge bases: readable by the user only.
    const output = createWriteStream(unfinished, { flags: 'wx', mode: 0o600 });
    await pipeline(chunks, output, signal ? { signal } : {});
    const written = await fileSource(unfinished);
    try {
      const verified = await verify(written);
      await rename(unfinished, file);
      return verified;
    } finally {
      await written.close();
    }
  } catch (error) {
    // A part file that another process is writing belongs to that process.
    const isTaken = typeof error === 'object' && error !== null && Reflect.get(error, 'code') === 'EEXIST';
    if (!isTaken) await rm(unfinished, { force: true });
    if (!isTaken) throw error;
    throw new InvalidInputError(`"${unfinished}" already exists.`, {
      remedy: 'Another command is writing it, or an earlier one was killed: remove it then.',
      cause: error,
    });
  }
}
