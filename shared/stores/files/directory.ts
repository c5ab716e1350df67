import { randomBytes } from 'node:crypto';
import type { BigIntStats, Dirent } from 'node:fs';
import {
  access,
  constants,
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  opendir,
  realpath,
  rename,
  rmdir,
  statfs,
  unlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, FileChangedError, folderError, NotAFileError, NotAFolderError } from './errors.ts';
import type { FileInfo, Folder, Listing } from './folder.ts';
import { ListingBuilder } from './listing.ts';
import { foldersOf, isPlainPath, OWN_PREFIX } from './names.ts';
import { compareFiles } from './order.ts';
import { ORIGIN_FILE } from './origin-file.ts';
import { DIRECT, type Selection } from './selection.ts';

/** Number of bytes per read. */
const READ_BYTES = 1024 ** 2;
/** File timestamps advance in steps of up to 10 ms: two changes within one step have the same timestamp. */
const CLOCK_STEP_MS = 20;
/** EFS grows automatically and reports 8 EiB. */
const UNLIMITED_BYTES = 1024 ** 6;
/** How many files are looked at concurrently: a network file system answers each after a while. */
const LOOKUPS = 16;

/** A mounted folder, such as an EFS access point. Links are not followed: they could lead out of the folder. */
export class Directory implements Folder {
  readonly name: string;
  readonly edition = 'directory';
  readonly writesAreAtomic = false;
  /**
   * A mapped file changes without a new time until the kernel writes its pages back, two writes within one step of the
   * clock have the same time, and a network file system may answer with remembered attributes.
   */
  readonly unproven = 'times and inodes of files in a folder do not prove that their content is the same';
  readonly #path: string;
  /** The path without links. */
  #root: string | undefined;

  constructor(path: string, target: string) {
    this.#path = path;
    this.name = `Folder ${path} of target "${target}"`;
  }

  async list(selection: Selection = DIRECT, sample?: number): Promise<Listing> {
    const listing = new ListingBuilder(this.name, selection, sample);
    try {
      await this.#walk('', listing);
    } catch (error) {
      throw folderError(this.name, 'listing it', error);
    }
    return listing.end();
  }

  async #walk(folder: string, listing: ListingBuilder): Promise<void> {
    const entries = await this.#entriesOf(folder);
    if (listing.isFull) return;
    const wanted: string[] = [];
    for (const { path, entry } of entries) {
      if (!listing.accepts(path)) continue;
      if (entry.isFile() && listing.wants(path)) wanted.push(path);
      else if (!entry.isFile() && !entry.isDirectory()) listing.other(path);
    }
    for (let at = 0; at < wanted.length && !listing.isFull; at += LOOKUPS) {
      const paths = wanted.slice(at, at + LOOKUPS);
      const found = await Promise.all(paths.map((path) => this.#infoAt(path, join(this.#path, path))));
      for (const [index, info] of found.entries()) {
        const path = paths[index] ?? '';
        if (info) listing.add(info);
        // It was deleted meanwhile, or its name is not valid UTF-8.
        else if (path.includes('\ufffd')) listing.other(path);
      }
    }
    for (const { path, entry } of entries) {
      if (entry.isDirectory() && listing.folder(path)) await this.#walk(path, listing);
    }
  }

  /** The contents of a subfolder, in the order of files; nothing if it was deleted meanwhile. */
  async #entriesOf(folder: string): Promise<{ path: string; entry: Dirent }[]> {
    const found: { path: string; entry: Dirent }[] = [];
    try {
      for await (const entry of await opendir(await this.#inside(folder))) {
        found.push({ path: folder === '' ? entry.name : `${folder}/${entry.name}`, entry });
      }
    } catch (error) {
      if (folder !== '' && isAbsent(error)) return [];
      throw error;
    }
    return found.sort(({ path: one }, { path: other }) => compareFiles(one, other));
  }

  /** The path of a file or subfolder. Throws NotAFolderError if a link on the way leads elsewhere. */
  async #inside(name: string): Promise<string> {
    const path = join(this.#path, name);
    const at = name.lastIndexOf('/');
    if (at < 0) return path;
    const folder = name.slice(0, at);
    this.#root ??= await realpath(this.#path);
    if ((await realpath(dirname(path))) === join(this.#root, folder)) return path;
    throw new NotAFolderError(this.name, folder);
  }

  async find(name: string): Promise<FileInfo | undefined> {
    if (!isPlainPath(name)) return undefined;
    const info = await this.stat(name);
    if (info) return info;
    // Distinguish a folder that is not mounted from a file that does not exist.
    await access(this.#path).catch((error: unknown) => {
      throw folderError(this.name, 'looking into it', error);
    });
    return undefined;
  }

  async stat(name: string): Promise<FileInfo | undefined> {
    try {
      return await this.#infoAt(name, await this.#inside(name));
    } catch (error) {
      if (isAbsent(error) || error instanceof NotAFolderError) return undefined;
      throw folderError(this.name, `looking at "${name}"`, error);
    }
  }

  async #infoAt(name: string, path: string): Promise<FileInfo | undefined> {
    try {
      const info = await lstat(path, { bigint: true });
      return info.isFile() ? infoOf(name, info) : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async *read(
    file: FileInfo,
    offset: number,
    length: number,
    { mayGrow = false }: { mayGrow?: boolean } = {},
  ): AsyncGenerator<Uint8Array> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(await this.#inside(file.name), constants.O_RDONLY | constants.O_NOFOLLOW);
      const opened = handle;
      const isChanged = async () =>
        !mayGrow && infoOf(file.name, await opened.stat({ bigint: true })).version !== file.version;
      // Wait, so that any later change gets a timestamp different from this version's.
      if (!mayGrow && Date.now() - file.changedAt < CLOCK_STEP_MS) await sleep(CLOCK_STEP_MS);
      if (await isChanged()) throw new FileChangedError(this.name, file.name);
      for (let at = 0; at < length; ) {
        const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, length - at));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset + at);
        if (bytesRead === 0) throw new FileChangedError(this.name, file.name);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
      // A writer that replaces the file does not affect our open handle; one that writes into it is detected here.
      if (await isChanged()) throw new FileChangedError(this.name, file.name);
    } catch (error) {
      if (isAbsent(error)) throw new FileChangedError(this.name, file.name);
      throw folderError(this.name, `reading "${file.name}"`, error);
    } finally {
      await handle?.close();
    }
  }

