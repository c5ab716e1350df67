/** Length of a dense vector. */
export const DIMENSIONS = 384;
/** Maximum number of terms in a sparse vector; the most frequent ones are kept. */
const SPARSE_TERMS_MAX = 128;
const SHORTEST_GRAM = 3;
const LONGEST_GRAM = 5;

/** FNV-1a, 32 bits: offset basis and prime of the reference (draft-eastlake-fnv). */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Term indices in ascending order, and the weight of each. */
export interface SparseVector {
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

/**
 * A dense embedding without a model: every n-gram of 3 to 5 characters is hashed to one of 384 dimensions and a sign,
 * and the sum is normalized to length 1. Texts with similar wording get similar vectors, which are the same on every
 * machine.
 */
export function embed(text: string): Float32Array {
  const padded = ` ${text.toLowerCase()} `;
  const sums = new Float64Array(DIMENSIONS);
  for (let start = 0; start < padded.length; start++) {
    let hash = FNV_OFFSET;
    const end = Math.min(start + LONGEST_GRAM, padded.length);
    for (let at = start; at < end; at++) {
      hash = Math.imul(hash ^ padded.charCodeAt(at), FNV_PRIME);
      if (at - start + 1 < SHORTEST_GRAM) continue;
      const dimension = (hash >>> 1) % DIMENSIONS;
      sums[dimension] = (sums[dimension] ?? 0) + (hash & 1 ? 1 : -1);
    }
  }
  const length = Math.hypot(...sums) || 1;
  return Float32Array.from(sums, (value) => value / length);
}

/** A sparse embedding: words hashed to 32 bits, weighted 1 + ln(frequency). */
export function embedSparsely(text: string): SparseVector {
  const counts = new Map<number, number>();
  for (const [word] of text.toLowerCase().matchAll(/[\p{L}\p{N}]{2,}/gu)) {
    let hash = FNV_OFFSET;
    for (let at = 0; at < word.length; at++) hash = Math.imul(hash ^ word.charCodeAt(at), FNV_PRIME);
    const index = hash >>> 0;
    counts.set(index, (counts.get(index) ?? 0) + 1);
  }
  const terms = [...counts]
    .sort(([a, countA], [b, countB]) => countB - countA || a - b)
    .slice(0, SPARSE_TERMS_MAX)
    .sort(([a], [b]) => a - b);
  return {
    indices: terms.map(([index]) => index),
    values: terms.map(([, count]) => Math.fround(1 + Math.log(count))),
  };
}

/**
 * Another vector of the same length: the elements rotated by the number of the copy, so that copies need no second
 * embedding.
 */
export function rotate(vector: Float32Array, copy: number): Float32Array {
  const shift = copy % vector.length;
  if (shift === 0) return vector;
  const rotated = new Float32Array(vector.length);
  rotated.set(vector.subarray(shift));
  rotated.set(vector.subarray(0, shift), vector.length - shift);
  return rotated;
}
