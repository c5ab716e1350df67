/**
 * A run of bytes of one archive entry that is being written. Most entries are one piece (`offset` 0, `length` equal
 * to `size`). A large entry of known size, such as a Qdrant snapshot, is cut into several, in order, so that a leg
 * can end between two of them.
 */
export interface EntryPiece {
  /** Entry name inside the archive, such as `graph/nodes-00001.jsonl`: relative, `/`-separated, ASCII. */
  readonly name: string;
  /** Size of the whole entry in bytes. */
  readonly size: number;
  /** Where this piece starts within the entry, in bytes. */
  readonly offset: number;
  /** Length of this piece in bytes. */
  readonly length: number;
  /**
   * Exactly `length` bytes, in chunks of any size. Consumed once, before the next piece is requested from the
   * exporter.
   */
  readonly data: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** One entry of an archive's index. */
export interface IndexEntry {
  readonly name: string;
  /** Size in bytes, uncompressed. */
  readonly size: number;
  /** SHA-256 of the content, 64 hexadecimal digits. */
  readonly sha256: string;
  /** Where the entry's first compressed member starts, in bytes from the start of the archive. */
  readonly offset: number;
  /** Length of the entry's compressed members (tar header, content and padding), in bytes. */
  readonly length: number;
}

/** Random access to the bytes of an archive: a local file, an S3 object, a buffer in a test. */
export interface ByteSource {
  /** Its name in messages: a path or an `s3://` address, never a presigned URL. */
  readonly name: string;
  /** Total size in bytes. */
  readonly size: number;
  /** Streams `length` bytes from `offset`. Throws if the source ends early or has changed since it was opened. */
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** The entries of an opened, verified, seekable archive, as restores read them. */
export interface EntryReader {
  /** The index entries whose names start with `prefix`, in archive order, streamed. */
  entries(prefix: string): AsyncIterable<IndexEntry>;
  /** The entry of that exact name, or undefined. */
  find(name: string): Promise<IndexEntry | undefined>;
  /**
   * Streams an entry's content, and throws an IntegrityError after the last byte if size or SHA-256 differ from the
   * index. With `offset` and `length` it streams a part, whose digest can't be checked.
   */
  open(entry: IndexEntry, range?: { offset: number; length: number }): AsyncIterable<Uint8Array>;
}
