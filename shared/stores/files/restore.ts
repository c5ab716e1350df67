import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { Findings } from '../findings.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { LoadOptions, RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { FileChangedError } from './errors.ts';
import { FileDigest } from './file-digest.ts';
import type { BegunWrite, FileInfo, Folder, Listing } from './folder.ts';
import { FOLDER, fileNameOf } from './names.ts';
import { datasetOf, logOf, logsOf } from './order.ts';
import { ORIGIN_FILE } from './origin-file.ts';
import type { FilesScope } from './scope.ts';
import { selectionOf } from './selection.ts';

/** Restores proceed file by file: a leg ends between two files. */
const RestoreCursor = z.strictObject({
  after: z.string(),
  /** Whether the files that make others visible are written, which is done last. */
  last: z.boolean().default(false),
});

/**
 * The files of an archive, with their entries. Throws InvalidInputError for an entry that is not a file in this scope.
 */
export async function* filesOf(
  archive: EntryReader,
  scope: FilesScope,
): AsyncGenerator<{ file: string; entry: IndexEntry }> {
  const seen = new Set<string>();
  const selection = selectionOf(scope);
  for await (const entry of archive.entries('kv/')) {
    const file = fileNameOf(entry.name);
    const problem =
      file === undefined
        ? 'is not an entry of a files store'
        : !selection.includes(file)
          ? 'is not part of the target\'s scope ("include", "exclude")'
          : seen.has(file)
            ? 'contains a file that another entry contains as well'
            : undefined;
    if (file === undefined || problem !== undefined) {
      throw new InvalidInputError(`The archive can't be restored: ${entry.name.slice(0, 200)} ${problem}.`, {
        remedy: 'Use an archive of a store of this kind and scope; docs/stores/files.md has the format.',
      });
    }
    seen.add(file);
    yield { file, entry };
  }
}

/**
 * Deletes the files in the scope that the archive does not contain, and logs of databases, which must not be combined
 * with another file. The others are replaced one by one.
 */
export async function clearFiles(
  folder: Folder,
  scope: FilesScope,
  { archive, context }: RestoreLeg,
  { files, sharedMemory, hasOrigin }: Pick<Listing, 'files' | 'sharedMemory' | 'hasOrigin'>,
): Promise<LegResult> {
  const kept = new Set<string>();
  for await (const { file } of filesOf(archive, scope)) kept.add(file);
  // The recorded origin does not apply to other files.
  if (hasOrigin) await folder.remove(ORIGIN_FILE);
  const present = new Set(files.map(({ name }) => name));
  for (const name of [...sharedMemory, ...files.map((file) => file.name)]) {
    context.signal.throwIfAborted();
    const log = logOf(name);
    if (!kept.has(name) || (log && (kept.has(log.database) || present.has(log.database))))
      await folder.remove(name);
  }
  return DONE;
}

/**
 * Upper bound of the bytes that a folder gains while the files of an archive are written: each new file exists next to
 * the one that it replaces.
 */
export async function neededBytes(
  archived: ReturnType<typeof filesOf>,
  present: readonly FileInfo[],
  { mode, onConflict }: LoadOptions,
): Promise<number> {
  const sizes = new Map(present.map(({ name, size }) => [name, size]));
  const keeps = mode === 'merge' && onConflict !== 'overwrite';
  let gained = 0;
  let most = 0;
  for await (const { file, entry } of archived) {
    const replaced = sizes.get(file);
    sizes.delete(file);
    if (replaced !== undefined && keeps) continue;
    gained += entry.size;
    most = Math.max(most, gained);
    gained -= replaced ?? 0;
  }
  // Files that the archive does not contain are deleted first.
  const deleted = mode === 'replace' ? [...sizes.values()].reduce((sum, size) => sum + size, 0) : 0;
  return Math.max(0, most - deleted);
}

/** Reports the files and bytes of an archive that are written or compared. */
class FilesProgress {
  readonly #context: LegContext;
  readonly #bytes: number;
  #files: number;
  /** Bytes of the files that are complete, and of the current one. */
  #complete: number;
  #current = 0;

  private constructor(context: LegContext, bytes: number) {
    this.#context = context;
    this.#bytes = bytes;
    this.#files = context.doneBefore?.('files') ?? 0;
    this.#complete = context.doneBefore?.('bytes') ?? 0;
  }

  static async begin(archive: EntryReader, scope: FilesScope, context: LegContext): Promise<FilesProgress> {
    let bytes = 0;
    for await (const { entry } of filesOf(archive, scope)) bytes += entry.size;
    return new FilesProgress(context, bytes);
  }

  async *watch(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      this.#current += chunk.length;
      this.#context.progress('bytes', this.#complete + this.#current, this.#bytes);
      yield chunk;
    }
  }

  complete({ size }: IndexEntry): void {
    this.#complete += size;
    this.#current = 0;
    this.#context.progress('bytes', this.#complete, this.#bytes);
    this.#context.progress('files', ++this.#files);
  }
}

/**
 * Writes every file of the archive. Readers see the old file or the new one, never a partial one. The manifests of Lance
 * datasets are written last, since they make the files of a version visible.
 */
