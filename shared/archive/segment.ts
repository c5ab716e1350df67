import { z } from 'zod';
import type { EntryPiece } from './types.ts';

/** How members are compressed. Both decode with tar's own switches: `-z` and `--zstd`. */
export const Codec = z.enum(['gzip', 'zstd']);
export type Codec = z.infer<typeof Codec>;

/**
 * The entry that a segment ended within, as it travels in workflow state to the leg that goes on with it. It names the
 * segment whose record holds the state of the entry's digest: that state may contain bytes of data, so it stays in the
 * bucket.
 */
export const SegmentCarry = z.strictObject({
  /** Name of the segment that ended within the entry. */
  segment: z.string(),
  entry: z.string(),
  /** Size of the whole entry in bytes. */
  size: z.number().int().nonnegative(),
  /** Bytes of the entry that are in this and earlier segments. */
  written: z.number().int().nonnegative(),
});
export type SegmentCarry = z.infer<typeof SegmentCarry>;

const Count = z.number().int().nonnegative();

/** An entry that a segment ended within, with what its next segment needs to go on. */
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

/** What is known about one segment: a small object beside it, `<name>.json`. */
export const SegmentRecord = z.object({
  record_version: z.literal(1),
  name: z.string(),
  codec: Codec,
  /** Size of the segment in bytes, and its CRC-32. */
  bytes: Count,
  crc32: Count,
  /** Bytes of content in this segment, uncompressed, without tar's headers. */
  content_bytes: Count,
  /** The entry that the segment starts within: it began in an earlier one. */
  continues: z.strictObject({ name: z.string(), written: Count }).nullable(),
  /** The entries that end in this segment. The first one's offset is 0 where it began in an earlier segment. */
  entries: z.array(
    z.strictObject({
      name: z.string(),
      size: Count,
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** Where its bytes start within this segment. */
      offset: Count,
      /** Length and CRC-32 of its compressed bytes, those in earlier segments included. */
      length: Count,
      crc32: Count,
    }),
  ),
  /** The entry that the segment ends within. */
  open: OpenEntry.nullable(),
  /** What the exporter counted, by store. */
  tallies: z.record(
    z.string(),
    z.record(z.string(), z.object({ count: Count, digest: z.string().regex(/^[0-9a-f]{64}$/) })),
  ),
});
export type SegmentRecord = z.infer<typeof SegmentRecord>;

export interface SegmentOptions {
  readonly name: string;
  readonly codec: Codec;
  /** 1 to 9 for gzip, 1 to 19 for zstd. */
  readonly level?: number;
  /** Uncompressed bytes of a member, at most. */
  readonly memberBytes?: number;
  readonly signal?: AbortSignal;
}

/** Streams a segment's bytes; returns what is known about it, without tallies. */
export type EncodedSegment = AsyncGenerator<Uint8Array, Omit<SegmentRecord, 'tallies'>>;

export declare function encodeSegment(
  pieces: AsyncIterable<EntryPiece>,
  options: SegmentOptions,
  open: OpenEntry | null,
): EncodedSegment;
