import type { StoreName } from '../core/store-names.ts';
import type { Subset } from '../core/subset.ts';

/** What a backend counts under one name, `nodes`, or under one for each thing that it holds, `points:<collection>`. */
export interface TallyKind {
  /** The name of the tally; with {@link things}, what stands before the colon. */
  readonly name: string;
  /** What it counts, one and several; if omitted, its name without the last letter, and its name. */
  readonly nouns?: readonly [one: string, several: string];
  /** What the name after the colon is of. Absent for a single tally. */
  readonly things?: {
    readonly nouns: readonly [one: string, several: string];
    /** The list of a subset that chooses among them. */
    readonly field: keyof Subset & ('collections' | 'namespaces');
    /** True where a restore can give each of them another name: see `Route.names`. */
    readonly areRenamed?: boolean;
    /** True where progress counts them as one. */
    readonly areSummed?: boolean;
  };
  /** Absent for what is not a record: schema statements, settings, what a load leaves out. */
  readonly records?: {
    /**
     * How many a restore of everything brings back: `all`; `attached`, all but those with an end outside of the archive;
     * `unexpired`, all but those that have expired. Absent: is not compared.
     */
    readonly restored?: 'all' | 'attached' | 'unexpired';
  };
}

/**
 * What programs know of a backend without its adapter: everything here is plain data, so that CLI and dashboard import it
 * and generic code names no backend.
 */
export interface StoreFacts {
  /** As in the configuration: `neo4j`. */
  readonly kind: string;
  /** The store that it serves. */
  readonly name: StoreName;
  readonly tallies: readonly TallyKind[];
  /**
   * Warnings of a check, by their code, that can only be true where the store changed during the export; each with what is
   * wrong otherwise, to follow their count.
   */
  readonly driftWarnings?: Readonly<Record<string, string>>;
  /** Warnings of a check, by their code, of archives that are intact and could not be restored. */
  readonly refusedFor?: readonly string[];
  /** How the names of entries end that are loaded as they are, whatever the route. */
  readonly opaqueEntries?: string;
}
