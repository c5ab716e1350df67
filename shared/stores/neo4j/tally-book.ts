import { MultisetDigest, type Tallies } from '../../digest.ts';

/** Counts and digests by name, while records go by. */
export class TallyBook {
  readonly #entries = new Map<string, { count: number; digest: MultisetDigest }>();

  /** Adds one record, given as its canonical text. */
  add(name: string, canonical: string): void {
    const entry = this.#entry(name);
    entry.count++;
    entry.digest.add(canonical);
  }

  /** Adds all records of another book. */
  addAll(other: TallyBook): void {
    for (const [name, { count, digest }] of other.#entries) {
      const entry = this.#entry(name);
      entry.count += count;
      entry.digest.merge(digest.hex());
    }
  }

  #entry(name: string) {
    const entry = this.#entries.get(name) ?? { count: 0, digest: new MultisetDigest() };
    this.#entries.set(name, entry);
    return entry;
  }

  tallies(): Tallies {
    return Object.fromEntries(
      [...this.#entries].map(([name, { count, digest }]) => [name, { count, digest: digest.hex() }]),
    );
  }
}
