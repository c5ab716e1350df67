import { hash } from 'node:crypto';

/** Hashes of 48 bits that are held; beyond this number, only a sample is kept. */
const HASHES_MAX = 1_000_000;

/**
 * A set of texts in bounded memory. It holds their hashes; once there are too many, only those that are a multiple of
 * two, then of four, and so on. Membership is then known for a fixed fraction of all texts.
 */
export class HashSample {
  readonly #hashes: Set<number>;
  #step: number;

  /** @param from what {@link save} returned */
  constructor(from: { readonly step: number; readonly hashes: readonly number[] } = { step: 1, hashes: [] }) {
    this.#step = from.step;
    this.#hashes = new Set(from.hashes);
  }

  save(): { step: number; hashes: number[] } {
    return { step: this.#step, hashes: [...this.#hashes] };
  }

  add(value: string, max = HASHES_MAX): void {
    const hashed = hashOf(value);
    if (hashed % this.#step === 0) this.#hashes.add(hashed);
    while (this.#hashes.size > max) {
      this.#step *= 2;
      for (const old of this.#hashes) if (old % this.#step !== 0) this.#hashes.delete(old);
    }
  }

  /** Undefined for a text outside of the sample. */
  has(value: string): boolean | undefined {
    const hashed = hashOf(value);
    return hashed % this.#step === 0 ? this.#hashes.has(hashed) : undefined;
  }
}

/** 48 bits: with a million texts, two of them collide in one of a few hundred runs. */
function hashOf(value: string): number {
  return Number.parseInt(hash('sha256', value, 'hex').slice(0, 12), 16);
}
