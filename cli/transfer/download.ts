import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { IntegrityError } from '../../shared/core/errors.ts';
import { mapOrdered } from '../../shared/core/ordered.ts';
import { RefusedError } from '../../shared/core/refusals.ts';
import type { Download } from '../../shared/operations/download-backup.ts';
import { requireSpace } from './disk-space.ts';
import { CHUNK_BYTES, CONNECTIONS, fetchRange, Links, rangesOf } from './ranges.ts';

/** The state that an interrupted download leaves next to its bytes, in `<file>.part.json`. */
const State = z.object({
  backup_id: z.string(),
  bytes: z.number(),
  crc32: z.string(),
  chunk_bytes: z.literal(CHUNK_BYTES),
  /** Numbers of the chunks that are on disk. */
  done: z.array(z.number().int().nonnegative()),
});
type State = z.infer<typeof State>;

export interface DownloadOptions {
  /** Requests a new link: the first one may expire before the last byte. */
  readonly link: () => Promise<Download>;
  /** Path of the file. */
  readonly path: string;
  /** Replaces another file with that name. */
  readonly force?: boolean;
  readonly signal: AbortSignal;
  /** Longest time without a received byte, in milliseconds. Default: a minute. */
  readonly stallMs?: number;
  progress(done: number, total: number): void;
}

export interface Downloaded {
  readonly path: string;
  readonly bytes: number;
  /** True if the same file existed already. */
  readonly existed: boolean;
  /** Bytes that an earlier, interrupted download had fetched. */
  readonly resumed: number;
}

/**
 * Downloads an archive by parallel ranged GETs into `<path>.part`, compares the CRC-32 of the bytes on disk with S3's,
 * and renames it. Resumes an interrupted download. Throws IntegrityError if the checksum differs, after removing the
 * file; RefusedError if another file with that name exists.
 */
export async function downloadArchive(options: DownloadOptions): Promise<Downloaded> {
  const { path, signal } = options;
  const links = await Links.open(options.link);
  const { bytes, crc32: wanted = '', backup_id } = links.current;
  if (await isAlreadyDownloaded(options, bytes, wanted))
    return { path, bytes, existed: true, resumed: bytes };
  await mkdir(dirname(path), { recursive: true });
  const part = `${path}.part`;
  const state = (await readState(part, { backup_id, bytes, crc32: wanted })) ?? {
    backup_id,
    bytes,
    crc32: wanted,
    chunk_bytes: CHUNK_BYTES,
    done: [],
  };
  const ranges = rangesOf(bytes);
  const resumed = state.done.reduce((sum, number) => sum + (ranges[number]?.length ?? 0), 0);
  await requireSpace(dirname(path), bytes - resumed, 'Free disk space, or choose another folder with --to.');
  // Archives hold whole knowledge bases: readable by the user only.
  const file = await open(part, state.done.length > 0 ? 'r+' : 'w+', 0o600);
  try {
    let done = resumed;
    options.progress(done, bytes);
    const have = new Set(state.done);
    const missing = ranges.filter(({ number }) => !have.has(number));
    const save = saver(`${part}.json`, state);
    const put = (data: Uint8Array, position: number) => file.write(data, 0, data.length, position);
    const fetched = mapOrdered(missing, CONNECTIONS, async (range) => {
      await fetchRange(put, range, links, options, (read) => {
        done += read;
        options.progress(done, bytes);
      });
      state.done.push(range.number);
      await save();
    });
    for await (const _ of fetched);
    await file.sync();
  } finally {
    await file.close();
  }
  const found = await fileCrc32(part, signal);
  if (found !== wanted) {
    await rm(part);
    await rm(`${part}.json`, { force: true });
    throw new IntegrityError(`The download of ${backup_id} has CRC-32 ${found}, but S3 reports ${wanted}.`, {
      remedy: 'The file was removed. Download it again; if the error persists, run `ngbak verify`.',
    });
  }
  await rename(part, path);
  await rm(`${part}.json`, { force: true });
  return { path, bytes, existed: false, resumed };
}

/** Writes the state atomically, and one version after the other. */
function saver(path: string, state: State): () => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  return () => {
    last = last.then(async () => {
      await writeFile(`${path}.new`, JSON.stringify(state), { mode: 0o600 });
      await rename(`${path}.new`, path);
    });
    return last;
  };
}

/** Whether the same archive exists at `path` already. Throws RefusedError if it is another file. */
async function isAlreadyDownloaded(
  { path, force, signal }: DownloadOptions,
  bytes: number,
  crc: string,
): Promise<boolean> {
  const found = await stat(path).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (!found) return false;
  if (found.isFile() && found.size === bytes && (await fileCrc32(path, signal)) === crc) return true;
  if (force && found.isFile()) return false;
  throw new RefusedError(`"${path}" already exists and is a different file.`, {
    remedy: 'Choose another name with --output, or replace it with --force.',
  });
}

/** The state of an earlier download of the same bytes; undefined if there is none. */
async function readState(
  part: string,
  wanted: Omit<State, 'done' | 'chunk_bytes'>,
): Promise<State | undefined> {
  const text = await readFile(`${part}.json`, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const size = await stat(part).then(
    ({ size }) => size,
    (error) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
  if (text === undefined || size === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // Truncated during the write: the download starts over.
    return undefined;
  }
  const parsed = State.safeParse(json);
  if (!parsed.success) return undefined;
  const { backup_id, bytes, crc32: crc, done } = parsed.data;
  const same = backup_id === wanted.backup_id && bytes === wanted.bytes && crc === wanted.crc32;
  const end = done.every((number) => number * CHUNK_BYTES < Math.min(bytes, size));
  return same && end ? parsed.data : undefined;
}

async function fileCrc32(path: string, signal: AbortSignal): Promise<string> {
  let crc = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 ** 2, signal })) {
    crc = crc32(chunk, crc);
  }
  return crc32Base64(crc);
}
