import { z } from 'zod';
import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import type { Json } from '../../core/json.ts';
import type { StoreProbe } from '../export-step.ts';
import type { LoadOptions } from '../restore-leg.ts';

/** A record of one side of a comparison. */
export interface ComparedRecord {
  /** The tally under which it is counted: `nodes`, `points:<collection>`. */
  readonly kind: string;
  /** Text that is equal for the same record on both sides, and differs between all records of a store. */
  readonly identity: string;
  /** Text or bytes that are equal if and only if the record has not changed; null if only identities are compared. */
  readonly content: string | Uint8Array | null;
  /** Returns its name in messages. Not truncated, and not escaped. */
  readonly name: () => string;
  /** Returns the texts by which a person may look for it. */
  readonly keys: () => readonly string[];
  /** Returns the record as JSON lines. Absent if its content is the content of the whole entry. */
  readonly json?: (() => string) | undefined;
}

/** A piece of an entry, or all of it, and its content. */
export interface ContentPiece extends EntryPiece {
  readonly data: AsyncIterable<Uint8Array>;
}

/** Reads the records in the entries of one store, with bounded memory. Keeps state between entries. */
export interface RecordReader {
  /** The records of an entry, or of a piece of one. `archive` has the entries that belong to it. */
  read(piece: ContentPiece, archive: EntryReader): AsyncIterable<ComparedRecord>;
  /** The state from which another process continues after a piece. */
  save(): Json;
}

/** Kinds that cannot be compared by content. */
const Limitation = z.object({
  /** `identities`: records are found added or removed, but not changed. `counts`: only their number is known. */
  by: z.enum(['identities', 'counts']),
  /** Why, as a clause that follows "because". */
  reason: z.string(),
});
export type Limitation = z.infer<typeof Limitation>;

/** What both sides must use to identify records alike. Stored as JSON between legs. */
export const ComparisonBasis = z.object({
  /** Only the adapter that wrote it reads it. */
  rules: z.json(),
  limitations: z.record(z.string(), Limitation),
});
export type ComparisonBasis = z.infer<typeof ComparisonBasis>;

/** What a comparison is about. */
export interface ComparisonSubject<Scope> {
  /** The archives that are read, as views at the destination if one is about to be restored. */
  readonly archives: readonly EntryReader[];
  /** The scope of the records; undefined if it is unknown. */
  readonly scope: Scope | undefined;
  /** If one side is a live store into which the archive is to be restored. */
  readonly live?: { readonly probe: StoreProbe; readonly options: LoadOptions } | undefined;
}

/** Which side a reader reads, and the state of the reader that it continues. */
export interface ReaderStart {
  /** True for the entries that an export of the live store has. */
  readonly isLive: boolean;
  readonly from?: Json | undefined;
  /** The record that is looked for: then `json` of a record with this key has all of its parts. */
  readonly wanted?: string | undefined;
}

/** How the records of a backend are compared with those of another archive or of a live store. */
export interface RecordComparison<Scope = unknown> {
  /** Decides how records are identified, from small entries only. */
  prepare(subject: ComparisonSubject<Scope>): Promise<ComparisonBasis>;
  reader(basis: ComparisonBasis, start: ReaderStart): RecordReader;
  /**
   * The scope in which the records of a live store are exported to be compared: an export in it must not write to the
   * server. Undefined if no record is to be read. Default: the whole scope.
   */
  liveScope?(scope: Scope, basis: ComparisonBasis, probe: StoreProbe): Scope | undefined;
  /** Whether an entry may have the record that is looked for, by the name of the entry. Default: it may. */
  mayHold?(entry: string, wanted: string): boolean;
  /** Bytes after which the reading of an entry may be interrupted. Default: entries are read as a whole. */
  readonly pieceBytes?: number;
}
