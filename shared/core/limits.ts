/**
 * Limits that readers enforce and writers observe: `docs/format.md`, "Limits". All data from an archive is checked
 * against these before it is used.
 */
export interface ArchiveLimits {
  /** Data entries in one archive. */
  readonly entries: number;
  /** Length of an entry's name, in bytes of UTF-8. */
  readonly nameBytes: number;
  /** Total length of all names, folded for comparison, in bytes of UTF-8: readers hold them in memory. */
  readonly namesBytes: number;
  /** Size of one entry, in bytes, uncompressed. */
  readonly entryBytes: number;
  /** Total size of all entries, in bytes, uncompressed. */
  readonly totalBytes: number;
  /** Uncompressed bytes for each compressed byte, over the whole archive, after the first `ratioFreeBytes`. */
  readonly ratio: number;
  /** Uncompressed bytes before `ratio` is enforced. */
  readonly ratioFreeBytes: number;
  /** Size of `manifest.json`, in bytes. */
  readonly manifestBytes: number;
  /** Depth of objects and arrays in `manifest.json`. */
  readonly jsonDepth: number;
  /** Length of one line of `index.jsonl` or `SHA256SUMS`, in bytes. */
  readonly lineBytes: number;
  /** Size of a PAX or GNU long-name header's body, in bytes. */
  readonly extendedHeaderBytes: number;
}

/** 10,000 parts of 5 GiB, the largest object that S3 takes (48.8 TiB; S3 user guide, "multipart upload limits"). */
export const OBJECT_BYTES_MAX = 10_000 * 5 * 1024 ** 3;

/** The limits of format version 1. */
export const LIMITS: ArchiveLimits = {
  entries: 1_000_000,
  nameBytes: 512,
  namesBytes: 96 * 1024 ** 2,
  entryBytes: OBJECT_BYTES_MAX,
  totalBytes: 1024 ** 5,
  // Deflate can't exceed about 1,032 to 1 (RFC 1951: 258 bytes from 2 bits), so valid gzip data stays below.
  ratio: 1100,
  ratioFreeBytes: 1024 ** 3,
  manifestBytes: 4 * 1024 ** 2,
  jsonDepth: 32,
  lineBytes: 2048,
  extendedHeaderBytes: 64 * 1024,
};
