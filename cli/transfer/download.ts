import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { IntegrityError, NgbakError, UnavailableError } from '../../shared/core/errors.ts';
import { mapOrdered } from '../../shared/core/ordered.ts';
import { RefusedError } from '../../shared/core/refusals.ts';
import { backoff, sleep } from '../../shared/core/retry.ts';
import type { Download } from '../../shared/operations/download-backup.ts';
import { requireSpace } from './disk-space.ts';

/** Bytes of one ranged GET: large enough to be worth a round trip, small enough to repeat. */
const CHUNK_BYTES = 8 * 1024 ** 2;
/** Concurrent ranges. */
const CONNECTIONS = 4;
/** Consecutive attempts for a range that receive no byte. */
const ATTEMPTS = 6;
const WAITS = { firstMs: 300 };
/** Longest time without a received byte, in milliseconds. The total time of a range depends on the connection. */
const STALL_MS = 60_000;

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
  /** @default STALL_MS */
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
  const chunk = (number: number) => ({
    offset: number * CHUNK_BYTES,
    length: Math.min(CHUNK_BYTES, bytes - number * CHUNK_BYTES),
  });
  const resumed = state.done.reduce((sum, number) => sum + chunk(number).length, 0);
  await requireSpace(dirname(path), bytes - resumed, 'Free disk space, or choose another folder with --to.');
  // Archives hold whole knowledge bases: readable by the user only.
  const file = await open(part, state.done.length > 0 ? 'r+' : 'w+', 0o600);
  try {
    let done = resumed;
    options.progress(done, bytes);
    const have = new Set(state.done);
    const missing = Array.from({ length: Math.ceil(bytes / CHUNK_BYTES) }, (_, number) => number).filter(
      (number) => !have.has(number),
    );
    const save = saver(`${part}.json`, state);
    const fetched = mapOrdered(missing, CONNECTIONS, async (number) => {
      await fetchRange(file, chunk(number), links, options, (read) => {
        done += read;
        options.progress(done, bytes);
      });
      state.done.push(number);
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

/** The current link, renewed once for all concurrent ranges that find it expired. */
class Links {
  current: Download;
  readonly #make: () => Promise<Download>;
  #renewing: Promise<void> | undefined;

  constructor(first: Download, make: () => Promise<Download>) {
    this.current = first;
    this.#make = make;
  }

  static async open(make: () => Promise<Download>): Promise<Links> {
    return new Links(await make(), make);
  }

  async renew(old: Download): Promise<void> {
    if (this.current !== old) return;
    this.#renewing ??= this.#make().then(
      (link) => {
        this.current = link;
        this.#renewing = undefined;
      },
      (error) => {
        this.#renewing = undefined;
        throw error;
      },
    );
    await this.#renewing;
  }
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

/**
 * Fetches one range. A connection that breaks or stalls is replaced by one that continues after the last received byte;
 * consecutive attempts without a byte are limited.
 */
async function fetchRange(
  file: FileHandle,
  { offset, length }: { offset: number; length: number },
  links: Links,
  { signal, stallMs = STALL_MS }: Pick<DownloadOptions, 'signal' | 'stallMs'>,
  advance: (bytes: number) => void,
): Promise<void> {
  let written = 0;
  let attempt = 0;
  for (;;) {
    attempt++;
    const link = links.current;
    const stalled = new AbortController();
    const timer = setTimeout(() => stalled.abort(), stallMs);
    try {
      const answer = await fetch(link.url, {
        headers: { range: `bytes=${offset + written}-${offset + length - 1}` },
        signal: AbortSignal.any([signal, stalled.signal]),
      });
      if ((answer.status === 206 || answer.status === 200) && answer.body) {
        // A server may send the whole file instead of the range (RFC 9110, 14.2).
        const begins = answer.status === 206 ? offset + written : 0;
        await writeAt(file, offset + written, length - written, answer.body, begins, (bytes) => {
          timer.refresh();
          if (bytes === 0) return;
          attempt = 0;
          written += bytes;
          advance(bytes);
        });
        return;
      }
      await answer.body?.cancel();
      // An expired link is refused with 403.
      if (answer.status === 403 && attempt < ATTEMPTS) await links.renew(link);
      throw new UnavailableError(
        `S3 answered with status ${answer.status} to a range of ${link.backup_id}.`,
        {
          remedy: 'Start the download again: it resumes where it stopped.',
        },
      );
    } catch (error) {
      if (signal.aborted) throw error;
      if (attempt >= ATTEMPTS) throw failed(link, error);
      await sleep(backoff(attempt, WAITS), signal);
    } finally {
      clearTimeout(timer);
    }
  }
}

function failed(link: Download, cause: unknown): NgbakError {
  if (cause instanceof NgbakError) return cause;
  // Without the address: a presigned URL is a credential.
  return new UnavailableError(`The download of ${link.backup_id} was interrupted.`, {
    remedy: 'Start the download again: it resumes where it stopped.',
    cause: cause instanceof Error ? new Error(cause.name) : undefined,
  });
}

/**
 * Writes the bytes of `body` from `offset` on; the first byte of the body has position `begins`. After every chunk,
 * reports the number of bytes written, which is zero for bytes before `offset`.
 */
async function writeAt(
  file: FileHandle,
  offset: number,
  length: number,
  body: ReadableStream<Uint8Array>,
  begins: number,
  onBytes: (bytes: number) => void,
): Promise<void> {
  let position = begins;
  let written = 0;
  for await (const bytes of body) {
    const wanted = bytes.subarray(Math.max(0, offset - position), Math.max(0, offset + length - position));
    position += bytes.length;
    if (wanted.length > 0) await file.write(wanted, 0, wanted.length, offset + written);
    written += wanted.length;
    onBytes(wanted.length);
    if (written === length) return;
  }
  throw new Error('fewer bytes than requested');
}

async function fileCrc32(path: string, signal: AbortSignal): Promise<string> {
  let crc = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 ** 2, signal })) {
    crc = crc32(chunk, crc);
  }
  return crc32Base64(crc);
}
