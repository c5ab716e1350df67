import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { addTallies, type Tallies } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { Findings } from '../findings.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { LoadOptions, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { type FilesScope, isIncluded } from './connection.ts';
import { FileChangedError } from './errors.ts';
import { FileDigest } from './file-digest.ts';
import { type BegunWrite, type FileInfo, type Folder, type Listing, ORIGIN_FILE } from './folder.ts';
import { fileNameOf } from './names.ts';

/** Restores proceed file by file: a leg ends between two files. */
const RestoreCursor = z.strictObject({ after: z.string() });

/**
 * The files of an archive, with their entries. Throws InvalidInputError for an entry that is not a file in this scope.
 */
export async function* filesOf(
  archive: EntryReader,
  scope: FilesScope,
): AsyncGenerator<{ file: string; entry: IndexEntry }> {
  const seen = new Set<string>();
  for await (const entry of archive.entries('kv/')) {
    const file = fileNameOf(entry.name);
    const problem =
      file === undefined
        ? 'is not an entry of a files store'
        : !isIncluded(file, scope)
          ? 'is not part of the target\'s scope ("include")'
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

/** Deletes the files in the scope that the archive does not contain. The others are replaced one by one. */
export async function clearFiles(
  folder: Folder,
  scope: FilesScope,
  { archive, context }: RestoreLeg,
  { files, hasOrigin }: Pick<Listing, 'files' | 'hasOrigin'>,
): Promise<LegResult> {
  const kept = new Set<string>();
  for await (const { file } of filesOf(archive, scope)) kept.add(file);
  // The recorded origin does not apply to other files.
  if (hasOrigin) await folder.remove(ORIGIN_FILE);
  for (const { name } of files) {
    context.signal.throwIfAborted();
    if (!kept.has(name)) await folder.remove(name);
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

/** Writes every file of the archive. Readers see the old file or the new one, never a partial one. */
export async function loadFiles(
  folder: Folder,
  scope: FilesScope,
  { archive, options, cursor, context }: RestoreLeg,
): Promise<LegResult> {
  let tallies: Tallies = {};
  const progress = await FilesProgress.begin(archive, scope, context);
  for await (const { file, entry } of afterCursor(filesOf(archive, scope), cursor)) {
    context.signal.throwIfAborted();
    const merging = options.mode === 'merge' && options.onConflict !== 'overwrite';
    const existing = merging ? await folder.stat(file) : undefined;
    if (existing && options.onConflict === 'fail') await requireSame(folder, existing, entry, progress);
    if (!existing) {
      const digest = new FileDigest(file, entry.size);
      const content = digest.watch(progress.watch(archive.open(entry)));
      const { leftovers } = context;
      const onBegin = leftovers && ((begun: BegunWrite) => leftovers.add(begun.id, begun.value));
      const write = { absent: merging, signal: context.signal, onBegin };
      if (await folder.write(file, content, entry.size, write))
        tallies = addTallies(tallies, digest.tallies());
    }
    progress.complete(entry);
    if (context.timeLeft() <= 0) return { cursor: { after: file }, tallies };
  }
  return { cursor: null, tallies };
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
  for await (const { file, entry } of afterCursor(filesOf(archive, scope), cursor)) {
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

async function* afterCursor<T extends { file: string }>(
  files: AsyncIterable<T>,
  cursor: Cursor | null,
): AsyncGenerator<T> {
  const after =
    cursor === null
      ? null
      : parseInput(RestoreCursor, cursor, 'The cursor of the file restore', 'Restore again.').after;
  let started = after === null;
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
