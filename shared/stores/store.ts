import type { z } from 'zod';
import type { EntryReader } from '../archive/format/types.ts';
import type { Json } from '../core/json.ts';
import type { StoreName } from '../core/store-names.ts';
import type { Subset } from '../core/subset.ts';
import type { RecordComparison } from './comparison/record-reader.ts';
import type { ContentCheck, ContentOrigin } from './content-check.ts';
import type { ExportStep, Shard, StoreProbe } from './export-step.ts';
import type { StoreFacts } from './facts.ts';
import type { Cursor, LegContext, LegResult } from './leg.ts';
import type { MarkRequest } from './marks.ts';
import type { StoreProof } from './proof.ts';
import type { LabelLeg, RestoreInput, RestoreLeg, VerifyResult } from './restore-leg.ts';
import type { Place, Route, RouteRequest, Scratch } from './route.ts';

/** Maximum number of names that {@link Exporter.names} returns. */
export const NAMES_MAX = 1000;

/** What a backup needs from a store. */
export interface Exporter {
  /** Connects to the server and measures it. Throws UnavailableError, AccessDeniedError or InvalidInputError. */
  probe(context: LegContext): Promise<StoreProbe>;
  /**
   * Measures what proves that the content of the scope is the same as at another time, without reading it. Absent if
   * the backend has no such proof: then every backup reads the store. All entries of the store must then be below its
   * folder of the archive. Throws UnavailableError or AccessDeniedError.
   */
  prove?(context: LegContext): Promise<StoreProof>;
  /** Divides the store into shards: at least one if there is anything to save, at most 64. */
  plan(context: LegContext, probe: StoreProbe): Promise<Shard[]>;
  /** Streams a shard from `cursor` (null: from the start), as pieces in archive order. Memory use is bounded. */
  export(shard: Shard, cursor: Cursor | null, context: LegContext): AsyncIterable<ExportStep>;
  /**
   * Removes what an export left on the server (snapshots), and what the legs of a restore had started
   * ({@link LegContext.leftovers}). Idempotent; also called after failures.
   */
  cleanup(context: LegContext): Promise<void>;
  /**
   * Names that identify the contents of the server to its users, regardless of the scope: `(:Label)` and `[:TYPE]`,
   * collections, keys, files. Only reads. Returns at most {@link NAMES_MAX} names, a sample if there are more.
   */
  names(context: LegContext): Promise<readonly string[]>;
  /**
   * Reads a small text, or the fields of a small record, that is not part of the data: a file or key by its name,
   * anywhere on the server. Undefined if it does not exist. Throws InvalidInputError if it is too large or cannot be
   * read as text. Absent if the backend stores no settings.
   */
  setting?(
    name: string,
    bytesMax: number,
    context: LegContext,
  ): Promise<string | Readonly<Record<string, string>> | undefined>;
}

/** What a restore needs from a store, in the order of a restore. */
export interface Importer {
  /** Checks, without writing, that this archive can be loaded here. Returns the reasons why not; empty if it can. */
  admits(restore: RestoreInput): Promise<readonly string[]>;
  /**
   * Detects problems that only loading reveals: loads the entries in question next to the existing data, compares the
   * result with the archive, and removes it again. Absent if reading an entry proves as much. Throws the reason if a
   * load would fail.
   */
  testLoad?(leg: RestoreLeg): Promise<LegResult>;
  /** Makes room for the archive: empties the scope, in bounded transactions. */
  clear(leg: RestoreLeg): Promise<LegResult>;
  /** Loads the archive's entries of this store. */
  load(leg: RestoreLeg): Promise<LegResult>;
  /**
   * Reads the target back and compares it with the archive, record by record. Missing and extra records are
   * differences.
   */
  verify(leg: RestoreLeg): Promise<VerifyResult>;
  /**
   * Runs one read-only query, as a client of the data would, and returns a summary of the answer that reveals no data
   * and is equal for equal answers. Throws if the store does not answer the query.
   */
  smoke(question: unknown, context: LegContext): Promise<string>;
  /** Returns those of the texts that no record of the target has in a field; undefined if that can't be queried. */
  missing(
    what: { readonly thing: string; readonly field: string; readonly isOptional?: boolean },
    values: readonly string[],
    context: LegContext,
  ): Promise<readonly string[] | undefined>;
  /**
   * After the verification: writes the origin labels (`route.origin`) of records that could not be loaded with them.
   * Absent if all records that can have labels were loaded with them.
   */
  label?(leg: LabelLeg): Promise<LegResult>;
  /**
   * Describes what the server holds under the names of the scope: records, and what a probe does not count, such as
   * empty collections, constraints and temporary names. Empty if there is nothing.
   */
  occupied(context: LegContext): Promise<readonly string[]>;
  /** Removes everything that {@link occupied} reports. Only for a scope that a drill created. Idempotent. */
  remove(context: LegContext): Promise<LegResult>;
  /** Removes all auxiliary objects of the load (temporary labels, properties, indexes, names). Idempotent. */
  finish(context: LegContext): Promise<LegResult>;
}

