import { NgbakError } from '../../core/errors.ts';
import type { FileInfo, Listing } from './folder.ts';
import { LeftOut } from './left-out.ts';
import { isOwn, isPlainName } from './names.ts';
import { compareFiles, sharedMemoryOf } from './order.ts';
import { ORIGIN_FILE } from './origin-file.ts';
import type { Selection } from './selection.ts';

/** Maximum number of files in a scope, because they are listed at once. */
export const FILES_MAX = 100_000;

/** Collects what a folder contains, in bounded memory. */
export class ListingBuilder {
  readonly #folder: string;
  readonly #selection: Selection;
  readonly #sample: number;
  readonly #files: FileInfo[] = [];
  readonly #leftOut = { folders: new LeftOut(), links: new LeftOut(), files: new LeftOut() };
  #hasOrigin = false;

  /**
   * @param folder name of the folder in messages
   * @param sample the maximum number of files, if the rest may be missing
   */
  constructor(folder: string, selection: Selection, sample = Number.POSITIVE_INFINITY) {
    this.#folder = folder;
    this.#selection = selection;
    this.#sample = sample;
  }

  /** Whether a sample is complete. */
  get isFull(): boolean {
    return this.#files.length >= this.#sample;
  }

  /** Whether information about a file is needed. Others are left out. */
  wants(path: string): boolean {
    this.#hasOrigin ||= path === ORIGIN_FILE;
    if (isOwn(path)) return false;
    if (this.#selection.includes(path)) return true;
    if (!this.#selection.excludes(path)) this.#leftOut.files.add(path);
    return false;
  }

  /** Adds a file that is part of the scope. */
  add(file: FileInfo): void {
    if (this.isFull) return;
    if (this.#files.length === FILES_MAX) {
      throw new NgbakError(`${this.#folder} has more than ${FILES_MAX} files; that many can be saved.`, {
        remedy: 'Narrow the scope by "include", "exclude" or "folder".',
      });
    }
    this.#files.push(file);
  }

  /** Adds a subfolder. Returns whether its contents are listed as well. */
  folder(path: string): boolean {
    if (this.isFull) return false;
    if (this.#selection.enters(path)) return true;
    if (!this.#selection.excludesFolder(path)) this.#leftOut.folders.add(path);
    return false;
  }

  /** Adds what cannot be saved: links, pipes, sockets, devices, and names that are not file names. */
  other(path: string): void {
    if (!this.#selection.excludes(path)) this.#leftOut.links.add(path);
  }

  /** Whether a name can be that of a file on every system that a restore may use. Adds it to the others if not. */
  accepts(path: string): boolean {
    const isValid = isPlainName(path.slice(path.lastIndexOf('/') + 1)) && path.isWellFormed();
    if (!isValid) this.other(path);
    return isValid;
  }

  end(): Listing {
    const names = new Set(this.#files.map(({ name }) => name));
    const isShared = ({ name }: FileInfo) => names.has(sharedMemoryOf(name) ?? '');
    const files = this.#files
      .filter((file) => !isShared(file))
      .sort(({ name: one }, { name: other }) => compareFiles(one, other));
    const sharedMemory = this.#files.filter(isShared).map(({ name }) => name);
    return { files, sharedMemory, leftOut: this.#leftOut, hasOrigin: this.#hasOrigin };
  }
}
