import { setTimeout as sleep } from 'node:timers/promises';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { parseInput } from '../../core/input.ts';
import type { ExportStep } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { FileBegunError, FileChangedError } from './errors.ts';
import { type DatabaseExport, exportDatabase, isDatabase } from './export-database.ts';
import { FileDigest } from './file-digest.ts';
import type { FileInfo, Folder } from './folder.ts';
import { entryNamesOf } from './names.ts';
import { compareFiles, logOf, logsOf } from './order.ts';
import { isUnfinished, isUnfinishedParquet } from './parquet.ts';
import { cursorAfter, FilesCursor, pieces, readAll, WHOLE_BYTES } from './pieces.ts';
import { isSqlite } from './sqlite-copy.ts';

/** A file that changed more recently than this, in ms, may still be in the middle of a write. */
const SETTLE_MS = 1_000;
/** How often a changing file is checked again. */
const CHANGED_TRIES = 5;

/** Streams every file unmodified, in the order of `compareFiles`. The cursor is a file and an offset within it. */
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
  const held = new Set(files.map(({ name }) => name));
  // A log is saved with its database.
  const items = files.filter(({ name }) => !held.has(logOf(name)?.database ?? ''));
  const remaining = items.filter(({ name }) => isAhead(name, from, held));
  if (from && from.offset !== null && remaining[0]?.name !== itemOf(from.file, held))
    throw new FileBegunError(folder.name, from.file);
  let done = items.length - remaining.length;
  const bytes = sizeOf(files);
  let bytesDone = bytes - sizeOf(remaining);
  for (const listed of remaining) {
    const isFirst = from !== null && listed === remaining[0] && listed.name === itemOf(from.file, held);
    const item = { names, from: isFirst ? from : null, last: listed === remaining.at(-1), context };
    let within = 0;
    for await (const step of exportFile(folder, listed, item)) {
      yield step;
      within += step.piece.length;
      context.progress('bytes', Math.min(bytes, bytesDone + within), bytes);
    }
    bytesDone += listed.size;
    context.progress('bytes', bytesDone, bytes);
    context.progress('files', ++done, items.length);
  }
}

/** The item of the export to which a file belongs: a database for its log. */
function itemOf(file: string, held: ReadonlySet<string>): string {
  const database = logOf(file)?.database;
  return database !== undefined && held.has(database) ? database : file;
}

function isAhead(name: string, from: FilesCursor | null, held: ReadonlySet<string>): boolean {
  if (!from) return true;
  const item = itemOf(from.file, held);
  const order = compareFiles(name, item);
  // After the last piece of a log, its database follows.
  return from.offset === null && item === from.file ? order > 0 : order >= 0;
}

function sizeOf(files: readonly FileInfo[]): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

async function* exportFile(
  folder: Folder,
  listed: FileInfo,
  item: DatabaseExport,
): AsyncGenerator<ExportStep> {
  const { names, from, last, context } = item;
  const isBegun = from !== null && from.offset !== null && from.file === listed.name;
  const hasLogs = logsOf(listed.name).some((log) => names.has(log));
  if (from?.database != null || (hasLogs && !isBegun) || (isBegun && (await isDatabase(folder, listed)))) {
    yield* exportDatabase(folder, listed.name, item);
    return;
  }
  const start = isBegun ? (from.offset ?? 0) : 0;
  if (start > 0 && listed.version !== from?.version) throw new FileBegunError(folder.name, listed.name);
  // Small files are read again later if they changed since they were listed.
  const found = start === 0 && listed.size > WHOLE_BYTES ? await folder.stat(listed.name) : listed;
  // A database need not be still, because its log describes what is being written.
  const isBusy = start === 0 && found && !folder.writesAreAtomic && !isStill(found);
  if (isBusy && (await isDatabase(folder, found))) {
    yield* exportDatabase(folder, listed.name, item);
    return;
  }
  const settled = start > 0 ? { file: listed, isStill: true } : await settle(folder, found, context);
  if (!settled) return;
  const whole = settled.file.size <= WHOLE_BYTES ? await wholeFile(folder, settled, context) : undefined;
  const { file, isStill: wasStill } = whole ?? settled;
  if (!whole && file.size <= WHOLE_BYTES) return;
  // Its logs may have appeared after it was listed.
  const isSqliteFile = whole ? isSqlite(whole.content) : start === 0 && (await isDatabase(folder, file));
  if (isSqliteFile) {
    yield* exportDatabase(folder, listed.name, item);
    return;
  }
  const isCut = whole
    ? isUnfinishedParquet(file.name, whole.content, whole.content)
    : start === 0 && (await isUnfinished(folder, file));
  // Warn before the content is exported, since a leg may end with it.
  if (!wasStill) warnChanging(folder, file, context);
  if (isCut) warnUnfinished(folder, file, context);
  const entry = names.get(listed.name) ?? '';
  if (whole) {
    const digest = new FileDigest(file.name, whole.content.length);
    digest.add(whole.content);
    const next = cursorAfter(file, file.size, last);
    yield { piece: wholeEntry(entry, whole.content), tallies: digest.tallies(), next };
    return;
  }
  yield* pieces(folder, file, { entry, start, next: (end) => cursorAfter(file, end, last) });
}

