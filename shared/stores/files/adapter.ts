import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import {
  type Cursor,
  type ExportStep,
  type Leg,
  type LegContext,
  NAMES_MAX,
  type RestoreOptions,
  type Route,
  type Shard,
  type Store,
  type StoreAdapter,
  type StoreProbe,
  type VerifyLeg,
} from '../store.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { checkFiles } from './check.ts';
import { FilesConnection, FilesScope, isIncluded, openFolder } from './connection.ts';
import { exportFiles } from './export.ts';
import type { Folder, Listing } from './folder.ts';
import { writeOrigin } from './origin.ts';
import { clearFiles, filesOf, loadFiles, neededBytes, requireNoConflicts, verifyFiles } from './restore.ts';
import { narrowFiles, routeFiles, viewFiles } from './view.ts';

/** Name of a file of the scope, or `*` for all of them. */
const FileQuestion = z.string().min(1).max(255);
/** Most files of one scope: they are listed as a whole. */
const FILES_MAX = 100_000;

/**
 * Knowledge bases that keep their data in files: `kv_store_*.json`, `vdb_*.json`, GraphML, HNSW indexes and pickles, in
 * a mounted folder or in S3. They are copied as bytes; none is ever parsed to decide what to do, or executed.
 */
export const filesAdapter: StoreAdapter<FilesConnection, FilesScope> = {
  kind: 'files',
  name: 'kv',
  Connection: FilesConnection,
  Scope: FilesScope,
  create: (connection, scope, { target }) => new FilesStore(openFolder(connection, scope, target), scope),
  narrow: narrowFiles,
  Smoke: FileQuestion,
  questions: () => ['*'],
  route: routeFiles,
  view: viewFiles,
  check: checkFiles,
  // Files are copied as bytes, never read for what they hold.
  values: () => Promise.resolve(undefined),
};

class FilesStore implements Store {
  readonly name = 'kv';
  readonly kind = 'files';
  readonly #folder: Folder;
  readonly #scope: FilesScope;
  #listing: Promise<Listing> | undefined;

  constructor(folder: Folder, scope: FilesScope) {
    this.#folder = folder;
    this.#scope = scope;
  }

