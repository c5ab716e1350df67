import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { BufferPool } from '../../core/buffer-pool.ts';
import { InvalidInputError, NgbakError } from '../../core/errors.ts';
import { LIMITS } from '../../core/limits.ts';
import { mapOrdered } from '../../core/ordered.ts';
import { nativeSha256, type ResumableSha256, resumableSha256, type Sha256 } from '../../core/sha256.ts';
import {
  Codec,
  DEFAULT_LEVEL,
  LOOK_AHEAD,
  MEMBER_BYTES,
  MEMBER_BYTES_MAX,
  MEMBER_BYTES_MIN,
  MemberCompressor,
} from '../format/codec.ts';
import { checkEntryName, quoteName } from '../format/names.ts';
import { encodeTarHeader, paddingOf } from '../format/tar.ts';
import type { EntryPiece } from '../format/types.ts';

/**
 * The entry that a segment ended within, passed in the workflow's state to the leg that continues it. It names the
 * segment whose record contains the state of the entry's digest: that state may contain bytes of data, so it stays in
 * the bucket.
 */
export const SegmentCarry = z.strictObject({
  /** Name of the segment that ended within the entry. */
  segment: z.string(),
  entry: z.string(),
  /** Size of the whole entry in bytes. */
  size: z.number().int().nonnegative(),
  /** Bytes of the entry in this and earlier segments. */
  written: z.number().int().nonnegative(),
});
export type SegmentCarry = z.infer<typeof SegmentCarry>;

const Count = z.number().int().nonnegative();

/** An entry that a segment ended within, with the state that the next segment needs to continue it. */
export const OpenEntry = z.strictObject({
  name: z.string(),
  size: Count,
  /** Bytes of content in this and earlier segments. */
  written: Count,
  /** CRC-32 of the entry's compressed bytes so far, and their number. */
  crc32: Count,
  length: Count,
  /** State of the SHA-256 over the content so far, base64 (hash-wasm). */
  sha256_state: z.string(),
});
export type OpenEntry = z.infer<typeof OpenEntry>;

/** The record of one segment: a small object next to it, `<name>.json`. */
export const SegmentRecord = z.object({
  record_version: z.literal(1),
  name: z.string(),
  codec: Codec,
  /** Size of the segment in bytes, and its CRC-32. */
  bytes: Count,
  crc32: Count,
  /** Bytes of content in this segment, uncompressed, without tar headers. */
  content_bytes: Count,
  /** The entry that the segment starts within, which began in an earlier one. */
  continues: z.strictObject({ name: z.string(), written: Count }).nullable(),
  /** The entries that end in this segment. The first one's offset is 0 if it began in an earlier segment. */
  entries: z.array(
    z.strictObject({
      name: z.string(),
      size: Count,
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** Where its bytes start within this segment. */
      offset: Count,
      /** Length and CRC-32 of its compressed bytes, including those in earlier segments. */
      length: Count,
      crc32: Count,
    }),
  ),
  /** The entry that the segment ends within. */
  open: OpenEntry.nullable(),
  /** The exporter's counts, by store. */
  tallies: z.record(
    z.string(),
    z.record(z.string(), z.object({ count: Count, digest: z.string().regex(/^[0-9a-f]{64}$/) })),
  ),
});
export type SegmentRecord = z.infer<typeof SegmentRecord>;

export interface SegmentOptions {
  /** Name of the segment, for its record and for messages. */
  readonly name: string;
  readonly codec: Codec;
  /** 1 to 9 for gzip, 1 to 19 for zstd. */
  readonly level?: number;
  /** Maximum size of a member, in uncompressed bytes. */
  readonly memberBytes?: number;
  readonly signal?: AbortSignal;
}

/** Streams a segment's bytes; returns its record without tallies. */
export type EncodedSegment = AsyncGenerator<Buffer, Omit<SegmentRecord, 'tallies'>>;

/** A run of uncompressed bytes that becomes one member, and the entry that it begins or ends. */
interface Block {
  readonly plain: Buffer;
  readonly begins: boolean;
  readonly ends: { readonly name: string; readonly size: number; readonly sha256: string } | undefined;
}

