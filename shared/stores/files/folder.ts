import type { Json } from '../../core/json.ts';

/** Name of the file that records the origin of the others. It belongs to ngbak, not to the knowledge base. */
export const ORIGIN_FILE = '.ngbak-origin.json';

/** A file of a knowledge base, as listed in its folder. */
export interface FileInfo {
  /** Name within the folder, without `/`. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Changes whenever the content changes: modification time and inode, or the object's ETag. */
  readonly version: string;
  /** Time of the last change, in ms since 1970. */
  readonly changedAt: number;
}

/** The direct contents of a folder. */
export interface Listing {
  /** Its files, sorted by the bytes of their names. */
  readonly files: FileInfo[];
  /** Names of its subfolders. */
  readonly folders: readonly string[];
  /** Names of everything else: links, pipes, sockets, devices. */
  readonly others: readonly string[];
  /** Whether {@link ORIGIN_FILE} exists. */
  readonly hasOrigin: boolean;
}

/** Whether a name is valid for a file directly in a folder. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');
}

/** A write that has started. */
export interface BegunWrite {
  /** Unique for every write. */
  readonly id: string;
  readonly value: Json;
}

/** A folder with a knowledge base's files: a mounted folder, or a prefix in S3. */
export interface Folder {
  /** Its name in messages. */
  readonly name: string;
  /** Its type: `directory` or `s3`. */
  readonly edition: string;
  /** Whether every write by any client is atomic: in S3, readers never see a part of an object. */
  readonly writesAreAtomic: boolean;
  /** Why equal versions of a file do not prove equal content. Absent if they do. */
  readonly unproven?: string;
  /** Lists its direct contents. */
  list(): Promise<Listing>;
  /**
   * Finds a file directly in the folder; undefined if there is none. Links are not followed, and names must not lead
   * outside the folder. In S3 this lists the object, because a request for an object that does not exist is denied
   * unless the whole bucket may be listed.
   */
  find(name: string): Promise<FileInfo | undefined>;
  /** The file of that name, or undefined. */
  stat(name: string): Promise<FileInfo | undefined>;
  /**
   * Streams `length` bytes from `offset` of exactly the version that was listed. Throws {@link FileChangedError}, after
   * the last byte at the latest, if the file has changed.
   */
  read(file: FileInfo, offset: number, length: number): AsyncIterable<Uint8Array>;
  /**
   * Writes a file atomically: readers see the old content or the new one. With `absent`, writes only if the file does
   * not exist, and otherwise returns false. Nothing is written if `content` throws. `onBegin` is awaited before the
   * first byte of a write that would leave something behind if the process were killed, so that {@link Folder.discard}
   * can remove it; it is called again with the same ID once more is known about the write.
   */
  write(
    name: string,
    content: AsyncIterable<Uint8Array>,
    size: number,
    options: {
      absent: boolean;
      signal: AbortSignal;
      onBegin?: ((begun: BegunWrite) => Promise<void>) | undefined;
    },
  ): Promise<boolean>;
  remove(name: string): Promise<void>;
  /** Free space in bytes; undefined if there is no limit. */
  free(): Promise<number | undefined>;
  /** Removes the remains of interrupted writes. */
  tidy(): Promise<void>;
  /** Removes the remains of one write. Does nothing if it was completed, or if it is not a write into this folder. */
  discard(begun: unknown): Promise<void>;
  close(): Promise<void>;
}