function warnChanging(folder: Folder, { name }: FileInfo, context: LegContext): void {
  const text = `Files of ${folder.name} kept changing: each was saved as it was at one instant, which may be in the middle of a write. Pause their writers by a hook.`;
  context.warn({ code: 'files-kept-changing', text, count: 1, samples: [name] });
}

function warnUnfinished(folder: Folder, { name }: FileInfo, context: LegContext): void {
  const text = `Parquet files of ${folder.name} lack the mark at their beginning or end: they are unfinished or damaged, and were saved as they are.`;
  context.warn({ code: 'parquet-unfinished', text, count: 1, samples: [name] });
}

/** A file and its state before it is read. */
interface Settled {
  readonly file: FileInfo;
  /** False if a writer may be in the middle of a write. */
  readonly isStill: boolean;
}

/**
 * If half-finished writes are visible, waits until the file has not changed for a moment and is not visibly unfinished;
 * undefined if it no longer exists.
 */
async function settle(
  folder: Folder,
  found: FileInfo | undefined,
  context: LegContext,
): Promise<Settled | undefined> {
  let file = found;
  const isQuietNow = () => folder.writesAreAtomic || !file || isStill(file);
  for (let tries = 0; file && tries < CHANGED_TRIES; tries++) {
    const isQuiet = isQuietNow();
    if (isQuiet && (folder.writesAreAtomic || !(await isCut(folder, file)))) break;
    context.signal.throwIfAborted();
    const age = isQuiet ? 0 : Math.max(0, Date.now() - file.changedAt);
    await sleep(SETTLE_MS - Math.min(SETTLE_MS - 1, age));
    file = await folder.stat(file.name);
  }
  return file && { file, isStill: isQuietNow() };
}

function isStill({ changedAt }: FileInfo): boolean {
  return Date.now() - changedAt >= SETTLE_MS;
}

/** Whether the writer of a file is visibly not finished; false if it changes at this moment. */
async function isCut(folder: Folder, file: FileInfo): Promise<boolean> {
  try {
    return await isUnfinished(folder, file);
  } catch (error) {
    if (error instanceof FileChangedError) return false;
    throw error;
  }
}

/** Reads a small file, again if it changes meanwhile; undefined if it was deleted after it was listed. */
async function wholeFile(
  folder: Folder,
  settled: Settled,
  context: LegContext,
): Promise<(Settled & { readonly content: Buffer }) | undefined> {
  let { file, isStill } = settled;
  for (let tries = 0; ; tries++) {
    try {
      return { file, isStill, content: await readAll(folder, file) };
    } catch (error) {
      if (!(error instanceof FileChangedError)) throw error;
      const current = await settle(folder, await folder.stat(file.name), context);
      if (!current) return undefined;
      if (tries >= CHANGED_TRIES || current.file.size > WHOLE_BYTES) throw error;
      ({ file, isStill } = current);
    }
  }
}