/** The entry that is being written. */
interface Writing {
  readonly name: string;
  readonly size: number;
  readonly hash: Sha256 | ResumableSha256;
  written: number;
}

/**
 * Encodes pieces as a run of complete members: each entry starts a new one, and none has more than `memberBytes`.
 * Members are compressed in parallel; no more than {@link LOOK_AHEAD} of them are held. `open` is the entry that the
 * previous segment ended within. The same pieces and options produce the same bytes. Throws InvalidInputError if a
 * name violates the format's rules, NgbakError if an exporter's pieces do not add up to the size that they announced.
 */
export async function* encodeSegment(
  pieces: AsyncIterable<EntryPiece>,
  options: SegmentOptions,
  open: OpenEntry | null,
): EncodedSegment {
  const { codec, name } = options;
  const level = options.level ?? DEFAULT_LEVEL[codec];
  const blocks = new BlockCutter(pieces, options, open);
  const entries: SegmentRecord['entries'] = [];
  let bytes = 0;
  let crc = 0;
  // The current entry, including its earlier segments.
  let entry = { offset: 0, length: open?.length ?? 0, crc32: open?.crc32 ?? 0 };
  const compressor = new MemberCompressor(codec, level);
  const members = mapOrdered(blocks, LOOK_AHEAD, async (block) => {
    const member = await compressor.compress(block.plain);
    blocks.release(block.plain);
    return { block, member };
  });
  try {
    for await (const { block, member } of members) {
      if (block.begins) entry = { offset: bytes, length: 0, crc32: 0 };
      bytes += member.length;
      crc = crc32(member, crc);
      entry.length += member.length;
      entry.crc32 = crc32(member, entry.crc32);
      if (block.ends) entries.push({ ...block.ends, ...entry });
      yield member;
    }
  } finally {
    compressor.close();
  }
  const unfinished = blocks.open;
  return {
    record_version: 1,
    name,
    codec,
    bytes,
    crc32: crc,
    content_bytes: blocks.contentBytes,
    continues: open === null ? null : { name: open.name, written: open.written },
    entries,
    open:
      unfinished === null
        ? null
        : {
            name: unfinished.name,
            size: unfinished.size,
            written: unfinished.written,
            crc32: entry.crc32,
            length: entry.length,
            sha256_state: saveState(unfinished),
          },
  };
}

/** Turns pieces into blocks (tar header, content, padding) and computes digests of contents. */
class BlockCutter implements AsyncIterable<Block> {
  readonly #pieces: AsyncIterable<EntryPiece>;
  readonly #options: SegmentOptions;
  readonly #memberBytes: number;
  readonly #before: OpenEntry | null;
  readonly #buffers: BufferPool;
  #entry: Writing | null = null;
  contentBytes = 0;

