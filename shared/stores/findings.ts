import type { Cursor } from './leg.ts';
import type { Difference, VerifyResult } from './restore-leg.ts';
import { TallyBook } from './tally-book.ts';

/** Maximum number of differences that one leg keeps as samples. All differences are counted. */
const SAMPLES_MAX = 20;

/** Collects the results of one leg of a verification. */
export class Findings {
  /** What was read back from the target: the same tallies as an export of the target would have. */
  readonly tallies = new TallyBook();
  readonly #samples: Difference[] = [];
  #differences = 0;

  get differences(): number {
    return this.#differences;
  }

  /**
   * Adds a difference.
   *
   * @param count number of records that it affects
   */
  add(thing: string, problem: string, count = 1): void {
    this.#differences += count;
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push({ thing, problem });
  }

  /** Adds the results of another collection. */
  addAll(other: Findings): void {
    this.tallies.addAll(other.tallies);
    this.#differences += other.#differences;
    this.#samples.push(...other.#samples.slice(0, SAMPLES_MAX - this.#samples.length));
  }

  /** Returns the result of the leg; `cursor` is null at the end of the verification. */
  result(cursor: Cursor | null): VerifyResult {
    return {
      cursor,
      tallies: this.tallies.tallies(),
      differences: this.#differences,
      samples: this.#samples,
    };
  }
}
