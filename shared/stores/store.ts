import type { z } from 'zod';
import type { EntryReader } from '../archive/format/types.ts';
import type { Json } from '../core/json.ts';
import type { StoreName } from '../core/store-names.ts';
import type { Subset } from '../core/subset.ts';
import type { ContentCheck, ContentOrigin } from './content-check.ts';
import type { ExportStep, Shard, StoreProbe } from './export-step.ts';
import type { StoreFacts } from './facts.ts';
import type { Cursor, LegContext, LegResult } from './leg.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from './restore-leg.ts';
import type { Place, Route, RouteRequest, Scratch } from './route.ts';

/** Most names that {@link Exporter.names} returns. */
export const NAMES_MAX = 1000;

/** What backups need of a store. */
export interface Exporter {
  /** Reaches the server and measures it. Throws UnavailableError, AccessDeniedError or InvalidInputError. */
  probe(context: LegContext): Promise<StoreProbe>;
  /** Cuts the store into shards (at least one when there is anything to save, at most 64). */
  plan(context: LegContext, probe: StoreProbe): Promise<Shard[]>;
  /** Streams a shard from `cursor` (null: from the start), as pieces in archive order. Holds a bounded window only. */
  export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncIterable<ExportStep>;
  /**
   * Removes what an export left on the server (snapshots), and what legs of a restore had begun
   * ({@link LegContext.leftovers}). Idempotent; also called after failures.
   */
  cleanup(context: LegContext): Promise<void>;
  /**
   * Names by which people know what the server holds, whatever the scope: `(:Label)` and `[:TYPE]`, collections, keys,
   * files. Reads only; at most {@link NAMES_MAX}, a sample where there are more.
   */
  names(context: LegContext): Promise<readonly string[]>;
  /**
   * A small text, or the fields of a small record, that is not part of the data: a file or key by its name, wherever it is on
   * the server. Undefined if there is none. Throws InvalidInputError if it is larger, or cannot be read as text. Absent where
   * no settings are kept.
   */
  setting?(
    name: string,
    bytesMax: number,
    context: LegContext,
  ): Promise<string | Readonly<Record<string, string>> | undefined>;
}

/** What restores need of a store, in the order of a restore. */
export interface Importer {
  /** Checks, without writing, that this archive can be loaded here. Returns the reasons why it cannot, empty if it can. */
  admits(restore: RestoreInput): Promise<readonly string[]>;
  /**
   * Finds what can only be found by loading: loads such entries beside what is there, compares what came of them with the
   * archive, and removes it again. Absent where reading an entry proves as much. Throws what prevents a load.
   */
  testLoad?(leg: RestoreLeg): Promise<LegResult>;
  /** Makes the room that the archive will be loaded into: empties the scope, in bounded transactions. */
  clear(leg: RestoreLeg): Promise<LegResult>;
  /** Loads the archive's entries of this store. */
  load(leg: RestoreLeg): Promise<LegResult>;
  /** Reads the target back and compares it with the archive, record by record; nothing may be missing or too much. */
  verify(leg: RestoreLeg): Promise<VerifyResult>;
  /**
   * Asks one read-only question, as a reader of the data would, and returns the answer in words that hold no data and
   * are the same for the same answer. Throws where the store does not answer it.
   */
  smoke(question: unknown, context: LegContext): Promise<string>;
  /** Which of these texts no record of the target has in a field; undefined where it can't be asked. */
  missing(
    what: { readonly thing: string; readonly field: string },
    values: readonly string[],
    context: LegContext,
  ): Promise<readonly string[] | undefined>;
  /**
   * After the verification: writes the labels of origin (`route.origin`) of what they could not be loaded with. Absent
   * where all that can have them was loaded with them.
   */
  label?(leg: LabelLeg): Promise<LegResult>;
  /**
   * What the server has under the names of the scope, in words: records, and what a probe does not count, such as empty
   * collections, constraints and temporary names. Empty if there is nothing.
   */
  occupied(context: LegContext): Promise<readonly string[]>;
  /** Removes everything that {@link occupied} reports. Only for a scope that a drill has created. Idempotent. */
  remove(context: LegContext): Promise<LegResult>;
  /** Removes every auxiliary thing of the load (temporary labels, properties, indexes, names). Idempotent. */
  finish(context: LegContext): Promise<LegResult>;
}

