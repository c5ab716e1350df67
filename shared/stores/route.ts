import type { EntryReader } from '../archive/format/types.ts';
import type { Subset } from '../core/subset.ts';

/** What a restore requests other than whole stores. Names are those that the archive uses. */
export interface RouteRequest {
  /** Restores only this part of the data. An absent list means no limit. */
  readonly only: Subset;
  /** Names at the destination, instead of those of the target. */
  readonly rename: {
    readonly label?: string | undefined;
    readonly key_prefix?: string | undefined;
    /** By name in the archive. */
    readonly collections?: Readonly<Record<string, string>> | undefined;
  };
  /** Origin of the data, requested by `label_origin`: written onto nodes and points, and next to keys and files. */
  readonly origin?: Readonly<Record<string, string>> | undefined;
  /** True if archive and target have the same profile, so that names have the same positions in its lists. */
  readonly sameProfile: boolean;
}

/** Maps one store's data from where it was saved to where a restore puts it. Small, and serialized as JSON. */
export interface Route<Scope = unknown> {
  /** The scope from which it was saved, if the archive records it. */
  readonly saved?: Scope | undefined;
  /** The scope that is cleared, loaded and verified. */
  readonly scope: Scope;
  /** Names in the archive → names at the destination, for what has names (collections, the label). */
  readonly names: Readonly<Record<string, string>>;
  /** Origin labels: written onto every node and point, and next to keys and files. */
  readonly origin?: Readonly<Record<string, string>> | undefined;
  /** Describes what differs from the archive: `label "A" becomes "B"`. Normally empty. */
  readonly changes: readonly string[];
}

/** A part of a server: its connection, and which of its records belong to it. */
export interface Place<Connection = unknown, Scope = unknown> {
  readonly connection: Connection;
  readonly scope: Scope;
}

/** Scratch names: names on the server of a target that belong to a single drill. */
export interface Scratch<Scope = unknown> {
  /**
   * Routes an archive's data to scratch names, which are derived from the ID of a job. Throws InvalidInputError with
   * the reason if the records of the scope can't be renamed safely.
   */
  route(archive: EntryReader, saved: Scope | undefined, target: Scope, id: string): Promise<Route<Scope>>;
  /** Rewrites a smoke check to query the same records under their scratch names; undefined if that is not possible. */
  question(question: unknown, target: Scope, route: Route<Scope>): unknown;
}
