import type { EntryReader, IndexEntry } from '../archive/format/types.ts';
import type { ContentSink } from '../archive/read/verify.ts';
import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { StoreWarning } from './warning.ts';

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
