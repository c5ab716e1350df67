import type { z } from 'zod';
import type { Json } from '../core/json.ts';
import type { ServedRole } from '../core/store-names.ts';
import type { MarkRequest, NamePattern } from '../stores/marks.ts';

/** The counts that users know a knowledge base by; they are the statistics in the manifest. */
export const STATISTICS = [
  'documents',
  'chunks',
  'entities',
  'relationships',
  'communities',
  'vectors',
  'cache_entries',
] as const;
export type Statistic = (typeof STATISTICS)[number];

/** Scopes by role, as defined by the stores' adapters. Roles that the profile does not define are absent. */
export type ProfileScopes = Partial<Record<ServedRole, Record<string, Json>>>;

/** A data field of the stores of one role, such as `source_id` of nodes. */
export interface Field {
  readonly store: ServedRole;
  /** `nodes`, `relationships`, a collection, a namespace of keys, or a table. */
  readonly thing: string;
  /** As in `CollectedField`. */
  readonly field: string;
  /** Where stores of tables have it. If it equals the others, only these have it; if absent, they do not. */
  readonly table?: TableField;
}

/** A field of rows. */
export interface TableField {
  readonly thing: string;
  readonly field: string;
  /** Whether the rows may be somewhere else altogether: without such a table, nothing is known about them. */
  readonly isOptional?: boolean;
}

/** A column that only stores of tables have, or a member of its JSON objects: `column.member`. */
export function inTables(thing: string, field: string, options: Pick<TableField, 'isOptional'> = {}): Field {
  return { store: 'kv', thing, field, table: { thing, field, ...options } };
}

/** A reference between records: each value of `from` should exist as a value of `to`. */
export interface Reference {
  readonly from: Field;
  /** The separator, if the field holds several values in one string. Lists need none. */
  readonly separator?: string;
  readonly to: Field;
  /** Counted only in targets that have no store of this role. */
  readonly without?: ServedRole;
}

/** Something in the data of a system that only some of its versions write. */
export interface VersionMark {
  readonly store: ServedRole;
  /** What a probe looks for; or the name of a tally that is not zero, such as `points:<collection>`. */
  readonly find: MarkRequest | { readonly kind: 'tally'; readonly pattern: NamePattern };
  /** The first version that writes it. */
  readonly since?: string;
  /** The first version that no longer writes it. */
  readonly before?: string;
  /** Whether a value is the version of the system, or a revision that differs between versions. */
  readonly value?: 'version' | 'revision';
  /** What versions from `before` on do with it, as the end of a sentence. */
  readonly later?: string;
  /** What versions before `since` do with it, likewise. */
  readonly earlier?: string;
  /** The warning of a backup if it exists, because it is not saved. */
  readonly leftOut?: string;
}

/** The table of a namespace: one row for each key. */
export interface MovableTable {
  readonly name: string;
  /** The fields of values by the columns that hold them; besides the columns `id` and `workspace`. */
  readonly fields: Readonly<Record<string, string>>;
  /** Whether values in Redis and in files have their key as `_id`. */
  readonly holdsId: boolean;
}

/** Key-value data that the system keeps in Redis, in JSON files, and in tables of PostgreSQL. */
export interface Movable {
  /** Its namespaces: `<prefix><namespace>:<id>` in Redis, `kv_store_<namespace>.json` in files. */
  readonly namespaces: readonly string[];
  /**
   * By namespace: what the names of keys in Redis have in place of the colon if the system derives them from the others,
   * and builds them again if they are absent.
   */
  readonly derived: Readonly<Partial<Record<string, string>>>;
  /** The tables of the namespaces. */
  readonly tables: Readonly<Partial<Record<string, MovableTable>>>;
}

/** The data layout of one GraphRAG system. Pure: it derives names and makes no connections. */
export interface Profile<Parameters = unknown> {
  readonly name: string;
  /** Schema of the parameters that a target sets in its configuration. */
  readonly Parameters: z.ZodType<Parameters>;
  /** The roles of which a target may have several stores. Default: none. */
  readonly several?: readonly ServedRole[];
  /**
   * Returns the part of each store that belongs to the knowledge base. `kvKind` is the adapter of the key-value data.
   */
  scopes(parameters: Parameters, kvKind: string): ProfileScopes;
  /** Key namespaces by the statistic that they provide. */
  readonly counts: Readonly<Partial<Record<Statistic, string>>>;
  /** Tables by the statistic that their rows provide, for data in a database; `*` at the end stands for any text. */
  readonly tables?: Readonly<Partial<Record<Statistic, string>>>;
  /**
   * Texts in columns whose rows are counted by the statistic that they divide, as `documents_<text>`: `table.column`.
   */
  readonly columns?: Readonly<Partial<Record<Statistic, string>>>;
  /** Labels of nodes by the statistic that they provide, for systems whose nodes are of several kinds. */
  readonly labels?: Readonly<Partial<Record<Statistic, string>>>;
  readonly references: readonly Reference[];
  /**
   * What reveals the version of the system that wrote the data. Absent for systems in whose data nothing does: then only
   * `system_version` of the target states it.
   */
  versionMarks?(parameters: Parameters): readonly VersionMark[];
  /** Absent for systems with only one form of key-value data. */
  readonly movable?: Movable;
  /** Files next to the data that configure the system, for targets with a files store. */
  readonly configurationFiles?: readonly string[];
  /** Seconds after which the system expires the keys of a namespace, for archives that do not record expiries. */
  readonly expiries?: Readonly<Record<string, number>>;
}
