import type { EntryReader } from '../archive/format/types.ts';
import type { Subset } from '../core/subset.ts';

/** What a restore asks for beside whole stores. Names are those that the archive uses. */
export interface RouteRequest {
  /** Only this part of the data; an absent list does not limit anything. */
  readonly only: Subset;
  /** Names at the destination, in place of those that the target has. */
  readonly rename: {
    readonly label?: string | undefined;
    readonly key_prefix?: string | undefined;
    /** By name in the archive. */
    readonly collections?: Readonly<Record<string, string>> | undefined;
  };
  /** Where the data comes from, as `label_origin` asks for: written onto nodes and points, and beside keys and files. */
  readonly origin?: Readonly<Record<string, string>> | undefined;
  /** True where archive and target have the same profile, so that names have the same places in its lists. */
  readonly sameProfile: boolean;
}

/** The way of one store's data from where it was saved to where a restore puts it; small, and travels as JSON. */
export interface Route<Scope = unknown> {
  /** The scope that it was saved from, where the archive says. */
  readonly saved?: Scope | undefined;
  /** The scope that is cleared, loaded and verified. */
  readonly scope: Scope;
  /** Names in the archive → names at the destination, of what has names of its own (collections, the label). */
  readonly names: Readonly<Record<string, string>>;
  /** Labels of where the data comes from: on every node and point, and beside keys and files. */
  readonly origin?: Readonly<Record<string, string>> | undefined;
  /** What is other than in the archive, in words: `label "A" becomes "B"`. Empty in the normal case. */
  readonly changes: readonly string[];
}

/** A part of a server: how it is reached, and which records of it. */
export interface Place<Connection = unknown, Scope = unknown> {
  readonly connection: Connection;
  readonly scope: Scope;
}

/** Scratch names: names on the server of a target that only one drill has. */
export interface Scratch<Scope = unknown> {
  /**
   * The way of an archive's data into scratch names, which derive from the id of a job. Throws InvalidInputError that gives
   * the reason if the records of the scope can't be renamed safely.
   */
  route(archive: EntryReader, saved: Scope | undefined, target: Scope, id: string): Promise<Route<Scope>>;
  /** A smoke question about the same records under their scratch names; undefined if it can't be put that way. */
  question(question: unknown, target: Scope, route: Route<Scope>): unknown;
}