  constructor(pieces: AsyncIterable<EntryPiece>, options: SegmentOptions, before: OpenEntry | null) {
    this.#pieces = pieces;
    this.#options = options;
    this.#before = before;
    this.#memberBytes = options.memberBytes ?? MEMBER_BYTES;
    if (!(this.#memberBytes >= MEMBER_BYTES_MIN && this.#memberBytes <= MEMBER_BYTES_MAX)) {
      throw new InvalidInputError(`Members of ${this.#memberBytes} bytes are not possible.`, {
        remedy: `Choose ${MEMBER_BYTES_MIN} to ${MEMBER_BYTES_MAX} bytes.`,
      });
    }
    // Those in the compressor, and the one being filled.
    this.#buffers = new BufferPool(this.#memberBytes, LOOK_AHEAD + 1);
  }

  /** Returns a block's buffer to the pool after it was compressed. */
  release(plain: Buffer): void {
    this.#buffers.give(plain);
  }

  /** The entry that is incomplete after all pieces were consumed. */
  get open(): Writing | null {
    return this.#entry;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Block> {
    const before = this.#before;
    if (before) {
      const { name, size, written, sha256_state } = before;
      this.#entry = { name, size, written, hash: await resumableSha256(sha256_state) };
    }
    for await (const piece of this.#pieces) yield* this.#cut(piece);
  }

  async *#cut(piece: EntryPiece): AsyncGenerator<Block> {
    const begins = this.#entry === null;
    const entry = this.#entry ?? (await this.#begin(piece));
    this.#entry = entry;
    this.#checkPiece(piece, entry);
    let buffer = this.#buffers.take();
    let filled = 0;
    let first = begins;
    const full = (): Block => {
      const block = { plain: buffer.subarray(0, filled), begins: first, ends: undefined };
      first = false;
      // A new buffer, because a thread still reads this one.
      buffer = this.#buffers.take();
      filled = 0;
      return block;
    };
    const header = begins ? encodeTarHeader(entry.name, entry.size) : Buffer.alloc(0);
    filled += header.copy(buffer);
    let received = 0;
    for await (const chunk of piece.data) {
      this.#options.signal?.throwIfAborted();
      received += chunk.length;
      if (received > piece.length) break;
      entry.hash.update(chunk);
      for (let at = 0; at < chunk.length; ) {
        if (filled === this.#memberBytes) yield full();
        const part = chunk.subarray(at, at + this.#memberBytes - filled);
        buffer.set(part, filled);
        filled += part.length;
        at += part.length;
      }
    }
    if (received !== piece.length) {
      throw wrongPiece(piece, `holds ${received > piece.length ? 'more' : received} bytes instead`);
    }
    entry.written += piece.length;
    this.contentBytes += piece.length;
    if (entry.written < entry.size) {
      if (filled > 0) yield full();
      return;
    }
    const padding = paddingOf(entry.size);
    if (filled + padding > this.#memberBytes) yield full();
    buffer.fill(0, filled, filled + padding);
    filled += padding;
    this.#entry = null;
    const ends = { name: entry.name, size: entry.size, sha256: entry.hash.digest() };
    // A block that ends an entry must not be empty, because a member has to record the end. It never is: an empty
    // entry has a header, and all other pieces have bytes.
    yield { plain: buffer.subarray(0, filled), begins: first, ends };
  }

  async #begin({ name, size, length }: EntryPiece): Promise<Writing> {
    checkEntryName(name, LIMITS, 'This backup');
    if (!Number.isSafeInteger(size) || size < 0 || size > LIMITS.entryBytes) {
      throw new InvalidInputError(`Entry ${quoteName(name)} of ${size} bytes can't be archived.`, {
        remedy: `An entry holds 0 to ${LIMITS.entryBytes} bytes.`,
      });
    }
    // Node's own SHA-256 is several times faster, but only hash-wasm's can be saved and resumed in another leg.
    return { name, size, written: 0, hash: length === size ? nativeSha256() : await resumableSha256() };
  }

  #checkPiece(piece: EntryPiece, entry: Writing): void {
    if (piece.name !== entry.name || piece.size !== entry.size || piece.offset !== entry.written) {
      throw wrongPiece(
        piece,
        `was expected to continue ${quoteName(entry.name)} of ${entry.size} bytes from ${entry.written}`,
      );
    }
    const end = piece.offset + piece.length;
    if (piece.length < 0 || end > piece.size || (piece.length === 0 && piece.size > 0)) {
      throw wrongPiece(piece, 'does not fit in its entry');
    }
  }
}

function saveState({ name, hash }: Writing): string {
  if ('save' in hash) return hash.save();
  throw new NgbakError(`Entry ${quoteName(name)} of one piece ended before its end.`, {
    remedy: 'Report this as a bug in ngbak.',
  });
}

function wrongPiece({ name, size, offset, length }: EntryPiece, what: string): NgbakError {
  return new NgbakError(
    `The exporter's piece of ${quoteName(name)} (${length} bytes from ${offset}, of ${size}) ${what}.`,
    { remedy: 'Start the backup again, and report this as a bug in ngbak if it happens again.' },
  );
}