  async write(
    name: string,
    content: AsyncIterable<Uint8Array>,
    _size: number,
    { absent, signal }: { absent: boolean; signal: AbortSignal },
  ): Promise<boolean> {
    const temporary = join(this.#path, `${OWN_PREFIX}${randomBytes(8).toString('hex')}`);
    try {
      const path = await this.#placeFor(name);
      const handle = await open(temporary, 'wx', 0o644);
      try {
        for await (const chunk of content) {
          signal.throwIfAborted();
          await writeAll(handle, chunk);
        }
        await handle.sync();
      } finally {
        await handle.close();
      }
      if (!absent) {
        await rename(temporary, path);
        return true;
      }
      // Unlike a rename, a link never replaces a file created in the meantime.
      try {
        await link(temporary, path);
        return true;
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        await unlink(temporary);
      }
    } catch (error) {
      await this.remove(temporary.slice(this.#path.length + 1));
      if (['EISDIR', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) throw new NotAFileError(this.name, name);
      throw folderError(this.name, `writing "${name}"`, error);
    }
  }

  /** Creates the folders of a file, and returns its path. */
  async #placeFor(name: string): Promise<string> {
    for (const folder of foldersOf(name)) {
      const path = join(this.#path, folder);
      await mkdir(path, { mode: 0o755 }).catch((error: unknown) => {
        if (codeOf(error) !== 'EEXIST') throw error;
      });
      if (!(await lstat(path)).isDirectory()) throw new NotAFolderError(this.name, folder);
    }
    return this.#inside(name);
  }

  async obstacle(name: string): Promise<string | undefined> {
    for (const folder of foldersOf(name)) {
      try {
        const info = await lstat(join(this.#path, folder));
        if (!info.isDirectory() && !info.isFile()) return folder;
      } catch (error) {
        if (isAbsent(error)) return undefined;
        throw folderError(this.name, `looking at "${folder}"`, error);
      }
    }
    return undefined;
  }

  async remove(name: string): Promise<void> {
    try {
      await unlink(await this.#inside(name));
    } catch (error) {
      if (!isAbsent(error)) throw folderError(this.name, `deleting "${name}"`, error);
    }
    for (const folder of [...foldersOf(name)].reverse()) {
      try {
        await rmdir(join(this.#path, folder));
      } catch (error) {
        if (['ENOTEMPTY', 'EEXIST'].includes(codeOf(error))) return;
        if (!isAbsent(error)) throw folderError(this.name, `deleting the empty folder "${folder}"`, error);
      }
    }
  }

  async free(): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await statfs(this.#path);
      const free = bavail * bsize;
      return free < UNLIMITED_BYTES ? free : undefined;
    } catch (error) {
      throw folderError(this.name, 'asking for its free space', error);
    }
  }

  async tidy(): Promise<void> {
    try {
      for await (const entry of await opendir(this.#path)) {
        if (!entry.isFile() || entry.name === ORIGIN_FILE) continue;
        if (entry.name.startsWith(OWN_PREFIX)) await this.remove(entry.name);
      }
    } catch (error) {
      throw folderError(this.name, 'listing it', error);
    }
  }

  /** Does nothing: {@link tidy} finds temporary files by their names. */
  async discard(): Promise<void> {
    return Promise.resolve();
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }
}

/**
 * Nanoseconds, because a writer may write again within a millisecond; and the ctime, because tools that preserve
 * modification times can set back the mtime, but not the ctime.
 */
function infoOf(name: string, { size, mtimeNs, ctimeNs, ino }: BigIntStats): FileInfo {
  const changed = mtimeNs > ctimeNs ? mtimeNs : ctimeNs;
  return {
    name,
    size: Number(size),
    version: `${size}-${mtimeNs}-${ctimeNs}-${ino}`,
    changedAt: Number(changed / 1_000_000n),
  };
}

function isAbsent(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, chunk.length - at);
    at += bytesWritten;
  }
}
