import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { MarkRequest } from '../marks.ts';
import type { StoreProof } from '../proof.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { NAMES_MAX } from '../store.ts';
import type { StoreWarning } from '../warning.ts';
import { nameProblems } from './admission.ts';
import { checkFiles } from './check.ts';
import { filesComparison } from './comparison.ts';
import { FilesConnection, openFolder, overlap } from './connection.ts';
import { exportFiles } from './export.ts';
import { filesFacts } from './facts.ts';
import type { Folder, Listing } from './folder.ts';
import type { LeftOut } from './left-out.ts';
import { findFileMarks } from './marks.ts';
import { entryNamesOf, foldersOf, isTooLong } from './names.ts';
import { compareFiles, datasetOf } from './order.ts';
import { writeOrigin } from './origin.ts';
import { readSetting } from './read-setting.ts';
import { clearFiles, filesOf, loadFiles, neededBytes, requireNoConflicts, verifyFiles } from './restore.ts';
import { FilesScope } from './scope.ts';
import { type Selection, selectionOf } from './selection.ts';
import { narrowFiles, routeFiles, viewFiles } from './view.ts';

/** The name of a file in the scope, or `*` for all files. */
const FileQuestion = z.string().min(1).max(255);
/** How long names are in a message about too long ones. */
const NAME_CHARACTERS = 100;
/** What identifies a system: files directly in the location and in its folders, and the names of folders. */
const RECOGNIZED: Selection = {
  includes: () => true,
  excludes: () => false,
  enters: (folder) => !folder.includes('/'),
  excludesFolder: () => false,
};

/**
 * Knowledge bases that keep their data in files: `kv_store_*.json`, `vdb_*.json`, GraphML, HNSW indexes and pickles,
 * parquet, Lance datasets, SQLite, in a mounted folder or in S3. Files are copied byte by byte, and never executed.
 */
export const filesAdapter = defineAdapter({
  facts: filesFacts,
  Connection: FilesConnection,
  Scope: FilesScope,
  create: (connection, scope, { target, marks }) =>
    new FilesStore(openFolder(connection, scope, target), scope, marks),
  narrow: narrowFiles,
  lacks: ({ namespaces }, { files }) =>
    namespaces && files !== namespaces.length
      ? [`file for one of the namespaces ${namespaces.join(', ')}`]
      : [],
  Smoke: FileQuestion,
  questions: () => ['*'],
  route: routeFiles,
  view: viewFiles,
  overlaps: overlap,
  check: checkFiles,
  comparison: filesComparison,
});

class FilesStore extends BaseStore {
  readonly #folder: Folder;
  readonly #scope: FilesScope;
  readonly #selection: Selection;
  readonly #marks: readonly MarkRequest[];

  constructor(folder: Folder, scope: FilesScope, marks: readonly MarkRequest[] = []) {
    super(filesAdapter);
    this.#marks = marks;
    this.#folder = folder;
    this.#scope = scope;
    this.#selection = selectionOf(scope);
  }

