import type { S3Client } from '@aws-sdk/client-s3';
import type { Tallies } from '../digest.ts';
import type { Codec, SegmentCarry, SegmentRecord } from './segment.ts';
import type { EntryPiece } from './types.ts';

export interface SegmentUpload {
  readonly s3: S3Client;
  readonly bucket: string;
  /** Ends with `/`. */
  readonly prefix: string;
  readonly name: string;
  readonly pieces: AsyncIterable<EntryPiece>;
  /** What the leg before returned; null for a shard's first one. */
  readonly carry: SegmentCarry | null;
  readonly codec: Codec;
  readonly level?: number;
  readonly signal?: AbortSignal;
  /** Called once, after the last piece: what was exported into this segment, by store. */
  readonly tallies: () => Record<string, Tallies>;
}

/** Streams pieces into `<prefix><name>.seg`, then writes `<prefix><name>.json`. Overwrites what a cut-off leg left. */
export async function uploadSegment(
  upload: SegmentUpload,
): Promise<{ carry: SegmentCarry | null; record: SegmentRecord | null }> {
  throw new Error(`not yet: ${upload.name}`);
}

/** The records of all segments below a prefix, in the order of the archive. */
// biome-ignore lint/correctness/useYield: signature first
export async function* listSegmentRecords(
  _s3: S3Client,
  _bucket: string,
  prefix: string,
): AsyncGenerator<SegmentRecord> {
  throw new Error(`not yet: ${prefix}`);
}
