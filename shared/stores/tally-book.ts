import { z } from 'zod';
import { MultisetDigest, type Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';

/** Tallies as serialized in the state of a check. */
export const SavedTallies = z.record(z.string(), z.object({ count: z.number(), digest: z.string() }));

/** Accumulates counts and digests by name. */
export class TallyBook {
  #count = 0;
  readonly #entries = new Map<string, { count: number; digest: MultisetDigest }>();

  /** @param before  counts from another process, to continue from */
  constructor(before: Tallies = {}) {
    this.merge(before);
  }

  /** Adds one record, in canonical form. */
  add(name: string, canonical: string | Uint8Array): void {
    const entry = this.#entry(name);
    entry.count++;
    this.#count++;
    entry.digest.add(canonical);
  }

  /** Adds records that were counted elsewhere. */
  merge(tallies: Tallies): void {
    for (const [name, { count, digest }] of Object.entries(tallies)) this.#merge(name, count, digest);
  }

  /** Adds all records of another book. */
  addAll(other: TallyBook): void {
    for (const [name, { count, digest }] of other.#entries) this.#merge(name, count, digest.hex());
  }

  /** Number of records so far, of all names. */
  get count(): number {
    return this.#count;
  }

  #merge(name: string, count: number, digest: string): void {
    const entry = this.#entry(name);
    entry.count += count;
    this.#count += count;
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

  /** Returns the tallies for the state of a check: see {@link SavedTallies}. */
  saved(): Json {
    return Object.fromEntries(Object.entries(this.tallies()).map(([name, tally]) => [name, { ...tally }]));
  }

  tallies(): Tallies {
    return Object.fromEntries(
      [...this.#entries].map(([name, { count, digest }]) => [name, { count, digest: digest.hex() }]),
    );
  }
}
