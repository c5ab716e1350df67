import { NgbakError } from '../core/errors.ts';
import { OBJECT_BYTES_MAX } from '../core/limits.ts';

/**
 * Minimum size of a part of a multipart upload, except the last, in bytes (S3 user guide, "multipart upload limits").
 */
export const PART_BYTES_MIN = 5 * 1024 ** 2;
/** Maximum size of a part, in bytes (same). */
export const PART_BYTES_MAX = 5 * 1024 ** 3;
/** Maximum number of parts of an upload (same). */
export const PARTS_MAX = 10_000;

/** A range of bytes of one source object. */
export interface SourceRange {
  /** Index of the source, from 0. */
  readonly source: number;
  readonly from: number;
  readonly length: number;
}

/** A part: copied within S3 if it is one range of at least 5 MiB, downloaded and joined if it is several. */
export interface PlannedPart {
  /** From 1, without gaps. */
  readonly number: number;
  readonly length: number;
  readonly ranges: readonly SourceRange[];
}

/** How finely a plan divides the sources. */
interface Cut {
  /** Ranges smaller than this, in bytes, are joined with the ranges that follow. */
  readonly join: number;
  /** Largest range that one call copies, in bytes. */
  readonly copy: number;
}

/** Largest range that one call copies, in bytes, if 10,000 of them are enough. */
const COPY_BYTES = 256 * 1024 ** 2;

/**
 * From fine to coarse. Small copies are quick, so a leg can end between them, and they run in parallel. Joining costs
 * a download and an upload, so no more is joined than S3 requires, unless that would exceed 10,000 parts. The last
 * cut makes every part but the last 5 GiB, so that whatever S3 can hold as one object always fits.
 */
const CUTS: readonly Cut[] = [
  { join: PART_BYTES_MIN, copy: COPY_BYTES },
  { join: PART_BYTES_MIN, copy: 1024 ** 3 },
  { join: PART_BYTES_MIN, copy: PART_BYTES_MAX },
  { join: 64 * 1024 ** 2, copy: PART_BYTES_MAX },
  { join: 512 * 1024 ** 2, copy: PART_BYTES_MAX },
  { join: PART_BYTES_MAX, copy: PART_BYTES_MAX },
];

/**
 * Plans one multipart upload that concatenates sources of these sizes (bytes). Depends only on the sizes, so every
 * leg computes the same plan. Throws NgbakError if the sum exceeds what S3 can hold.
 *
 * @param copyBytes  a smaller range for each call, in bytes, so that tests need little data
 */
export function planParts(sizes: readonly number[], copyBytes = COPY_BYTES): PlannedPart[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total > OBJECT_BYTES_MAX || total === 0) {
    throw new NgbakError(
      `The archive would be ${total} bytes; an object in S3 has 1 to ${OBJECT_BYTES_MAX} (48.8 TiB).`,
      { remedy: 'Back up fewer stores or namespaces at once.' },
    );
  }
  for (const cut of CUTS) {
    const parts = cutParts(sizes, { ...cut, copy: cut.copy === COPY_BYTES ? copyBytes : cut.copy });
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
      // A part that is still too small takes only as much as it needs.
      let take = Math.min(rest, length > 0 ? join - length : copy);
      // A rest that would have to be joined is included if the part may be that large.
      if (rest - take < PART_BYTES_MIN && length + rest <= PART_BYTES_MAX) take = rest;
      add({ source, from, length: take });
      from += take;
    }
  }
  if (length > 0) parts.push({ number: parts.length + 1, length, ranges });
  return parts;
}
