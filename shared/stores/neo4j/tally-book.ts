import { MultisetDigest, type Tallies } from '../../digest.ts';

/** Counts and digests by name, while records go by. */
export class TallyBook {
  readonly #entries = new Map<string, { count: number; digest: MultisetDigest }>();

  /** Adds one record, given as its canonical text. */
  add(name: string, canonical: string): void {
    const entry = this.#entries.get(name) ?? { count: 0, digest: new MultisetDigest() };
    this.#entries.set(name, entry);
    entry.count++;
    entry.digest.add(canonical);
  }

  tallies(): Tallies {
    return Object.fromEntries(
      [...this.#entries].map(([name, { count, digest }]) => [name, { count, digest: digest.hex() }]),
    );
  }
}
