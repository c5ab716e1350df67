import { z } from 'zod';
import { addTallies, MultisetDigest, type Tallies } from '../digest.ts';

/** Tallies as they travel in the state of a check. */
export const SavedTallies = z.record(z.string(), z.object({ count: z.number(), digest: z.string() }));

/** Counts and digests by name that can be continued by another process. */
export class TallySum {
  readonly #before: Tallies;
  readonly #sums = new Map<string, { count: number; digest: MultisetDigest }>();

  constructor(before: Tallies = {}) {
    this.#before = before;
  }

  /** Adds one record, given as its canonical form. */
  add(name: string, record: string | Uint8Array): void {
    let sum = this.#sums.get(name);
    if (!sum) {
      sum = { count: 0, digest: new MultisetDigest() };
      this.#sums.set(name, sum);
    }
    sum.count++;
    sum.digest.add(record);
  }

  tallies(): Tallies {
    const added = [...this.#sums].map(([name, { count, digest }]) => [name, { count, digest: digest.hex() }]);
    return addTallies(this.#before, Object.fromEntries(added));
  }
}
