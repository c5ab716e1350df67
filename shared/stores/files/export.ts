import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import type { Tallies } from '../../core/digest.ts';
import { parseInput } from '../../core/input.ts';
import type { ExportStep } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { FileBegunError, FileChangedError } from './errors.ts';
import { FileDigest, PIECE_BYTES } from './file-digest.ts';
import type { FileInfo, Folder } from './folder.ts';
import { entryNamesOf } from './names.ts';

/** Files up to this many bytes are held as a whole before they go into the archive, and read again if they changed. */
const WHOLE_BYTES = 8 * 1024 ** 2;
/** A file that changed more recently than this, in ms, may be in the middle of being written. */
const SETTLE_MS = 1_000;
/** Times that a file is looked at again because it changes. */
const CHANGED_TRIES = 5;

const FilesCursor = z.strictObject({
  /** File that continues, or after which the export continues if `offset` is null. */
  file: z.string(),
  offset: z.number().int().nonnegative().nullable(),
  /** Version of the file that continues. */
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
    throw new FileBegunError(folder.name, from.file);
  let done = files.length - todo.length;
  for (const listed of todo) {
    const start = listed.name === from?.file ? (from.offset ?? 0) : 0;
    const entry = names.get(listed.name) ?? '';
    const last = listed === todo.at(-1);
    if (start > 0 && listed.version !== from?.version) throw new FileBegunError(folder.name, listed.name);
    const settled = start > 0 ? listed : await settle(folder, listed, context);
    if (!settled) continue;
    if (settled.size <= WHOLE_BYTES) yield await wholeFile(folder, settled, entry, last);
    else yield* pieces(folder, settled, entry, start, last);
    context.progress('files', ++done, files.length);
  }
}

/** Waits until a file has not changed for a moment; undefined where it is gone. */
async function settle(folder: Folder, listed: FileInfo, context: LegContext): Promise<FileInfo | undefined> {
  // Small ones are read again if they changed since they were listed.
  let file = listed.size > WHOLE_BYTES ? await folder.stat(listed.name) : listed;
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
      const digest = new FileDigest(file.name, content.length);
      digest.add(content);
      return {
        piece: wholeEntry(name, content),
        tallies: digest.tallies(),
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
    const digest = new FileDigest(file.name, file.size, offset);
    const tallies: Tallies = {};
    const data = async function* () {
      yield* digest.watch(folder.read(file, offset, length));
      Object.assign(tallies, digest.tallies());
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
