import { setTimeout as sleep } from 'node:timers/promises';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import type { ExportStep } from '../export-step.ts';
import type { LegContext } from '../leg.ts';
import { FileBegunError, FileChangedError } from './errors.ts';
import { FileDigest } from './file-digest.ts';
import type { FileInfo, Folder } from './folder.ts';
import { entryNamesOf } from './names.ts';
import { compareFiles, logsOf, mayGrow } from './order.ts';
import { cursorAfter, type FilesCursor, pieces, readAll, WHOLE_BYTES } from './pieces.ts';
import { CHECKED_BYTES_MAX, HEAD_BYTES, isSqlite, SqliteCopy, type SqliteState } from './sqlite-copy.ts';

/** How often a database that changes while it is read is read again within one step. */
const TRIES = 20;
/** Pause before reading it again, in ms. Longer than a step of the clock of file timestamps. */
const PAUSE_MS = 50;

/** A database in one file, and the logs that belong to it. */
interface Database {
  readonly file: FileInfo;
  readonly logs: readonly FileInfo[];
}

/** Where and how a database is exported. */
export interface DatabaseExport {
  /** The names of the files in the archive. */
  readonly names: ReadonlyMap<string, string>;
  /** Where to continue, in the database or one of its logs. */
  readonly from: FilesCursor | null;
  /** Whether nothing follows the database. */
  readonly last: boolean;
  readonly context: LegContext;
}

/** The logs of a database that exist now, in the order of the archive. */
async function findLogs(folder: Folder, database: string): Promise<FileInfo[]> {
  const found = await Promise.all(logsOf(database).map((log) => folder.stat(log)));
  return found
    .filter((log) => log !== undefined)
    .sort(({ name: one }, { name: other }) => compareFiles(one, other));
}

/** Whether a file is a SQLite database, by its first bytes, which never change; false if it was deleted or replaced. */
export async function isDatabase(folder: Folder, file: FileInfo): Promise<boolean> {
  if (file.size < HEAD_BYTES) return false;
  try {
    return isSqlite(await readAll(folder, { ...file, size: HEAD_BYTES }, { mayGrow: true }));
  } catch (error) {
    if (error instanceof FileChangedError) return false;
    throw error;
  }
}

/**
 * Exports a database with its logs as of one instant. The logs are read first, and the database must be unchanged from
 * before its logs were read until it has been read: then it is as it was when the logs were read, and its own recovery
 * after a crash completes or rolls back what the logs contain. Throws FileChangedError or FileBegunError if it changes.
 */
export async function* exportDatabase(
  folder: Folder,
  name: string,
  options: DatabaseExport,
): AsyncGenerator<ExportStep> {
  const { from } = options;
  const whole = from === null ? await readWhole(folder, name, options.context) : undefined;
  if (whole === null) return;
  if (whole) yield wholeStep(whole, options);
  else yield* streamed(folder, name, options);
}

/** A database and its logs in memory. */
interface WholeDatabase {
  readonly contents: readonly { readonly name: string; readonly content: Buffer }[];
}

function wholeStep({ contents }: WholeDatabase, { names, last }: DatabaseExport): ExportStep {
  let tallies: Tallies = {};
  const entries = contents.map(({ name, content }) => {
    const digest = new FileDigest(name, content.length);
    digest.add(content);
    tallies = addTallies(tallies, digest.tallies());
    return wholeEntry(entryOf(names, name), content);
  });
  const [piece = wholeEntry('', new Uint8Array()), ...companions] = entries;
  const name = contents.at(-1)?.name ?? '';
  const next = cursorAfter({ name, size: 0, version: '', changedAt: 0 }, 0, last);
  return { piece, companions, tallies, next };
}

