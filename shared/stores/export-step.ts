import type { EntryPiece } from '../archive/format/types.ts';
import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { Cursor } from './leg.ts';
import type { StoreWarning } from './warning.ts';

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
