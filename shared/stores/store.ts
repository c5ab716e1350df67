import type { z } from 'zod';
import type { EntryPiece, EntryReader, IndexEntry } from '../archive/format/types.ts';
import type { ContentSink } from '../archive/read/verify.ts';
import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { Part } from '../core/part.ts';
import type { StoreName } from '../core/store-names.ts';
import type { StoreWarning } from './warning.ts';

/** Where a resumable step continues. Written and read by one adapter only; at most 8 KiB as JSON. */
export type Cursor = Json;

/** What a step may know about its surroundings. */
export interface LegContext {
  /** Id of the job, for names of temporary things on the server: `^[a-zA-Z0-9_-]+$`, at most 80 characters. */
  readonly jobId: string;
  /**
   * Milliseconds until the step should have ended cleanly. Adapters look at it between units of work that take
   * a few seconds at most, and return early with a cursor once it is zero or less.
   */
  timeLeft(): number;
  /** Aborted when the work is to stop at once (a time limit of the platform, Ctrl-C). */
  readonly signal: AbortSignal;
  /**
   * Reports how far this phase of the store has come, over all its legs. Cheap: the receiver throttles. `total` is absent if
   * it is unknown.
   */
  progress(unit: string, done: number, total?: number): void;
  /** How many of a unit the legs before this one reported, for adapters whose cursor does not count them; absent: none. */
  doneBefore?(unit: string): number;
  /**
   * True in a rollback: for the safety backup, where what the configuration names and the server lacks
   * is left out instead of an error, and for the rollback that restores it over whatever the restore left.
   */
  readonly asIs?: boolean;
  /**
   * Something that is left out, or that an operator should look at. Becomes part of the backup's or restore's result; a
   * leg that is repeated replaces what it said before. Warnings with the same code and text are merged, so call it as
   * often as needed, with the count and the names that are new.
   */
  warn(warning: StoreWarning): void;
  /**
   * Remembers what a leg has begun elsewhere and would leave if its function were killed, such as an unfinished upload into
   * a bucket of the user. Given to `cleanup` when the job has ended. Absent where nothing is written.
   */
  readonly leftovers?: Leftovers;
  /** What a load needs and the server has, reported by `admits`; absent where the caller does not ask. */
  room?(room: Room): void;
  /** A line for the job's log. No data, no secrets. */
  log(message: string, fields?: Record<string, Json>): void;
}

export interface Leftovers {
  /** Resolves once it is remembered. Written once more for the same id, it replaces the first. */
  add(id: string, value: Json): Promise<void>;
  /** Everything that legs of this job have added, whether or not it still exists. */
  all(): AsyncIterable<unknown>;
}

/** Room that a load needs on a server. */
export interface Room {
  readonly of: 'disk' | 'memory';
  /** Bytes that are needed, by estimate. */
  readonly needed: number;
  /** Bytes that are free, or will be once the scope is cleared; absent where the server does not report it. */
  readonly free?: number | undefined;
  /** Bytes in all, where a server reports its size and not what is free. */
  readonly total?: number | undefined;
}

/** What a store looks like right now, found out without reading its data. */
export interface StoreProbe {
  /** Adapter kind: `neo4j`, `qdrant`, `redis`, `files`, `config`. */
  readonly kind: string;
  /** Server version, such as `5.26.30`. */
  readonly version: string;
  /** Edition or flavour where it matters (`community`, `valkey`). */
  readonly edition?: string;
  /** Exact counts by tally name: `nodes`, `relationships`, `points:<collection>`, `keys:<namespace>`. */
  readonly counts: Record<string, number>;
  /** Estimate of the uncompressed bytes an export will produce. */
  readonly estimatedBytes: number;
  /**
   * Small map of values that change when the store's content changes (a monotonic counter, or counts and a digest of
   * a sample). Equal before and after a backup means `unchanged`.
   */
  readonly fence: Record<string, string>;
  /** Things an operator should know before a backup or restore continues; empty in the normal case. */
  readonly warnings: readonly StoreWarning[];
}

/** A part of a store that one chain of legs exports, independent of the other parts. */
export interface Shard {
  /** `^[a-zA-Z0-9_-]+$`, unique within the store; shards are archived in the order of the plan. */
  readonly id: string;
  /** What the adapter needs to know to export it; at most 4 KiB as JSON. */
  readonly params: Json;
  /** Estimated uncompressed bytes. */
  readonly estimatedBytes: number;
}

/** One step of an export: a piece for the archive, with its counts and where to continue after it. */
export interface ExportStep {
  readonly piece: EntryPiece;
  /**
   * Whole entries that belong to the same records as `piece` and follow it: no leg ends between them, so that `next`
   * and `tallies` are true for all of them or for none.
   */
  readonly companions?: readonly EntryPiece[];
  /** Counts and digests of the records in this piece. For an entry of several pieces, reported with its last one. */
  readonly tallies: Tallies;
  /** Where the export continues after this piece; null where the shard is finished. */
  readonly next: Cursor | null;
}

/** Most names that a store tells of what it holds. */
export const NAMES_MAX = 1000;

/** How a resumable step ended: `cursor` null means it is done. */
export interface Leg {
  readonly cursor: Cursor | null;
  /** What this leg loaded or read back. */
  readonly tallies: Tallies;
}