/** Reads a small database; null if it does not exist, undefined if it is too large to be held in memory. */
async function readWhole(
  folder: Folder,
  name: string,
  context: LegContext,
): Promise<WholeDatabase | null | undefined> {
  for (let tries = 1; ; tries++) {
    context.signal.throwIfAborted();
    const file = await folder.stat(name);
    if (!file) return null;
    const logs = await findLogs(folder, name);
    if ([file, ...logs].reduce((sum, { size }) => sum + size, 0) > WHOLE_BYTES) return undefined;
    try {
      const contents = await readOnce(folder, { file, logs });
      const state = await stateOf(contents);
      if (state === 'damaged' && tries < TRIES && !folder.writesAreAtomic) {
        await sleep(PAUSE_MS);
        continue;
      }
      report(state, folder, name, context);
      return { contents };
    } catch (error) {
      if (!(error instanceof FileChangedError) || tries >= TRIES) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

async function readOnce(folder: Folder, { file, logs }: Database): Promise<WholeDatabase['contents']> {
  // Another change within the same step of the clock would not be visible.
  if (!folder.writesAreAtomic && Date.now() - file.changedAt < PAUSE_MS)
    throw new FileChangedError(folder.name, file.name);
  const contents: { name: string; content: Buffer }[] = [];
  for (const log of [...logs, file]) {
    contents.push({ name: log.name, content: await readAll(folder, log, { mayGrow: mayGrow(log.name) }) });
  }
  for (const log of logs) {
    if (mayGrow(log.name)) continue;
    if ((await folder.stat(log.name))?.version !== log.version)
      throw new FileChangedError(folder.name, log.name);
  }
  return contents;
}

async function stateOf(contents: WholeDatabase['contents']): Promise<SqliteState> {
  const database = contents.at(-1);
  if (!database || !isSqlite(database.content)) return 'sound';
  const copy = await SqliteCopy.create();
  try {
    for (const { name, content } of contents) await copy.append(name.slice(database.name.length), content);
    return await copy.check();
  } finally {
    await copy.remove();
  }
}

async function* streamed(
  folder: Folder,
  name: string,
  { names, from, last, context }: DatabaseExport,
): AsyncGenerator<ExportStep> {
  const file = await settled(folder, name);
  const begun = from && (from.database ?? from.version);
  if (!file && begun === null) return;
  if (!file || (begun !== null && begun !== file.version)) throw new FileBegunError(folder.name, name);
  const logs = (from?.file === name ? [] : await findLogs(folder, name)).filter(
    (log) => !from || compareFiles(log.name, from.file) >= (from.offset === null ? 1 : 0),
  );
  const total = [file, ...logs].reduce((sum, { size }) => sum + size, 0);
  const isChecked = await isDatabase(folder, file);
  // A later leg does not have the bytes of an earlier one.
  const copy = isChecked && !from && total <= CHECKED_BYTES_MAX ? await SqliteCopy.create() : undefined;
  const watching = (suffix: string) =>
    copy ? { watch: (chunk: Uint8Array) => copy.append(suffix, chunk) } : {};
  try {
    for (const log of logs) {
      const isBegun = log.name === from?.file;
      if (isBegun && !mayGrow(log.name) && log.version !== from.version)
        throw new FileBegunError(folder.name, log.name);
      const size = (isBegun ? from.size : null) ?? log.size;
      yield* pieces(
        folder,
        { ...log, size },
        {
          entry: entryOf(names, log.name),
          start: (isBegun ? from.offset : null) ?? 0,
          mayGrow: mayGrow(log.name),
          next: (end) => ({
            file: log.name,
            offset: end < size ? end : null,
            version: log.version,
            size,
            database: file.version,
          }),
          ...watching(log.name.slice(name.length)),
        },
      );
    }
    const steps = pieces(folder, file, {
      entry: entryOf(names, name),
      start: (from?.file === name ? from.offset : null) ?? 0,
      next: (end) => cursorAfter(file, end, last),
      ...watching(''),
    });
    for await (const step of steps) {
      const isLast = step.piece.offset + step.piece.length === file.size;
      yield isChecked && isLast ? checked(step, copy, folder, name, context) : step;
    }
  } finally {
    await copy?.remove();
  }
}

/** Checks the copy, if there is one, once the last piece has been read, before its step is complete. */
function checked(
  step: ExportStep,
  copy: SqliteCopy | undefined,
  folder: Folder,
  name: string,
  context: LegContext,
): ExportStep {
  const data = async function* () {
    yield* step.piece.data;
    report((await copy?.check()) ?? 'unknown', folder, name, context);
  };
  return { ...step, piece: { ...step.piece, data: data() } };
}

/** The database, once its last change is longer ago than a step of the clock. */
async function settled(folder: Folder, name: string): Promise<FileInfo | undefined> {
  for (let tries = 1; ; tries++) {
    const file = await folder.stat(name);
    if (!file || folder.writesAreAtomic || Date.now() - file.changedAt >= PAUSE_MS) return file;
    if (tries >= TRIES) throw new FileChangedError(folder.name, name);
    await sleep(PAUSE_MS);
  }
}

function entryOf(names: ReadonlyMap<string, string>, file: string): string {
  return names.get(file) ?? entryNamesOf([file]).get(file) ?? '';
}

function report(state: SqliteState, folder: Folder, name: string, context: LegContext): void {
  if (state === 'sound') return;
  const what = {
    damaged: {
      code: 'sqlite-damaged',
      text: `SQLite databases of ${folder.name} were saved, but their copies fail the integrity check: they are damaged, or were copied in the middle of a write. Check them with "PRAGMA integrity_check", and pause their writers by a hook.`,
    },
    unknown: {
      code: 'sqlite-not-checked',
      text: `SQLite databases of ${folder.name} were saved without an integrity check: they are larger than ${CHECKED_BYTES_MAX / 1024 ** 2} MiB, or SQLite or an extension of theirs is not available.`,
    },
  }[state];
  context.warn({ ...what, count: 1, samples: [name] });
}