export async function loadFiles(
  folder: Folder,
  scope: FilesScope,
  { archive, options, cursor, context }: RestoreLeg,
): Promise<LegResult> {
  let tallies: Tallies = {};
  const progress = await FilesProgress.begin(archive, scope, context);
  const from = parseCursor(cursor);
  for (const last of [false, true]) {
    if (from?.last && !last) continue;
    const files = afterCursor(filesOf(archive, scope), from?.last === last ? from.after : undefined);
    for await (const { file, entry } of files) {
      if ((datasetOf(file) !== undefined) !== last) continue;
      context.signal.throwIfAborted();
      tallies = addTallies(
        tallies,
        await loadFile(folder, { archive, options, context }, file, entry, progress),
      );
      progress.complete(entry);
      if (context.timeLeft() <= 0) return { cursor: { after: file, last }, tallies };
    }
  }
  return { cursor: null, tallies };
}

async function loadFile(
  folder: Folder,
  { archive, options, context }: RestoreInput,
  file: string,
  entry: IndexEntry,
  progress: FilesProgress,
): Promise<Tallies> {
  const merging = options.mode === 'merge' && options.onConflict !== 'overwrite';
  const existing = merging ? await folder.stat(file) : undefined;
  if (existing && options.onConflict === 'fail') await requireSame(folder, existing, entry, progress);
  if (existing) return {};
  if (options.mode === 'merge') {
    // The log of a database belongs to this database only: it is written before it, and not to one that is kept.
    const database = logOf(file)?.database;
    if (merging && database !== undefined && (await folder.stat(database))) return {};
    if (!merging) await removeLogs(folder, archive, file);
  }
  const digest = new FileDigest(file, entry.size);
  const content = digest.watch(progress.watch(archive.open(entry)));
  const { leftovers } = context;
  const onBegin = leftovers && ((begun: BegunWrite) => leftovers.add(begun.id, begun.value));
  const write = { absent: merging, signal: context.signal, onBegin };
  return (await folder.write(file, content, entry.size, write)) ? digest.tallies() : {};
}

/** Before a database is replaced: removes those of its logs that the archive does not contain. */
async function removeLogs(folder: Folder, archive: EntryReader, database: string): Promise<void> {
  const held = new Set<string | undefined>();
  const logs = logsOf(database);
  for (const log of logs) {
    if (!(await folder.stat(log))) continue;
    if (held.size === 0) {
      for await (const { name } of archive.entries(FOLDER)) {
        const file = fileNameOf(name);
        if (file !== undefined && logs.includes(file)) held.add(file);
      }
      held.add(undefined);
    }
    if (!held.has(log)) await folder.remove(log);
  }
}

/** For a merge that fails on conflicts: throws InvalidInputError if a file exists with different content. */
export async function requireNoConflicts(
  folder: Folder,
  scope: FilesScope,
  archive: EntryReader,
): Promise<void> {
  for await (const { file, entry } of filesOf(archive, scope)) {
    const existing = await folder.stat(file);
    if (existing) await requireSame(folder, existing, entry);
  }
}

async function requireSame(
  folder: Folder,
  file: FileInfo,
  entry: IndexEntry,
  progress?: FilesProgress,
): Promise<void> {
  if (await isSame(folder, file, entry, progress)) return;
  throw new InvalidInputError(
    `${folder.name} has the file "${file.name}" with different content than the archive.`,
    {
      remedy: 'Restore with on_conflict "keep" or "overwrite", or with mode "replace".',
    },
  );
}

/** Reads every file back and compares size and SHA-256. After a `replace`, no other files may exist. */
export async function verifyFiles(
  folder: Folder,
  scope: FilesScope,
  { archive, options, cursor, context }: RestoreLeg,
  present: () => Promise<readonly FileInfo[]>,
): Promise<VerifyResult> {
  const progress = await FilesProgress.begin(archive, scope, context);
  const findings = new Findings();
  const report = (file: string, problem: string) => findings.add(`file ${file}`, problem);
  for await (const { file, entry } of afterCursor(filesOf(archive, scope), parseCursor(cursor)?.after)) {
    context.signal.throwIfAborted();
    const info = await folder.stat(file);
    const kept = options.mode === 'merge' && options.onConflict === 'keep';
    if (!info) report(file, 'is missing in the target');
    else if (!kept) {
      const digest = new FileDigest(file, entry.size);
      if (await isSame(folder, info, entry, progress, digest)) findings.tallies.merge(digest.tallies());
      else report(file, 'has different content');
    }
    progress.complete(entry);
    if (context.timeLeft() <= 0) return findings.result({ after: file });
  }
  if (options.mode === 'replace') {
    const known = new Set<string>();
    for await (const { file } of filesOf(archive, scope)) known.add(file);
    for (const { name } of await present()) {
      if (!known.has(name)) report(name, 'is in the target, but not in the archive');
    }
  }
  return findings.result(null);
}

function parseCursor(cursor: Cursor | null): z.infer<typeof RestoreCursor> | undefined {
  if (cursor === null) return undefined;
  return parseInput(RestoreCursor, cursor, 'The cursor of the file restore', 'Restore again.');
}

async function* afterCursor<T extends { file: string }>(
  files: AsyncIterable<T>,
  after: string | undefined,
): AsyncGenerator<T> {
  let started = after === undefined;
  for await (const item of files) {
    if (started) yield item;
    started ||= item.file === after;
  }
}

async function isSame(
  folder: Folder,
  file: FileInfo,
  entry: IndexEntry,
  progress?: FilesProgress,
  digest?: FileDigest,
): Promise<boolean> {
  if (file.size !== entry.size) return false;
  const hash = createHash('sha256');
  try {
    const read = folder.read(file, 0, file.size);
    const content = progress?.watch(read) ?? read;
    for await (const chunk of digest ? digest.watch(content) : content) hash.update(chunk);
  } catch (error) {
    if (error instanceof FileChangedError) return false;
    throw error;
  }
  return hash.digest('hex') === entry.sha256;
}
