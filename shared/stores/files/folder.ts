import type { Json } from '../../core/json.ts';
import type { LeftOut } from './left-out.ts';
import type { Selection } from './selection.ts';

/** A file of a knowledge base, as listed in its folder. */
export interface FileInfo {
  /** Path within the folder, such as `output/lancedb/text_units.lance/data/1.lance`. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /** Changes whenever the content changes: modification time and inode, or the object's ETag. */
  readonly version: string;
  /** Time of the last change, in ms since 1970. */
  readonly changedAt: number;
}

/** The contents of a folder. */
export interface Listing {
  /** The selected files, in the order of `compareFiles`. */
  readonly files: FileInfo[];
  /** Selected files that hold no data, but must not remain beside other data: shared memory of SQLite. */
  readonly sharedMemory: readonly string[];
  /** What is not selected, or cannot be saved; without what is excluded. */
  readonly leftOut: {
    /** Subfolders that are not listed. */
    readonly folders: LeftOut;
    /** Links, pipes, sockets, devices, and names that are not valid for files. */
    readonly links: LeftOut;
    readonly files: LeftOut;
  };
  /** Whether `ORIGIN_FILE` exists. */
  readonly hasOrigin: boolean;
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
  /**
   * Lists its files, by default those directly in it. In each folder, `_versions` is listed before everything else.
   *
   * @param sample lists at most so many files
   */
  list(selection?: Selection, sample?: number): Promise<Listing>;
  /**
   * Finds a file; undefined if there is none. Links are not followed, and names must not lead outside the folder. In S3 this lists the object, because a request for an object that does not exist is denied
   * unless the whole bucket may be listed.
   */
  find(name: string): Promise<FileInfo | undefined>;
  /** The file of that name, or undefined. */
  stat(name: string): Promise<FileInfo | undefined>;
  /**
   * Streams `length` bytes from `offset` of exactly the version that was listed. Throws {@link FileChangedError}, after
   * the last byte at the latest, if the file has changed. With `mayGrow`, a file that changes is not an error where it
   * can be read while it is written.
   */
  read(
    file: FileInfo,
    offset: number,
    length: number,
    options?: { readonly mayGrow?: boolean },
  ): AsyncIterable<Uint8Array>;
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
  /** Removes a file, and the folders within this one that it leaves empty. */
  remove(name: string): Promise<void>;
  /** Why files cannot be written below one of its folders: something other than a folder has its name. */
  obstacle?(name: string): Promise<string | undefined>;
  /** Free space in bytes; undefined if there is no limit. */
  free(): Promise<number | undefined>;
  /** Removes the remains of interrupted writes. */
  tidy(): Promise<void>;
  /** Removes the remains of one write. Does nothing if it was completed, or if it is not a write into this folder. */
  discard(begun: unknown): Promise<void>;
  close(): Promise<void>;
}
