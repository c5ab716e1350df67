import type { Json } from '../../core/json.ts';

/** Name of the file that says where the others come from; ngbak's own, and no file of the knowledge base. */
export const ORIGIN_FILE = '.ngbak-origin.json';

/** One file of a knowledge base, as its folder lists it. */
export interface FileInfo {
  /** Name within the folder: no `/`. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Another text whenever the content is another one: modification time and inode, or the object's ETag. */
  readonly version: string;
  /** When it was last changed, in ms since 1970. */
  readonly changedAt: number;
}

/** What lies right in a folder. */
export interface Listing {
  /** Its files, in the order of their names' bytes. */
  readonly files: FileInfo[];
  /** Names of the folders in it. */
  readonly folders: readonly string[];
  /** Names of what is neither: links, pipes, sockets, devices. */
  readonly others: readonly string[];
  /** Whether {@link ORIGIN_FILE} is there. */
  readonly hasOrigin: boolean;
}

/** Whether a name can be that of a file right in a folder. */
export function isPlainName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0');
}

/** A write that was begun. */
export interface BegunWrite {
  /** Different for every write. */
  readonly id: string;
  readonly value: Json;
}

/** A folder that holds a knowledge base's files: mounted, or a prefix in S3. */
export interface Folder {
  /** What to call it in messages. */
  readonly name: string;
  /** What it is: `directory` or `s3`. */
  readonly edition: string;
  /** Whether every write, by whomever, appears as a whole: an object of S3 does, and no reader sees a part of it. */
  readonly writesAreAtomic: boolean;
  /** What lies right in it. */
  list(): Promise<Listing>;
  /**
   * A file that lies right in the folder, or undefined: links, and names that lead elsewhere, are not followed. In S3 it is listed,
   * since a request for an object that does not exist is refused unless the whole bucket may be listed.
   */
  find(name: string): Promise<FileInfo | undefined>;
  /** The file of that name, or undefined. */
  stat(name: string): Promise<FileInfo | undefined>;
  /**
   * Streams `length` bytes from `offset` of exactly the version that was listed. Throws {@link FileChangedError} where
   * the file is another one by now, at the latest after the last byte.
   */
  read(file: FileInfo, offset: number, length: number): AsyncIterable<Uint8Array>;
  /**
   * Writes a file as a whole: readers see the old content or the new one. With `absent`, only where there is none;
   * returns false where there is one. Nothing is written when `content` throws. `onBegin` is awaited before the first byte
   * of a write that would leave something behind if the process were killed, for {@link Folder.discard}; and again, with the same
   * id, once more is known of it.
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
  /** Bytes that are free there; undefined where there is no limit. */
  free(): Promise<number | undefined>;
  /** Removes what cut off writes left. */
  tidy(): Promise<void>;
  /** Removes what is left of one write; does nothing if it was completed, or if it is not a write into this folder. */
  discard(begun: unknown): Promise<void>;
  close(): Promise<void>;
}