  async #list(): Promise<Listing> {
    const listing = await this.#folder.list(this.#selection);
    const entries = entryNamesOf(listing.files.map(({ name }) => name));
    const tooLong = [...entries].filter(([, entry]) => isTooLong(entry)).map(([name]) => name);
    if (tooLong.length === 0) return listing;
    const names = tooLong.slice(0, 3).map((name) => `"${name.slice(0, NAME_CHARACTERS)}…"`);
    throw new InvalidInputError(
      `${this.#folder.name} has ${tooLong.length} files whose names are too long for an archive: ${names.join(', ')}.`,
      {
        remedy: 'Leave them out by "exclude" in the scope of the store; docs/stores/files.md has the limit.',
      },
    );
  }

  /**
   * The files to export. Manifests of Lance datasets are those of a first listing, and all other files those of a second
   * one, so that every file that a manifest names existed when it was listed.
   */
  async #listForExport(): Promise<Listing['files']> {
    const isManifest = ({ name }: { name: string }) => datasetOf(name) !== undefined;
    const { files } = await this.#list();
    if (!files.some(isManifest)) return files;
    const later = (await this.#list()).files.filter((file) => !isManifest(file));
    return [...files.filter(isManifest), ...later].sort((one, other) => compareFiles(one.name, other.name));
  }

  async probe(context: LegContext): Promise<StoreProbe> {
    context.signal.throwIfAborted();
    const { files, leftOut } = await this.#list();
    const digest = createHash('sha256');
    for (const { name, version } of files) digest.update(JSON.stringify([name, version]));
    const bytes = files.reduce((sum, { size }) => sum + size, 0);
    const warnings: StoreWarning[] = [];
    const leaveOut = (code: string, text: string, { count, samples }: LeftOut) => {
      if (count > 0) warnings.push({ code, text, count, samples: [...samples] });
    };
    const { name } = this.#folder;
    leaveOut('subfolders-left-out', `Subfolders of ${name} are left out by "include".`, leftOut.folders);
    leaveOut(
      'links-left-out',
      `Links, special files and names that are not valid for files in ${name} are left out.`,
      leftOut.links,
    );
    leaveOut('files-left-out', `Files of ${name} are left out by "include".`, leftOut.files);
    return {
      kind: 'files',
      version: '1',
      edition: this.#folder.edition,
      counts: { files: files.length },
      ...(this.#marks.length === 0
        ? {}
        : { marks: await findFileMarks(this.#folder, files, this.#marks, context) }),
      estimatedBytes: bytes,
      fence: { files: `${files.length} files, ${bytes} bytes, digest ${digest.digest('hex').slice(0, 16)}` },
      warnings,
    };
  }

  /**
   * In S3, a full listing: the ETag of an object is a digest of its content, or is unique to each write, and the time
   * of the last write is that of S3's own clock. Everything that a backup lists in its warnings is included.
   */
  async prove(context: LegContext): Promise<StoreProof> {
    context.signal.throwIfAborted();
    if (this.#folder.unproven !== undefined) return { reason: this.#folder.unproven };
    const { files, sharedMemory, leftOut, hasOrigin } = await this.#list();
    const others = [leftOut.folders, leftOut.links, leftOut.files].map((names) => names.digest());
    const digest = createHash('sha256').update(JSON.stringify([...others, sharedMemory, hasOrigin]));
    for (const { name, size, version, changedAt } of files) {
      if (version === '' || changedAt === 0) return { reason: `"${name}" is listed without ETag or time` };
      digest.update(JSON.stringify([name, size, version, changedAt]));
    }
    return {
      values: { folder: this.#folder.name, files: `${files.length} files, digest ${digest.digest('hex')}` },
    };
  }

  override async names(): Promise<readonly string[]> {
    const { files, leftOut } = await this.#folder.list(RECOGNIZED, NAMES_MAX);
    const folders = new Set([
      ...files.flatMap(({ name }) => [...foldersOf(name)]),
      // A folder with nothing but folders in it counts as well.
      ...leftOut.folders.samples.flatMap((folder) => [...foldersOf(folder), folder]),
    ]);
    return [...files.map(({ name }) => name), ...[...folders].map((folder) => `${folder}/`)].slice(
      0,
      NAMES_MAX,
    );
  }

  setting(name: string, bytesMax: number): Promise<string | undefined> {
    return readSetting(this.#folder, name, bytesMax, 'Leave it out of "configuration_from".');
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    const files = await this.#listForExport();
    yield* exportFiles(this.#folder, files, cursor, context);
  }

  /** Exports leave nothing behind, but a restore whose function was killed may leave unfinished uploads. */
  override async cleanup({ leftovers }: LegContext): Promise<void> {
    for await (const begun of leftovers?.all() ?? []) await this.#folder.discard(begun);
  }

  override async admits({ archive, options, context }: RestoreInput): Promise<readonly string[]> {
    const { files } = await this.#list();
    try {
      const archived = () => filesOf(archive, this.#scope);
      const merges = options.mode === 'merge';
      const problems = await nameProblems(this.#folder, archived(), files, merges, context.warn);
      if (problems.length > 0) return problems;
      if (options.mode === 'merge' && options.onConflict === 'fail') {
        await requireNoConflicts(this.#folder, this.#scope, archive);
      }
      const needed = await neededBytes(archived(), files, options);
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

  async clear(leg: RestoreLeg): Promise<LegResult> {
    if (leg.options.mode === 'merge') return DONE;
    return clearFiles(this.#folder, this.#scope, leg, await this.#list());
  }

  async load(leg: RestoreLeg): Promise<LegResult> {
    return loadFiles(this.#folder, this.#scope, leg);
  }

  async verify(leg: RestoreLeg): Promise<VerifyResult> {
    const present = async () => (await this.#list()).files;
    return verifyFiles(this.#folder, this.#scope, leg, present);
  }

  /** Reports the number of files (`*`), or the size of one file after reading it completely. */
  override async smoke(question: unknown, context: LegContext): Promise<string> {
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

  async label({ route, context }: LabelLeg): Promise<LegResult> {
    await writeOrigin(this.#folder, route.origin ?? {}, context);
    return DONE;
  }

  override async occupied(): Promise<readonly string[]> {
    const { files, hasOrigin } = await this.#list();
    return [...files.map(({ name }) => `file "${name}"`), ...(hasOrigin ? ['the file of its origin'] : [])];
  }

  override async finish(): Promise<LegResult> {
    await this.#folder.tidy();
    return DONE;
  }

  override async close(): Promise<void> {
    await this.#folder.close();
  }
}