/**
 * One backend, behind the only interface that backups and restores use. Adapters create it with its connection and
 * scope; it connects lazily and must be closed. Every method may be called again after it was interrupted at any point:
 * a repeated leg (same cursor) must have the same effect as a single one.
 */
export interface Store extends Exporter, Importer {
  readonly name: StoreName;
  readonly kind: string;
  close(): Promise<void>;
}

/** Everything outside its own folder that an adapter may use. */
export interface StoreDependencies {
  /** Name of the target in the configuration, for messages. */
  readonly target: string;
  /**
   * Fields of a thing's records that refer to other stores, according to the target's profile. Needed for records that
   * only the server can read.
   */
  referenceFields?(thing: string): readonly string[];
  /** Labels whose nodes a probe of a graph counts, for statistics. */
  readonly countedLabels?: readonly string[];
  /** Columns of texts whose rows a probe of tables counts by text, for statistics: `table.column`. */
  readonly countedColumns?: readonly string[];
  /** What a probe reports in its `marks`, if it exists. Backends look only for the kinds that they have. */
  readonly marks?: readonly MarkRequest[];
}

/**
 * What a backend's folder exports and the registry lists. `Connection` is the schema of its secret in Secrets Manager
 * (address and credentials). `Scope` defines which part of the server belongs to the knowledge base; it comes from
 * profile and configuration, and contains no secrets.
 */
export interface StoreAdapter<Connection = unknown, Scope = unknown> {
  readonly facts: StoreFacts;
  /** Kind and name are those of its facts. */
  readonly kind: string;
  readonly name: StoreName;
  readonly Connection: z.ZodType<Connection>;
  readonly Scope: z.ZodType<Scope>;
  /** A query for `smoke`, in this backend's own terms. It can never write, whatever it contains. */
  readonly Smoke: z.ZodType;
  /** Describes what may differ on a server of another minor version than the one that was saved. */
  readonly versionNotes?: { readonly newer: string; readonly older: string };
  /** The default smoke checks, for a configuration without any. */
  questions(scope: Scope): readonly unknown[];
  /** Adapts a configured smoke check to a restore that renames things. `names` are those of its route. */
  renameQuestion(question: unknown, names: Readonly<Record<string, string>>): unknown;
  create(connection: Connection, scope: Scope, dependencies: StoreDependencies): Store;
  /** Narrows a scope to a part of it. Throws InvalidInputError if the scope has no such part. */
  narrow(scope: Scope, part: Subset): Scope;
  /** Describes what a store with these counts lacks of that part: `key of namespace "docs"`. */
  lacks(part: Subset, counts: Readonly<Record<string, number>>): readonly string[];
  /**
   * Decides where a restore puts the data of `archive`, from the scope that was saved (undefined if the archive does
   * not record it), the target's own scope and the request. Throws InvalidInputError with the reason if a name can't be
   * rewritten safely.
   */
  route(
    archive: EntryReader,
    saved: Scope | undefined,
    target: Scope,
    request: RouteRequest,
  ): Promise<Route<Scope>>;
  /**
   * Views the archive as it looks at the destination: only what is restored, under its new names. Load and verification
   * both read this view, so that the comparison uses exactly what was to be written. Sizes in its index are those of
   * the archive.
   */
  view(archive: EntryReader, route: Route<Scope>): EntryReader;
  /** Whether a record could belong to both places. Servers with equal addresses are the same server. */
  overlaps(one: Place<Connection, Scope>, other: Place<Connection, Scope>): boolean;
  /** Absent if the records have no names that could be changed. */
  readonly scratch?: Scratch<Scope>;
  /**
   * Starts to check the archive's content of this store. `from` is the state that an earlier part of the check saved.
   */
  check(origin: ContentOrigin, from?: Json): ContentCheck;
  /** How records are compared, and found by name. Absent if only their counts can be compared. */
  readonly comparison?: RecordComparison<Scope>;
  /**
   * Reads the texts that records of an archive of that scope have in a field, in batches, to prove references: of
   * `nodes`, of `relationships`, of the collections that `isThing` accepts, or of a namespace of keys. Undefined if
   * they can't be read.
   */
  values(
    archive: EntryReader,
    scope: Scope,
    what: {
      readonly thing: string;
      readonly field: string;
      isThing(collection: string): boolean;
      /** For tables: whether undefined is returned if there is none. */
      readonly isOptional?: boolean;
    },
  ): Promise<AsyncIterable<readonly string[]> | undefined>;
}
