import { randomBytes } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import {
  access,
  constants,
  type FileHandle,
  link,
  lstat,
  open,
  opendir,
  rename,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, FileChangedError, folderError } from './errors.ts';
import { type FileInfo, type Folder, isPlainName, type Listing, ORIGIN_FILE } from './folder.ts';

/** Number of bytes per read. */
const READ_BYTES = 1024 ** 2;
/** File timestamps advance in steps of up to 10 ms: two changes within one step have the same timestamp. */
const CLOCK_STEP_MS = 20;
/** EFS grows automatically and reports 8 EiB. */
const UNLIMITED_BYTES = 1024 ** 6;
/** Name prefix of files that are being written. */
const TEMPORARY = '.ngbak-';

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

  constructor(path: string, target: string) {
    this.#path = path;
    this.name = `Folder ${path} of target "${target}"`;
  }

  async list(): Promise<Listing> {
    const files: FileInfo[] = [];
    const folders: string[] = [];
    const others: string[] = [];
    let hasOrigin = false;
    try {
      for await (const entry of await opendir(this.#path)) {
        if (entry.isDirectory()) folders.push(entry.name);
        else if (!entry.isFile()) others.push(entry.name);
        hasOrigin ||= entry.isFile() && entry.name === ORIGIN_FILE;
        if (!entry.isFile() || entry.name.startsWith(TEMPORARY)) continue;
        const info = await this.stat(entry.name);
        if (info) files.push(info);
      }
    } catch (error) {
      throw folderError(this.name, 'listing it', error);
    }
    files.sort((left, right) => (left.name < right.name ? -1 : 1));
    return { files, folders: folders.sort(), others: others.sort(), hasOrigin };
  }

  async find(name: string): Promise<FileInfo | undefined> {
    if (!isPlainName(name)) return undefined;
    try {
      const info = await lstat(join(this.#path, name), { bigint: true });
      return info.isFile() ? infoOf(name, info) : undefined;
    } catch (error) {
      if (!isAbsent(error)) throw folderError(this.name, `looking at "${name}"`, error);
    }
    // Distinguish a folder that is not mounted from a file that does not exist.
    await access(this.#path).catch((error: unknown) => {
      throw folderError(this.name, 'looking into it', error);
    });
    return undefined;
  }

  async stat(name: string): Promise<FileInfo | undefined> {
    try {
      return infoOf(name, await stat(join(this.#path, name), { bigint: true }));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw folderError(this.name, `looking at "${name}"`, error);
    }
  }

  async *read(file: FileInfo, offset: number, length: number): AsyncGenerator<Uint8Array> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(join(this.#path, file.name), constants.O_RDONLY | constants.O_NOFOLLOW);
      // Wait, so that any later change gets a timestamp different from this version's.
      if (Date.now() - file.changedAt < CLOCK_STEP_MS) await sleep(CLOCK_STEP_MS);
      if (infoOf(file.name, await handle.stat({ bigint: true })).version !== file.version)
        throw new FileChangedError(this.name, file.name);
      for (let at = 0; at < length; ) {
        const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, length - at));
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset + at);
        if (bytesRead === 0) throw new FileChangedError(this.name, file.name);
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
      // A writer that replaces the file does not affect our open handle; one that writes into it is detected here.
      if (infoOf(file.name, await handle.stat({ bigint: true })).version !== file.version)
        throw new FileChangedError(this.name, file.name);
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
    const temporary = join(this.#path, `${TEMPORARY}${randomBytes(8).toString('hex')}`);
    try {
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
        await rename(temporary, join(this.#path, name));
        return true;
      }
      // Unlike a rename, a link never replaces a file created in the meantime.
      try {
        await link(temporary, join(this.#path, name));
        return true;
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        await unlink(temporary);
      }
    } catch (error) {
      await this.remove(temporary.slice(this.#path.length + 1));
      throw folderError(this.name, `writing "${name}"`, error);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await unlink(join(this.#path, name));
    } catch (error) {
      if (!isAbsent(error)) throw folderError(this.name, `deleting "${name}"`, error);
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
        if (entry.name.startsWith(TEMPORARY)) await this.remove(entry.name);
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
  return codeOf(error) === 'ENOENT';
}

async function writeAll(handle: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, at, chunk.length - at);
    at += bytesWritten;
  }
}