/** How a restore treats what the target holds already. */
export interface RestoreOptions {
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

/** One difference between the archive and the target, in words. */
export interface Difference {
  /** The thing, such as `relationship RELATED "A" → "B"` or `key nano_graphrag:full_docs:doc-1`. */
  readonly thing: string;
  /** What is different, without data. */
  readonly problem: string;
}

/** What an archive says about the server that one store's entries were saved from. */
export interface ContentOrigin {
  readonly archive: EntryReader;
  /** The scope that was saved, unchecked; undefined where the archive does not say. */
  readonly scope: unknown;
  readonly version: string | undefined;
  readonly edition: string | undefined;
}

/** A sink of one entry's content. */
export interface EntrySink extends ContentSink {
  /** What another process needs to continue within the entry; absent where it has to be read in one go. */
  save?(): Json;
}

/** What the entries of one store hold, once all of them have been read. */
export interface ContentFindings {
  /** Counts and digests of the records, as the exports counted them. */
  readonly tallies: Tallies;
  /** Why the archive can't be restored. */
  readonly problems: readonly string[];
  readonly warnings: readonly StoreWarning[];
}

/**
 * Reads the entries of one store as a load would, in the order of the archive, without a server: every record must be
 * what it claims to be. Holds a bounded part of what it read.
 */
export interface ContentCheck {
  /** Where the content of an entry goes; undefined for entries that no restore reads. `from` is what a sink saved. */
  open(entry: IndexEntry, from?: Json): EntrySink | undefined;
  /** What another process needs to continue between two entries. */
  save(): Json;
  /** After the last entry. Throws IntegrityError or InvalidInputError where entries are missing. */
  end(): Promise<ContentFindings>;
}

/** How a verification leg ended. */
export interface VerifyLeg extends Leg {
  /** Number of differences found in this leg. */
  readonly differences: number;
  /** At most 20 of them, as samples. */
  readonly samples: readonly Difference[];
}

/**
 * One backend, behind the only interface that backups and restores know. Adapters are created with their connection
 * and scope, connect lazily, and must be closed. Every method may be called again after it was cut off at any instant:
 * a repeated leg (same cursor) must have the same effect as one.
 */
export interface Store {
  readonly name: StoreName;
  readonly kind: string;
  /** Reaches the server and measures it. Throws UnavailableError, AccessDeniedError or InvalidInputError. */
  probe(context: LegContext): Promise<StoreProbe>;
  /**
   * Names by which people know what the server holds, whatever the scope: `(:Label)` and `[:TYPE]`, collections, keys,
   * files. Reads only; at most {@link NAMES_MAX}, a sample where there are more.
   */
  names(context: LegContext): Promise<readonly string[]>;
  /**
   * A small text, or the fields of a small record, that is not part of the data: a file or key by its name, wherever it is on
   * the server. Undefined if there is none. Throws InvalidInputError if it is larger, or cannot be read as text.
   */
  setting?(
    name: string,
    bytesMax: number,
    context: LegContext,
  ): Promise<string | Readonly<Record<string, string>> | undefined>;
  /** Cuts the store into shards (at least one when there is anything to save, at most 64). */
  plan(context: LegContext, probe: StoreProbe): Promise<Shard[]>;
  /** Streams a shard from `cursor` (null: from the start), as pieces in archive order. Holds a bounded window only. */
  export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncIterable<ExportStep>;
  /**
   * Removes what an export left on the server (snapshots), and what legs of a restore had begun
   * ({@link LegContext.leftovers}). Idempotent; also called after failures.
   */
  cleanup(context: LegContext): Promise<void>;

  /** Checks, without writing, that this archive can be loaded here. Returns the reasons why it cannot, empty if it can. */
  admits(archive: EntryReader, options: RestoreOptions, context: LegContext): Promise<readonly string[]>;
  /**
   * Finds what can only be found by loading: loads such entries beside what is there, compares what came of them with the
   * archive, and removes it again. Absent where reading an entry proves as much. Throws what prevents a load.
   */
  testLoad?(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg>;
  /** Makes the room that the archive will be loaded into: empties the scope, in bounded transactions. */
  clear(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg>;
  /** Loads the archive's entries of this store. */
  load(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<Leg>;
  /** Reads the target back and compares it with the archive, record by record; nothing may be missing or too much. */
  verify(
    archive: EntryReader,
    options: RestoreOptions,
    cursor: Cursor | null,
    context: LegContext,
  ): Promise<VerifyLeg>;
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
   *
   * @param archive  as it looks at the destination
   */
  label?(archive: EntryReader, route: Route, cursor: Cursor | null, context: LegContext): Promise<Leg>;
  /** Removes every auxiliary thing of the load (temporary labels, properties, indexes, names). Idempotent. */
  finish(options: RestoreOptions, cursor: Cursor | null, context: LegContext): Promise<Leg>;
  close(): Promise<void>;
}

/** What a restore asks for beside whole stores. Names are those that the archive uses. */
export interface Wishes {
  /** Only this part of the data; an absent list does not limit anything. */
  readonly only: Part;
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
  create(connection: Connection, scope: Scope, dependencies: StoreDependencies): Store;
  /** The scope of a part of it. Throws InvalidInputError where the scope has no such part. */
  narrow(scope: Scope, part: Part): Scope;
  /**
   * Where a restore puts the data of `archive`, by the scope that it was saved from (undefined where the archive does
   * not say), the target's own and what was asked for. Throws InvalidInputError that gives the reason where a name can't
   * be rewritten safely.
   */
  route(archive: EntryReader, saved: Scope | undefined, target: Scope, wishes: Wishes): Promise<Route<Scope>>;
  /**
   * The archive as it looks at the destination: only what is restored, under its new names. Load and verification both
   * read this, so that what is compared is what was to be written. Sizes in its index are those of the archive.
   */
  view(archive: EntryReader, route: Route<Scope>): EntryReader;
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