  async #list(): Promise<Listing & { leftOut: readonly string[] }> {
    const { files, folders, others, hasOrigin } = await this.#folder.list();
    const included = files.filter(({ name }) => isIncluded(name, this.#scope));
    if (included.length > FILES_MAX) {
      throw new NgbakError(
        `${this.#folder.name} has ${included.length} files; at most ${FILES_MAX} can be saved.`,
        {
          remedy: 'Narrow the scope by "include" or "folder".',
        },
      );
    }
    const leftOut = files.filter(({ name }) => !isIncluded(name, this.#scope)).map(({ name }) => name);
    return { files: included, folders, others, hasOrigin, leftOut };
  }

  async probe(context: LegContext): Promise<StoreProbe> {
    context.signal.throwIfAborted();
    const { files, folders, others, leftOut } = await this.#list();
    const digest = createHash('sha256');
    for (const { name, version } of files) digest.update(JSON.stringify([name, version]));
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const warnings: StoreWarning[] = [];
    const leaveOut = (code: string, text: string, names: readonly string[]) => {
      if (names.length === 0) return;
      warnings.push({ code, text, count: names.length, samples: names.slice(0, WARNING_SAMPLES_MAX) });
    };
    leaveOut('subfolders-left-out', `Subfolders of ${this.#folder.name} are left out.`, folders);
    leaveOut('links-left-out', `Links and special files of ${this.#folder.name} are left out.`, others);
    leaveOut('files-left-out', `Files of ${this.#folder.name} are left out by "include".`, leftOut);
    return {
      kind: 'files',
      version: '1',
      edition: this.#folder.edition,
      counts: { files: files.length },
      estimatedBytes: bytes,
      fence: { files: `${files.length} files, ${bytes} bytes, digest ${digest.digest('hex').slice(0, 16)}` },
      warnings,
    };
  }

  async names(): Promise<readonly string[]> {
    const { files } = await this.#folder.list();
    return files.slice(0, NAMES_MAX).map(({ name }) => name);
  }

  async setting(name: string, bytesMax: number): Promise<string | undefined> {
    // Listed once, not requested by name: S3 refuses that for a name that does not exist unless the whole bucket may be listed.
    this.#listing ??= this.#folder.list();
    const file = (await this.#listing).files.find((other) => other.name === name);
    if (!file) return undefined;
    if (file.size > bytesMax) {
      throw new InvalidInputError(
        `${this.#folder.name}: "${name}" has ${file.size} bytes; the limit is ${bytesMax}.`,
        {
          remedy: 'Leave it out of "configuration_from".',
        },
      );
    }
    const parts: Uint8Array[] = [];
    for await (const chunk of this.#folder.read(file, 0, file.size)) parts.push(Buffer.from(chunk));
    return Buffer.concat(parts).toString('utf8');
  }

  async plan(_context: LegContext, probe: StoreProbe): Promise<Shard[]> {
    if (probe.counts.files === 0) return [];
    return [{ id: 'files', params: {}, estimatedBytes: probe.estimatedBytes }];
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    const { files } = await this.#list();
    yield* exportFiles(this.#folder, files, cursor, context);
  }

  /** Exports leave nothing behind; a restore whose function was killed may leave unfinished uploads. */
  async cleanup({ leftovers }: LegContext): Promise<void> {
    for await (const begun of leftovers?.all() ?? []) await this.#folder.discard(begun);
  }

  async admits(
    archive: EntryReader,
    options: RestoreOptions,
    context: LegContext,
  ): Promise<readonly string[]> {
    const { files } = await this.#list();
    try {
      const count = await countFiles(filesOf(archive, this.#scope));
      if (options.mode === 'merge' && options.onConflict === 'fail') {
        await requireNoConflicts(this.#folder, this.#scope, archive);
      }
      if (count > FILES_MAX) return [`the archive holds ${count} files, at most ${FILES_MAX} are allowed`];
      const needed = await neededBytes(filesOf(archive, this.#scope), files, options);
      const free = await this.#folder.free();
      if (free === undefined) return [];
      context.room?.({ of: 'disk', needed, free });
      return needed <= free
        ? []
        : [
            `the files of the archive need ${needed} bytes more than now, and ${this.#folder.name} has ${free} bytes free`,
          ];
    } catch (error) {
      if (!(error instanceof NgbakError) || error.retryable) throw error;
      return [`${error.message} ${error.remedy}`];
    }
  }

  async clear(
    archive: EntryReader,
    options: RestoreOptions,
    _cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    if (options.mode === 'merge') return { cursor: null, tallies: {} };
    return clearFiles(this.#folder, this.#scope, archive, await this.#list(), context);
  }

  async load(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    return loadFiles(this.#folder, this.#scope, archive, options, cursor, context);
  }

  async verify(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<VerifyLeg> {
    const present = async () => (await this.#list()).files;
    return verifyFiles(this.#folder, this.#scope, archive, options, present, cursor, context);
  }

  async missing(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  /** How many files there are (`*`), or the size of one, read to its end. */
  async smoke(question: unknown, context: LegContext): Promise<string> {
    const name = FileQuestion.parse(question);
    const { files } = await this.#list();
    if (name === '*') return `${files.length} files`;
    const file = files.find((candidate) => candidate.name === name);
    if (!file) return 'no such file';
    let bytes = 0;
    for await (const chunk of this.#folder.read(file, 0, file.size)) {
      context.signal.throwIfAborted();
      bytes += chunk.length;
    }
    return `${bytes} bytes`;
  }

  async label(
    _archive: EntryReader,
    route: Route,
    _cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg> {
    await writeOrigin(this.#folder, route.origin ?? {}, context);
    return { cursor: null, tallies: {} };
  }

  async finish(): Promise<Leg> {
    await this.#folder.tidy();
    return { cursor: null, tallies: {} };
  }

  async close(): Promise<void> {
    await this.#folder.close();
  }
}

/** Reads to the end, which is where the last wrong name would show. */
async function countFiles(files: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _file of files) count++;
  return count;
}
