import { z } from 'zod';
import { MultisetDigest, type Tallies } from '../core/digest.ts';

/** Tallies as they travel in the state of a check. */
export const SavedTallies = z.record(z.string(), z.object({ count: z.number(), digest: z.string() }));

/** Counts and digests by name, while records go by. */
export class TallyBook {
  readonly #entries = new Map<string, { count: number; digest: MultisetDigest }>();

  /** @param before  what another process counted before */
  constructor(before: Tallies = {}) {
    for (const [name, { count, digest }] of Object.entries(before)) this.#merge(name, count, digest);
  }

  /** Adds one record, given as its canonical form. */
  add(name: string, canonical: string | Uint8Array): void {
    const entry = this.#entry(name);
    entry.count++;
    entry.digest.add(canonical);
  }

  /** Adds all records of another book. */
  addAll(other: TallyBook): void {
    for (const [name, { count, digest }] of other.#entries) this.#merge(name, count, digest.hex());
  }

  #merge(name: string, count: number, digest: string): void {
    const entry = this.#entry(name);
    entry.count += count;
    entry.digest.merge(digest);
  }

  #entry(name: string) {
    let entry = this.#entries.get(name);
    if (!entry) {
      entry = { count: 0, digest: new MultisetDigest() };
      this.#entries.set(name, entry);
    }
    return entry;
  }

  tallies(): Tallies {
    return Object.fromEntries(
      [...this.#entries].map(([name, { count, digest }]) => [name, { count, digest: digest.hex() }]),
    );
  }
}
