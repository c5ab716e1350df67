import { hash } from 'node:crypto';

/** A sum is stored as 16-bit limbs, the highest first. */
const LIMBS = 16;
const LIMB_BITS = 16n;
const MODULUS = 1n << 256n;

/** Bytes of a record's SHA-256. */
export const HASH_BYTES = 32;

/** Writes the SHA-256 of a record's canonical bytes (UTF-8 for a string) to `target` at `offset`. */
export function writeHash(record: string | Uint8Array, target: Buffer, offset: number): void {
  // Via a binary string, which Node creates faster than a buffer.
  target.write(hash('sha256', record, 'binary'), offset, HASH_BYTES, 'latin1');
}

/**
 * A digest of a multiset of records that does not depend on their order: the sum of the records' SHA-256 values
 * modulo 2^256 (the additive multiset hash of Clarke et al., ASIACRYPT 2003). Sums of parts can be added, so legs and
 * shards compute their digests separately, and a restore that writes records in another order gets the same value. It
 * detects accidental differences, but not an adversary who chooses records; archives have SHA-256 for that.
 */
export class MultisetDigest {
  /** Sums by limb, without carries: a double is exact for 2^37 additions, far more than one step makes. */
  readonly #limbs = new Float64Array(LIMBS);
  #merged = 0n;
  readonly #hash = Buffer.allocUnsafeSlow(HASH_BYTES);

  /** Adds one record, given as its canonical bytes (UTF-8 for a string). */
  add(record: string | Uint8Array): void {
    writeHash(record, this.#hash, 0);
    this.addHash(this.#hash, 0);
  }

  /** Adds one record by its hash, as written by {@link writeHash}. */
  addHash(hashes: Uint8Array, offset: number): void {
    // Adding by limb is several times faster than a big integer for each record.
    const sums = this.#limbs;
    for (let limb = 0, at = offset; limb < LIMBS; limb++, at += 2) {
      sums[limb] = (sums[limb] ?? 0) + (hashes[at] ?? 0) * 256 + (hashes[at + 1] ?? 0);
    }
  }

  /** Adds the records of another digest, given as 64 hexadecimal digits. */
  merge(hex: string): void {
    this.#merged = (this.#merged + BigInt(`0x${hex}`)) % MODULUS;
  }

  /** The digest so far: 64 lower-case hexadecimal digits; all zeros for no record. */
  hex(): string {
    let sum = 0n;
    for (const limb of this.#limbs) sum = (sum << LIMB_BITS) + BigInt(limb);
    return ((sum + this.#merged) % MODULUS).toString(16).padStart(64, '0');
  }
}

/** Count and digest of the records of one kind that were exported, loaded or read back. */
export interface Tally {
  /** Number of records. */
  readonly count: number;
  /** {@link MultisetDigest} of the records' canonical form, 64 hexadecimal digits. */
  readonly digest: string;
}

/** Tallies by name: `nodes`, `relationships`, `points:<collection>`, `keys:<namespace>`, … */
export type Tallies = Record<string, Tally>;

/** The sums of two sets of tallies. */
export function addTallies(left: Tallies, right: Tallies): Tallies {
  const sum: Tallies = { ...left };
  for (const [name, tally] of Object.entries(right)) {
    const other = sum[name];
    if (!other) {
      sum[name] = tally;
      continue;
    }
    const digest = new MultisetDigest();
    digest.merge(other.digest);
    digest.merge(tally.digest);
    sum[name] = { count: other.count + tally.count, digest: digest.hex() };
  }
  return sum;
}
