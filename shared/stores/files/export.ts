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
/** Code of the warning about files that were never still. */
const KEPT_CHANGING = 'files-kept-changing';

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
    // Small ones are read again if they changed since they were listed.
    const found = start === 0 && listed.size > WHOLE_BYTES ? await folder.stat(listed.name) : listed;
    const settled = start > 0 ? { file: listed, isStill: true } : await settle(folder, found, context);
    if (!settled) continue;
    const whole =
      settled.file.size <= WHOLE_BYTES ? await wholeFile(folder, settled, entry, context) : undefined;
    const { file, isStill } = whole ?? settled;
    if (!whole && file.size <= WHOLE_BYTES) continue;
    // Before its content, since a leg may end with that.
    if (!isStill) {
      const text = `Files of ${folder.name} kept changing: each was saved as it was at one instant, which may be in the middle of a write. Pause their writers by a hook.`;
      context.warn({ code: KEPT_CHANGING, text, count: 1, samples: [file.name] });
    }
    if (whole) {
      const next = last ? null : { file: file.name, offset: null, version: '' };
      yield { piece: whole.piece, tallies: whole.tallies, next };
    } else yield* pieces(folder, file, entry, start, last);
    context.progress('files', ++done, files.length);
  }
}

/** A file as it is read. */
interface Settled {
  readonly file: FileInfo;
  /** False where a writer may be in the middle of a write. */
  readonly isStill: boolean;
}

/** Waits until a file has not changed for a moment, where a write can be seen half done; undefined where it is gone. */
async function settle(
  folder: Folder,
  found: FileInfo | undefined,
  context: LegContext,
): Promise<Settled | undefined> {
  let file = found;
  const isStill = () => folder.writesAreAtomic || !file || Date.now() - file.changedAt >= SETTLE_MS;
  for (let tries = 0; file && !isStill() && tries < CHANGED_TRIES; tries++) {
    context.signal.throwIfAborted();
    await sleep(SETTLE_MS - Math.min(SETTLE_MS - 1, Math.max(0, Date.now() - file.changedAt)));
    file = await folder.stat(file.name);
  }
  return file && { file, isStill: isStill() };
}

/** Reads a small file, again if it changes meanwhile; undefined where it was deleted since it was listed. */
async function wholeFile(
  folder: Folder,
  settled: Settled,
  entry: string,
  context: LegContext,
): Promise<(Settled & Pick<ExportStep, 'piece' | 'tallies'>) | undefined> {
  let { file, isStill } = settled;
  for (let tries = 0; ; tries++) {
    try {
      const chunks: Uint8Array[] = [];
      for await (const chunk of folder.read(file, 0, file.size)) chunks.push(chunk);
      const content = Buffer.concat(chunks);
      const digest = new FileDigest(file.name, content.length);
      digest.add(content);
      return { file, isStill, piece: wholeEntry(entry, content), tallies: digest.tallies() };
    } catch (error) {
      if (!(error instanceof FileChangedError)) throw error;
      const again = await settle(folder, await folder.stat(file.name), context);
      if (!again) return undefined;
      if (tries >= CHANGED_TRIES || again.file.size > WHOLE_BYTES) throw error;
      ({ file, isStill } = again);
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
