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

/** Files up to this size in bytes are held in memory before they are archived, and read again if they changed. */
const WHOLE_BYTES = 8 * 1024 ** 2;
/** A file that changed more recently than this, in ms, may still be in the middle of a write. */
const SETTLE_MS = 1_000;
/** How often a changing file is checked again. */
const CHANGED_TRIES = 5;
/** Code of the warning about files that kept changing. */
const KEPT_CHANGING = 'files-kept-changing';

const FilesCursor = z.strictObject({
  /** The file to continue with; or, if `offset` is null, the last file that was completed. */
  file: z.string(),
  offset: z.number().int().nonnegative().nullable(),
  /** Version of the file to continue with. */
  version: z.string(),
});
type FilesCursor = z.infer<typeof FilesCursor>;

/** Streams every file unmodified, in name order. The cursor is a file and an offset within it. */
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
  const remaining = files.filter(
    ({ name }) => !from || (from.offset === null ? name > from.file : name >= from.file),
  );
  if (from && from.offset !== null && remaining[0]?.name !== from.file)
    throw new FileBegunError(folder.name, from.file);
  let done = files.length - remaining.length;
  const bytes = sizeOf(files);
  let bytesDone = bytes - sizeOf(remaining);
  for (const listed of remaining) {
    const start = listed.name === from?.file ? (from.offset ?? 0) : 0;
    const entry = names.get(listed.name) ?? '';
    const last = listed === remaining.at(-1);
    if (start > 0 && listed.version !== from?.version) throw new FileBegunError(folder.name, listed.name);
    // Small files are read again later if they changed since they were listed.
    const found = start === 0 && listed.size > WHOLE_BYTES ? await folder.stat(listed.name) : listed;
    const settled = start > 0 ? { file: listed, isStill: true } : await settle(folder, found, context);
    if (!settled) continue;
    const whole =
      settled.file.size <= WHOLE_BYTES ? await wholeFile(folder, settled, entry, context) : undefined;
    const { file, isStill } = whole ?? settled;
    if (!whole && file.size <= WHOLE_BYTES) continue;
    // Warn before the content is exported, since a leg may end with it.
    if (!isStill) {
      const text = `Files of ${folder.name} kept changing: each was saved as it was at one instant, which may be in the middle of a write. Pause their writers by a hook.`;
      context.warn({ code: KEPT_CHANGING, text, count: 1, samples: [file.name] });
    }
    if (whole) {
      const next = last ? null : { file: file.name, offset: null, version: '' };
      yield { piece: whole.piece, tallies: whole.tallies, next };
    } else {
      for await (const step of pieces(folder, file, entry, start, last)) {
        yield step;
        context.progress('bytes', bytesDone + step.piece.offset + step.piece.length, bytes);
      }
    }
    bytesDone += listed.size;
    context.progress('bytes', bytesDone, bytes);
    context.progress('files', ++done, files.length);
  }
}

function sizeOf(files: readonly FileInfo[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** A file and its state before it is read. */
interface Settled {
  readonly file: FileInfo;
  /** False if a writer may be in the middle of a write. */
  readonly isStill: boolean;
}

/**
 * If half-finished writes are visible, waits until the file has not changed for a moment; undefined if it no longer
 * exists.
 */
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

/** Reads a small file, again if it changes meanwhile; undefined if it was deleted after it was listed. */
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
      const current = await settle(folder, await folder.stat(file.name), context);
      if (!current) return undefined;
      if (tries >= CHANGED_TRIES || current.file.size > WHOLE_BYTES) throw error;
      ({ file, isStill } = current);
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
      // Filled while the piece is read, which is before the tallies are used.
      tallies,
      next: last && end === file.size ? null : next,
    };
  }
}
