import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { MultisetDigest, type Tallies, type Tally } from '../../digest.ts';
import { parseInput } from '../../input.ts';
import type { Cursor, ExportStep, LegContext } from '../port.ts';
import { MemberError, MemberScanner } from '../redis/json-entry.ts';
import { canonicalString } from '../redis/record.ts';
import { FileChangedError } from './errors.ts';
import type { FileInfo, Folder } from './folder.ts';
import { entryNamesOf } from './names.ts';

/** Files are read in pieces of this many bytes, so that a leg can end between two. Part of how digests are made. */
export const PIECE_BYTES = 64 * 1024 ** 2;
/** Files up to this many bytes are held as a whole before they go into the archive, and read again if they changed. */
const WHOLE_BYTES = 8 * 1024 ** 2;
/** A file that changed more recently than this, in ms, may be in the middle of being written. */
const SETTLE_MS = 1_000;
/** Times that a file is looked at again because it changes. */
const CHANGED_TRIES = 5;

const FilesCursor = z.strictObject({
  /** File that goes on, or after which it goes on where `offset` is null. */
  file: z.string(),
  offset: z.number().int().nonnegative().nullable(),
  /** Version of the file that goes on. */
  version: z.string(),
});
type FilesCursor = z.infer<typeof FilesCursor>;

/** Streams every file as it is, in the order of names. The cursor is a file and a place within it. */
export async function* exportFiles(
  folder: Folder,
  files: readonly FileInfo[],
  cursor: Cursor | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const from =
    cursor === null
      ? null
      : parseInput(FilesCursor, cursor, 'The cursor of the file export', 'Start a new backup.');
  const names = entryNamesOf(files.map(({ name }) => name));
  const todo = files.filter(
    ({ name }) => !from || (from.offset === null ? name > from.file : name >= from.file),
  );
  if (from && from.offset !== null && todo[0]?.name !== from.file)
    throw new FileChangedError(folder.name, from.file);
  let done = 0;
  for (const listed of todo) {
    const start = listed.name === from?.file ? (from.offset ?? 0) : 0;
    const entry = names.get(listed.name) ?? '';
    const last = listed === todo.at(-1);
    if (start > 0 && listed.version !== from?.version) throw new FileChangedError(folder.name, listed.name);
    const settled = start > 0 ? listed : await settle(folder, listed, context);
    if (!settled) continue;
    if (settled.size <= WHOLE_BYTES) yield await wholeFile(folder, settled, entry, last);
    else yield* pieces(folder, settled, entry, start, last);
    context.progress('files', ++done, todo.length);
  }
}

/** Waits until a file has not changed for a moment; undefined where it is gone. */
async function settle(folder: Folder, listed: FileInfo, context: LegContext): Promise<FileInfo | undefined> {
  let file: FileInfo | undefined = listed;
  for (let tries = 0; file && Date.now() - file.changedAt < SETTLE_MS && tries < CHANGED_TRIES; tries++) {
    context.signal.throwIfAborted();
    await sleep(SETTLE_MS - Math.min(SETTLE_MS - 1, Math.max(0, Date.now() - file.changedAt)));
    file = await folder.stat(listed.name);
  }
  return file;
}

async function wholeFile(folder: Folder, listed: FileInfo, name: string, last: boolean): Promise<ExportStep> {
  let file = listed;
  for (let tries = 0; ; tries++) {
    try {
      const chunks: Uint8Array[] = [];
      for await (const chunk of folder.read(file, 0, file.size)) chunks.push(chunk);
      const content = Buffer.concat(chunks);
      const counter = new KeyCounter(file.name);
      counter.feed(content);
      return {
        piece: { name, size: content.length, offset: 0, length: content.length, data: [content] },
        tallies: { files: pieceTally(file.name, 0, sha256Of(content), true), ...counter.tallies() },
        next: last ? null : { file: file.name, offset: null, version: '' },
      };
    } catch (error) {
      const again = await folder.stat(listed.name);
      if (
        !(error instanceof FileChangedError) ||
        tries >= CHANGED_TRIES ||
        !again ||
        again.size > WHOLE_BYTES
      )
        throw error;
      await sleep(SETTLE_MS);
      file = (await folder.stat(listed.name)) ?? again;
    }
  }
}

async function* pieces(
  folder: Folder,
  file: FileInfo,
  name: string,
  start: number,
  last: boolean,
): AsyncGenerator<ExportStep> {
  for (let offset = start; offset < file.size; offset += PIECE_BYTES) {
    const length = Math.min(PIECE_BYTES, file.size - offset);
    const end = offset + length;
    const hash = createHash('sha256');
    // Counting goes on from byte to byte: it is done for files of one piece only.
    const counter = file.size <= PIECE_BYTES ? new KeyCounter(file.name) : undefined;
    const tallies: Tallies = {};
    const data = async function* () {
      for await (const chunk of folder.read(file, offset, length)) {
        hash.update(chunk);
        counter?.feed(chunk);
        yield chunk;
      }
      Object.assign(tallies, counter?.tallies());
      tallies.files = pieceTally(file.name, offset, hash.digest('hex'), end === file.size);
    };
    const next: FilesCursor =
      end < file.size
        ? { file: file.name, offset: end, version: file.version }
        : { file: file.name, offset: null, version: '' };
    yield {
      piece: { name, size: file.size, offset, length, data: data() },
      // Filled in as the piece is read, which is before anybody adds it up.
      tallies,
      next: last && end === file.size ? null : next,
    };
  }
}

/** A file counts once, with its last piece; its pieces are digested with name and offset. */
export function pieceTally(file: string, offset: number, sha256: string, last: boolean): Tally {
  const digest = new MultisetDigest();
  digest.add(JSON.stringify([file, offset, sha256]));
  return { count: last ? 1 : 0, digest: digest.hex() };
}

function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

/**
 * Counts the keys of a `kv_store_<namespace>.json` as it streams by, so that statistics can say how many documents and
 * chunks there are. A file that is no JSON object counts for nothing, and is saved all the same.
 */
class KeyCounter {
  readonly #namespace: string | undefined;
  readonly #digest = new MultisetDigest();
  #scanner: MemberScanner | undefined;
  #count = 0;

  constructor(file: string) {
    this.#namespace = /^kv_store_(.+)\.json$/.exec(file)?.[1];
    this.#scanner = this.#namespace === undefined ? undefined : new MemberScanner();
  }

  feed(chunk: Uint8Array): void {
    try {
      for (const { key, value } of this.#scanner?.feed(chunk) ?? []) {
        this.#digest.add(canonicalString(key.toString('latin1'), value, null));
        this.#count++;
      }
    } catch (error) {
      this.#giveUp(error);
    }
  }

  tallies(): Tallies {
    try {
      this.#scanner?.end();
    } catch (error) {
      this.#giveUp(error);
    }
    if (!this.#scanner) return {};
    return { [`keys:${this.#namespace}`]: { count: this.#count, digest: this.#digest.hex() } };
  }

  #giveUp(error: unknown): void {
    if (!(error instanceof MemberError)) throw error;
    this.#scanner = undefined;
  }
}
