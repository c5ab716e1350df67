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
  /** For keys, the field `id` is the part after the namespace's prefix. */
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
  if (typeof record !== 'object' || record === null) return;
  for (const { name, add } of fields) {
    if (!Object.hasOwn(record, name)) continue;
    const found: unknown = Reflect.get(record, name);
    if (typeof found === 'string') add(found);
    else if (Array.isArray(found)) for (const inner of found) if (typeof inner === 'string') add(inner);
  }
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
