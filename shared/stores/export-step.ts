import type { EntryPiece } from '../archive/format/types.ts';
import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { Cursor } from './leg.ts';
import type { FoundMark } from './marks.ts';
import type { StoreWarning } from './warning.ts';

/** The current state of a store, determined without reading its data. */
export interface StoreProbe {
  /** Adapter kind: `neo4j`, `qdrant`, `redis`, `files`, `config`. */
  readonly kind: string;
  /** Server version, such as `5.26.30`. */
  readonly version: string;
  /** Edition or flavour, if it matters (`community`, `valkey`). */
  readonly edition?: string;
  /** Exact counts by tally name: `nodes`, `relationships`, `points:<collection>`, `keys:<namespace>`. */
  readonly counts: Record<string, number>;
  /**
   * Numbers of records with the labels that the profile counts, and by text in its columns (`table.column=text`);
   * statistics only, not compared with the export.
   */
  readonly labels?: Readonly<Record<string, number>>;
  /** What the profile looks for in order to know which version of the application wrote the data, if it exists. */
  readonly marks?: readonly FoundMark[];
  /** Estimated number of uncompressed bytes that an export will produce. */
  readonly estimatedBytes: number;
  /**
   * A small map of values that change when the store's content changes: a monotonic counter, or counts and a digest of
   * a sample. Equal fences before and after a backup mean `unchanged`.
   */
  readonly fence: Record<string, string>;
  /** What an operator should know before a backup or restore continues; normally empty. */
  readonly warnings: readonly StoreWarning[];
}

/** A part of a store that one chain of legs exports, independently of the other parts. */
export interface Shard {
  /** `^[a-zA-Z0-9_-]+$`, unique within the store; shards are archived in the order of the plan. */
  readonly id: string;
  /** What the adapter needs to export it; at most 4 KiB as JSON. */
  readonly params: Json;
  /** Estimated uncompressed bytes. */
  readonly estimatedBytes: number;
  /** Approximate counts by tally name, for progress only. May be absent if it is the only shard of its store. */
  readonly counts?: Readonly<Record<string, number>> | undefined;
}

/** One step of an export: a piece for the archive, its counts, and where to continue after it. */
export interface ExportStep {
  readonly piece: EntryPiece;
  /**
   * Whole entries that follow `piece` and belong to the same records. No leg ends between them, so `next` and `tallies`
   * hold for all of them or for none.
   */
  readonly companions?: readonly EntryPiece[];
  /** Counts and digests of the records in this piece. An entry of several pieces reports them with its last piece. */
  readonly tallies: Tallies;
  /** Where the export continues after this piece; null if the shard is finished. */
  readonly next: Cursor | null;
}
