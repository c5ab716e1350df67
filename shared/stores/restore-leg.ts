import type { EntryReader } from '../archive/format/types.ts';
import type { Cursor, LegContext, LegResult } from './leg.ts';
import type { Route } from './route.ts';

/** How a load treats what the target holds already. */
export interface LoadOptions {
  /** `replace` empties the scope first; `merge` keeps what is there. */
  readonly mode: 'replace' | 'merge';
  /** With `merge`: what happens to a record whose id exists in the target with other content. */
  readonly onConflict: 'keep' | 'overwrite' | 'fail';
  /**
   * Relationships that lead out of what the archive holds: `stitch` attaches them where the node at the other end is
   * there, `prune` and absence leave them out.
   */
  readonly dangling?: 'prune' | 'stitch';
}

/** What a restore brings to a store. */
export interface RestoreInput {
  /** As it looks at the destination: only what is restored, under its new names. */
  readonly archive: EntryReader;
  readonly options: LoadOptions;
  readonly context: LegContext;
}

/** One leg of a step of a restore. */
export interface RestoreLeg extends RestoreInput {
  /** Where the step continues; null for its first leg. */
  readonly cursor: Cursor | null;
}

/** One leg of labelling what was loaded with where it comes from. */
export interface LabelLeg extends Omit<RestoreLeg, 'options'> {
  readonly route: Route;
}

/** One difference between the archive and the target, in words. */
export interface Difference {
  /** The thing, such as `relationship RELATED "A" → "B"` or `key nano_graphrag:full_docs:doc-1`. */
  readonly thing: string;
  /** What is different, without data. */
  readonly problem: string;
}

/** How a leg of a verification ended. */
export interface VerifyResult extends LegResult {
  /** Number of differences found in this leg. */
  readonly differences: number;
  /** At most 20 of them, as samples. */
  readonly samples: readonly Difference[];
}
