import type { StoreRole } from '../core/store-names.ts';
import type { Subset } from '../core/subset.ts';

/**
 * What a backend counts: under one name (`nodes`), or under one name for each thing that it holds
 * (`points:<collection>`).
 */
export interface TallyKind {
  /** The name of the tally; with {@link things}, the part before the colon. */
  readonly name: string;
  /** Singular and plural of what it counts. Default: the name without its last letter, and the name. */
  readonly nouns?: readonly [one: string, several: string];
  /** What the part after the colon names. Absent for a single tally. */
  readonly things?: {
    readonly nouns: readonly [one: string, several: string];
    /** The list of a subset that selects among them. */
    readonly field: keyof Subset & ('collections' | 'namespaces');
    /** True if a restore can rename each of them: see `Route.names`. */
    readonly areRenamed?: boolean;
    /** True if progress reports sum them up. */
    readonly areSummed?: boolean;
  };
  /**
   * The units of progress of a verification, by mode of the restore. Each covers all of these records. Default: the
   * name.
   */
  readonly verifiedAs?: Readonly<Record<'replace' | 'merge', readonly string[]>>;
  /** Absent for what is not a record: schema statements, settings, and what a load leaves out. */
  readonly records?: {
    /**
     * How many of them a full restore restores: `all`; `attached`, all except those with an end outside of the archive;
     * `unexpired`, all except those that have expired. If absent, the count is not compared.
     */
    readonly restored?: 'all' | 'attached' | 'unexpired';
  };
}

/**
 * What is known about a backend without its adapter. It is plain data, so that CLI and dashboard can import it, and so
 * that generic code does not have to name backends.
 */
export interface StoreFacts {
  /** As in the configuration, such as `neo4j`. */
  readonly kind: string;
  /** The role that it serves. */
  readonly name: StoreRole;
  readonly tallies: readonly TallyKind[];
  /**
   * Check warnings, by code, that can only occur if the store changed during the export. Each value is the text that
   * follows the count when the store did not change and the warning therefore means damage.
   */
  readonly driftWarnings?: Readonly<Record<string, string>>;
  /** Codes of check warnings about archives that are intact but could not be restored. */
  readonly refusedFor?: readonly string[];
  /** Suffix of the names of entries that are loaded unmodified, whatever the route. */
  readonly opaqueEntries?: string;
  /** True if it can run in RDS with users who have IAM authentication ("databaseUsers"). */
  readonly hasDatabaseUsers?: boolean;
}
