import type { EntryReader } from '../archive/format/types.ts';
import type { Cursor, LegContext, LegResult } from './leg.ts';
import type { Route } from './route.ts';

/** How a load treats existing records of the target. */
export interface LoadOptions {
  /** `replace` empties the scope first; `merge` keeps existing records. */
  readonly mode: 'replace' | 'merge';
  /** With `merge`: what happens to a record whose ID exists in the target with different content. */
  readonly onConflict: 'keep' | 'overwrite' | 'fail';
  /**
   * What happens to dangling relationships: `stitch` attaches them if the node at the other end exists in the target;
   * `prune`, the default, leaves them out.
   */
  readonly dangling?: 'prune' | 'stitch';
}

/** What a restore loads into a store. */
export interface RestoreInput {
  /** The archive as viewed at the destination: only what is restored, under its new names. */
  readonly archive: EntryReader;
  readonly options: LoadOptions;
  readonly context: LegContext;
}

/** Input of one leg of a restore step. */
export interface RestoreLeg extends RestoreInput {
  /** Where the step continues; null for the first leg. */
  readonly cursor: Cursor | null;
}

/** Input of one leg that labels loaded records with their origin. */
export interface LabelLeg extends Omit<RestoreLeg, 'options'> {
  readonly route: Route;
}

/** Describes one difference between the archive and the target. */
export interface Difference {
  /** The affected record, such as `relationship RELATED "A" → "B"` or `key nano_graphrag:full_docs:doc-1`. */
  readonly thing: string;
  /** What differs, without revealing data. */
  readonly problem: string;
}

/** Result of a leg of a verification. */
export interface VerifyResult extends LegResult {
  /** Number of differences found in this leg. */
  readonly differences: number;
  /** At most 20 of them, as samples. */
  readonly samples: readonly Difference[];
}