/**
 * One backend, behind the only interface that backups and restores know. Adapters are created with their connection
 * and scope, connect lazily, and must be closed. Every method may be called again after it was cut off at any instant:
 * a repeated leg (same cursor) must have the same effect as one.
 */
export interface Store extends Exporter, Importer {
  readonly name: StoreName;
  readonly kind: string;
  close(): Promise<void>;
}

/** Everything outside the adapter's own folder that it may use. */
export interface StoreDependencies {
  /** Name of the target in configuration, for messages. */
  readonly target: string;
  /** Fields of a thing's records that refer to other stores, by the target's profile; for what only the server can read. */
  referenceFields?(thing: string): readonly string[];
}

/**
 * What a backend's folder exports, and the registry lists. `Connection` is the shape of its secret in Secrets
 * Manager (address and credentials); `Scope` says which part of the server belongs to the knowledge base, comes from
 * profile and configuration, and holds no secret.
 */
export interface StoreAdapter<Connection = unknown, Scope = unknown> {
  readonly facts: StoreFacts;
  /** That of its facts, as is its name. */
  readonly kind: string;
  readonly name: StoreName;
  readonly Connection: z.ZodType<Connection>;
  readonly Scope: z.ZodType<Scope>;
  /** A question for `smoke`, in this backend's own terms. It can't write, whatever it says. */
  readonly Smoke: z.ZodType;
  /** What may differ on a server of another minor version than the one that was saved, in words. */
  readonly versionNotes?: { readonly newer: string; readonly older: string };
  /** What is asked where the configuration has no questions. */
  questions(scope: Scope): readonly unknown[];
  /** A question of the configuration as it is asked where a restore gave things other names: `names` of its route. */
  renameQuestion(question: unknown, names: Readonly<Record<string, string>>): unknown;
  create(connection: Connection, scope: Scope, dependencies: StoreDependencies): Store;
  /** The scope of a part of it. Throws InvalidInputError where the scope has no such part. */
  narrow(scope: Scope, part: Subset): Scope;
  /** What of that part a store with these counts does not hold, in words: `key of namespace "docs"`. */
  lacks(part: Subset, counts: Readonly<Record<string, number>>): readonly string[];
  /**
   * Where a restore puts the data of `archive`, by the scope that it was saved from (undefined where the archive does
   * not say), the target's own and what was asked for. Throws InvalidInputError that gives the reason where a name can't
   * be rewritten safely.
   */
  route(
    archive: EntryReader,
    saved: Scope | undefined,
    target: Scope,
    request: RouteRequest,
  ): Promise<Route<Scope>>;
  /**
   * The archive as it looks at the destination: only what is restored, under its new names. Load and verification both
   * read this, so that what is compared is what was to be written. Sizes in its index are those of the archive.
   */
  view(archive: EntryReader, route: Route<Scope>): EntryReader;
  /** Whether a record could belong to both places. Servers are the same if their addresses are. */
  overlaps(one: Place<Connection, Scope>, other: Place<Connection, Scope>): boolean;
  /** Absent if the records have no names that could be changed. */
  readonly scratch?: Scratch<Scope>;
  /** Begins to check what the archive holds of this store; `from` is what an earlier part of the check saved. */
  check(origin: ContentOrigin, from?: Json): ContentCheck;
  /**
   * The texts that records of an archive of that scope have in a field, in runs, to prove references with: of `nodes`,
   * `relationships`, the collections that `isThing` knows, or a namespace of keys. Undefined where they can't be read.
   */
  values(
    archive: EntryReader,
    scope: Scope,
    what: { readonly thing: string; readonly field: string; isThing(collection: string): boolean },
  ): Promise<AsyncIterable<readonly string[]> | undefined>;
}
