import { NgbakError } from '../core/errors.ts';
import { OBJECT_BYTES_MAX } from '../core/limits.ts';

/** Smallest part of a multipart upload but the last, in bytes (S3 user guide, "multipart upload limits"). */
export const PART_BYTES_MIN = 5 * 1024 ** 2;
/** Largest part, in bytes (same). */
export const PART_BYTES_MAX = 5 * 1024 ** 3;
/** Parts of one upload, at most (same). */
export const PARTS_MAX = 10_000;

/** A run of bytes of one source object. */
export interface SourceRange {
  /** Number of the source, from 0. */
  readonly source: number;
  readonly from: number;
  readonly length: number;
}

/** A part: copied on S3's side where it is one range of at least 5 MiB, joined by us where it is several. */
export interface PlannedPart {
  /** From 1, without gaps. */
  readonly number: number;
  readonly length: number;
  readonly ranges: readonly SourceRange[];
}

/** How finely a plan cuts. */
interface Cut {
  /** Ranges below this size, in bytes, are joined with what follows. */
  readonly join: number;
  /** Largest range that is copied at once, in bytes. */
  readonly copy: number;
}

/**
 * From fine to coarse: small copies are quick, so a leg can end between them, and runs in parallel; joining costs a
 * download and an upload, so no more is joined than S3 asks for, unless 10,000 parts would not do. The last cut makes
 * every part but the last 5 GiB, so what S3 can hold as one object always fits.
 */
const CUTS: readonly Cut[] = [
  { join: PART_BYTES_MIN, copy: 256 * 1024 ** 2 },
  { join: PART_BYTES_MIN, copy: 1024 ** 3 },
  { join: PART_BYTES_MIN, copy: PART_BYTES_MAX },
  { join: 64 * 1024 ** 2, copy: PART_BYTES_MAX },
  { join: 512 * 1024 ** 2, copy: PART_BYTES_MAX },
  { join: PART_BYTES_MAX, copy: PART_BYTES_MAX },
];

/**
 * Plans one multipart upload that puts sources of these sizes (bytes) one behind the other. Depends on nothing but
 * the sizes, so every leg finds the same plan. Throws NgbakError where the sum is more than S3 can hold.
 */
export function planParts(sizes: readonly number[]): PlannedPart[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total > OBJECT_BYTES_MAX || total === 0) {
    throw new NgbakError(
      `The archive would be ${total} bytes; an object in S3 has 1 to ${OBJECT_BYTES_MAX} (48.8 TiB).`,
      { remedy: 'Back up fewer stores or namespaces at once.' },
    );
  }
  for (const cut of CUTS) {
    const parts = cutParts(sizes, cut);
    if (parts.length <= PARTS_MAX) return parts;
  }
  throw new NgbakError(`No plan of ${PARTS_MAX} parts was found for ${total} bytes.`, {
    remedy: 'Report this as a bug in ngbak.',
  });
}

function cutParts(sizes: readonly number[], { join, copy }: Cut): PlannedPart[] {
  const parts: PlannedPart[] = [];
  let ranges: SourceRange[] = [];
  let length = 0;
  const add = (range: SourceRange) => {
    ranges.push(range);
    length += range.length;
    if (length < join) return;
    parts.push({ number: parts.length + 1, length, ranges });
    ranges = [];
    length = 0;
  };
  for (const [source, size] of sizes.entries()) {
    for (let from = 0; from < size; ) {
      const rest = size - from;
      // A part that is still too small takes what it lacks.
      let take = Math.min(rest, length > 0 ? join - length : copy);
      // What would be left for a join is taken along where the part may be that large.
      if (rest - take < PART_BYTES_MIN && length + rest <= PART_BYTES_MAX) take = rest;
      add({ source, from, length: take });
      from += take;
    }
  }
  if (length > 0) parts.push({ number: parts.length + 1, length, ranges });
  return parts;
}
