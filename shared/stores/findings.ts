import type { Cursor } from './leg.ts';
import type { Difference, VerifyResult } from './restore-leg.ts';
import { TallyBook } from './tally-book.ts';

/** Differences that one leg keeps as samples; all of them are counted. */
const SAMPLES_MAX = 20;

/** What a leg of a verification found. */
export class Findings {
  /** What was read back of the target: the same tallies as an export of it would have. */
  readonly tallies = new TallyBook();
  readonly #samples: Difference[] = [];
  #differences = 0;

  get differences(): number {
    return this.#differences;
  }

  /**
   * Adds a difference.
   *
   * @param count of how many records it is one
   */
  add(thing: string, problem: string, count = 1): void {
    this.#differences += count;
    if (this.#samples.length < SAMPLES_MAX) this.#samples.push({ thing, problem });
  }

  /** Adds what was found elsewhere. */
  addAll(other: Findings): void {
    this.tallies.addAll(other.tallies);
    this.#differences += other.#differences;
    this.#samples.push(...other.#samples.slice(0, SAMPLES_MAX - this.#samples.length));
  }

  /** The end of the leg; `cursor` null at the end of the verification. */
  result(cursor: Cursor | null): VerifyResult {
    return {
      cursor,
      tallies: this.tallies.tallies(),
      differences: this.#differences,
      samples: this.#samples,
    };
  }
}
