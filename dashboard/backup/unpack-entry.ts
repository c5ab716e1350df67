import { Gunzip } from 'fflate';
import { Decompress } from 'fzstd';
import { sha256 } from '../upload/digest.ts';

/** The block size of tar, in bytes: contents are padded to whole blocks. */
const BLOCK = 512;
/**
 * Largest overhead of tar's headers for one entry, in bytes: the header, and before it long names that do not fit into
 * one.
 */
const HEADERS_MAX = 64 * 1024;

const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** The bytes of an entry do not match the archive's index. */
export class DamagedEntryError extends Error {
  readonly remedy = 'Verify this backup to find out what is damaged.';

  constructor(name: string, how: string) {
    super(`The entry ${name} ${how}.`);
    this.name = 'DamagedEntryError';
  }
}

export interface PackedEntry {
  readonly name: string;
  /** Size in bytes, uncompressed. */
  readonly size: number;
  readonly sha256: string;
}

/**
 * Unpacks one entry from its own compressed members, a piece of a tar (docs/format.md), and verifies its SHA-256. Holds
 * all of it in memory: for entries of some megabytes. Throws DamagedEntryError.
 */
export async function unpackEntry(entry: PackedEntry, packed: Uint8Array): Promise<ArrayBuffer> {
  const padding = (BLOCK - (entry.size % BLOCK)) % BLOCK;
  const most = HEADERS_MAX + entry.size + padding;
  const chunks: Uint8Array[] = [];
  let length = 0;
  const take = (chunk: Uint8Array) => {
    length += chunk.length;
    // Checked before it is retained: a few bytes may expand without limit.
    if (length > most) throw new DamagedEntryError(entry.name, 'is larger than its index entry');
    chunks.push(chunk);
  };
  try {
    decompress(packed, take);
  } catch (error) {
    if (error instanceof DamagedEntryError) throw error;
    throw new DamagedEntryError(entry.name, 'can’t be decompressed');
  }
  // The content is what precedes the padding, regardless of the headers in front of it.
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  const start = length - padding - entry.size;
  if (start < BLOCK) throw new DamagedEntryError(entry.name, 'is smaller than its index entry');
  const content = whole.buffer.slice(start, start + entry.size);
  if ((await sha256(content)) !== entry.sha256) {
    throw new DamagedEntryError(entry.name, 'does not match the SHA-256 in the index');
  }
  return content;
}

function decompress(packed: Uint8Array, take: (chunk: Uint8Array) => void): void {
  // Both continue from one member, or frame, to the next, which the browser's DecompressionStream does not.
  const zstd = ZSTD_MAGIC.every((byte, index) => packed[index] === byte);
  const stream = zstd ? new Decompress(take) : new Gunzip(take);
  stream.push(packed, true);
}
