import type { EntryReader, IndexEntry } from '../archive/format/types.ts';
import type { ContentSink } from '../archive/read/verify.ts';
import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { StoreName } from '../core/store-names.ts';
import type { StoreWarning } from './warning.ts';

/** What an archive records about the server from which one store's entries were saved. */
export interface ContentOrigin {
  readonly archive: EntryReader;
  /** The scope that was saved, not validated; undefined if the archive does not record it. */
  readonly scope: unknown;
  readonly version: string | undefined;
  readonly edition: string | undefined;
  /**
   * Returns the fields whose texts are collected from the records of a thing, as `values` of the adapter names them.
   * Absent if none are.
   */
  readonly fieldsOf?: (thing: string) => readonly CollectedField[];
}

/** A field whose texts are collected while records are checked. */
export interface CollectedField {
  /**
   * For keys, the field `id` is the part after the namespace's prefix; for relationships, `start.X` is the property X of
   * that end, if it is the key of nodes. `one|other` is the pair of the texts in two fields, in either order.
   */
  readonly name: string;
  /** Called for every text that a record has in the field; each element of a list is one. */
  add(text: string): void;
}

/** Collects texts of records during a check. */
export interface ValueCollector {
  /** The fields to collect from `nodes`, from `relationships`, from a collection, or from a namespace of keys. */
  fieldsOf(store: StoreName, thing: string): readonly CollectedField[];
}

/** Adds the texts in the fields of one record; those that the record does not have are skipped. */
export function collectFields(fields: readonly CollectedField[], record: unknown): void {
  for (const { name, add } of fields) for (const text of textsIn(record, name)) add(text);
}

/** Between the names of two fields whose texts are a pair, such as the ends of a relation: `src_id|tgt_id`. */
const PAIR = '|';

/** The names of the fields that a field of a reference consists of. */
export function fieldNames(field: string): string[] {
  return field.split(PAIR);
}

/** Between the texts of a pair. */
export const PAIR_SEPARATOR = '<SEP>';

/** Two texts as one, in either order, as LightRAG joins the ends of a relation. */
export function pairText(one: string, other: string): string {
  return (one < other ? [one, other] : [other, one]).join(PAIR_SEPARATOR);
}

/** The texts that a record has in a field, each element of a list by itself; or in a pair of fields, as one. */
export function textsIn(record: unknown, field: string): string[] {
  // Called for every record.
  if (!field.includes(PAIR)) return textsOf(record, field);
  const [first = '', second = ''] = fieldNames(field);
  const [one, ...others] = textsOf(record, first);
  const [other, ...more] = textsOf(record, second);
  if (one === undefined || other === undefined || others.length > 0 || more.length > 0) return [];
  return [pairText(one, other)];
}

function textsOf(record: unknown, name: string): string[] {
  if (typeof record !== 'object' || record === null || !Object.hasOwn(record, name)) return [];
  const found: unknown = Reflect.get(record, name);
  const all: readonly unknown[] = Array.isArray(found) ? found : [found];
  return all.filter((inner) => typeof inner === 'string');
}

/** Receives the content of one entry. */
export interface EntrySink extends ContentSink {
  /**
   * Returns the state from which another process can continue within the entry. Absent if the entry must be read in one
   * leg.
   */
  save?(): Json;
}

/** What the entries of one store contain, known once all of them have been read. */
export interface ContentFindings {
  /** Counts and digests of the records, computed as in the exports. */
  readonly tallies: Tallies;
  /** Reasons why the archive can't be restored. */
  readonly problems: readonly string[];
  readonly warnings: readonly StoreWarning[];
}

/**
 * Reads the entries of one store as a load would, in archive order but without a server, and validates every record.
 * Memory use is bounded.
 */
export interface ContentCheck {
  /**
   * Returns the sink for the content of an entry; undefined for entries that no restore reads. `from` is the saved
   * state of a sink.
   */
  open(entry: IndexEntry, from?: Json): EntrySink | undefined;
  /** Returns the state from which another process can continue between two entries. */
  save(): Json;
  /** Called after the last entry. Throws IntegrityError or InvalidInputError if entries are missing. */
  end(): Promise<ContentFindings>;
}
