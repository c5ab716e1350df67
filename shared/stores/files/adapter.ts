import { createHash } from 'node:crypto';
import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import { BaseStore } from '../base-store.ts';
import { defineAdapter } from '../define-adapter.ts';
import type { ExportStep, Shard, StoreProbe } from '../export-step.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../leg.ts';
import type { StoreProof } from '../proof.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { NAMES_MAX } from '../store.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { checkFiles } from './check.ts';
import { filesComparison } from './comparison.ts';
import { FilesConnection, FilesScope, isIncluded, openFolder, pathOf } from './connection.ts';
import { exportFiles } from './export.ts';
import { filesFacts } from './facts.ts';
import type { Folder, Listing } from './folder.ts';
import { writeOrigin } from './origin.ts';
import { readSetting } from './read-setting.ts';
import { clearFiles, filesOf, loadFiles, neededBytes, requireNoConflicts, verifyFiles } from './restore.ts';
import { narrowFiles, routeFiles, viewFiles } from './view.ts';

/** The name of a file in the scope, or `*` for all files. */
const FileQuestion = z.string().min(1).max(255);
/** Maximum number of files in a scope, because they are listed at once. */
const FILES_MAX = 100_000;

/**
 * Knowledge bases that keep their data in files: `kv_store_*.json`, `vdb_*.json`, GraphML, HNSW indexes and pickles, in
 * a mounted folder or in S3. Files are copied byte by byte. They are never parsed to make decisions, and never
 * executed.
 */
export const filesAdapter = defineAdapter({
  facts: filesFacts,
  Connection: FilesConnection,
  Scope: FilesScope,
  create: (connection, scope, { target }) => new FilesStore(openFolder(connection, scope, target), scope),
  narrow: narrowFiles,
  lacks: ({ namespaces }, { files }) =>
    namespaces && files !== namespaces.length
      ? [`file for one of the namespaces ${namespaces.join(', ')}`]
      : [],
  Smoke: FileQuestion,
  questions: () => ['*'],
  route: routeFiles,
  view: viewFiles,
  // A folder does not include its subfolders.
  overlaps: (one, other) => pathOf(one.connection, one.scope) === pathOf(other.connection, other.scope),
  check: checkFiles,
  comparison: filesComparison,
});

class FilesStore extends BaseStore {
  readonly #folder: Folder;
  readonly #scope: FilesScope;

  constructor(folder: Folder, scope: FilesScope) {
    super(filesAdapter);
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

  /**
   * In S3, a full listing: the ETag of an object is a digest of its content, or is unique to each write, and the time
   * of the last write is that of S3's own clock. Everything that a backup lists in its warnings is included.
   */
  async prove(context: LegContext): Promise<StoreProof> {
    context.signal.throwIfAborted();
    if (this.#folder.unproven !== undefined) return { reason: this.#folder.unproven };
    const { files, folders, others, leftOut, hasOrigin } = await this.#list();
    const digest = createHash('sha256').update(JSON.stringify([folders, others, leftOut, hasOrigin]));
    for (const { name, size, version, changedAt } of files) {
      if (version === '' || changedAt === 0) return { reason: `"${name}" is listed without ETag or time` };
      digest.update(JSON.stringify([name, size, version, changedAt]));
    }
    return {
      values: { folder: this.#folder.name, files: `${files.length} files, digest ${digest.digest('hex')}` },
    };
  }

  override async names(): Promise<readonly string[]> {
    const { files } = await this.#folder.list();
    return files.slice(0, NAMES_MAX).map(({ name }) => name);
  }

  setting(name: string, bytesMax: number): Promise<string | undefined> {
    return readSetting(this.#folder, name, bytesMax, 'Leave it out of "configuration_from".');
  }

  async *export(_shard: Shard, cursor: Cursor | null, context: LegContext): AsyncGenerator<ExportStep> {
    const { files } = await this.#list();
    yield* exportFiles(this.#folder, files, cursor, context);
  }

  /** Exports leave nothing behind, but a restore whose function was killed may leave unfinished uploads. */
  override async cleanup({ leftovers }: LegContext): Promise<void> {
    for await (const begun of leftovers?.all() ?? []) await this.#folder.discard(begun);
  }

  override async admits({ archive, options, context }: RestoreInput): Promise<readonly string[]> {
    const { files } = await this.#list();
    try {
      const count = await countFiles(filesOf(archive, this.#scope));
      if (options.mode === 'merge' && options.onConflict === 'fail') {
        await requireNoConflicts(this.#folder, this.#scope, archive);
      }
      if (count > FILES_MAX) return [`the archive contains ${count} files; at most ${FILES_MAX} are allowed`];
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

/** Reads to the end, so that an invalid name anywhere is found. */
async function countFiles(files: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _file of files) count++;
  return count;
}
