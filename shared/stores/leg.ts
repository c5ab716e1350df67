import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { SpaceEstimate } from './room.ts';
import type { StoreWarning } from './warning.ts';

/** Where a resumable step continues. Written and read by one adapter only; at most 8 KiB as JSON. */
export type Cursor = Json;

/** The environment of a step. */
export interface LegContext {
  /** ID of the job, used in the names of temporary objects on the server: `^[a-zA-Z0-9_-]+$`, at most 80 characters. */
  readonly jobId: string;
  /**
   * Milliseconds until the step should have ended cleanly. Adapters check it between units of work that take a few
   * seconds at most, and return early with a cursor once it is zero or less.
   */
  timeLeft(): number;
  /** Aborted when the work must stop at once (a time limit of the platform, Ctrl-C). */
  readonly signal: AbortSignal;
  /**
   * Reports the progress of this phase of the store over all its legs. Cheap to call: the receiver throttles. `total`
   * is absent if it is unknown.
   */
  progress(unit: string, done: number, total?: number): void;
  /**
   * How many of a unit the previous legs reported, for adapters whose cursor does not count them. Absent if there were
   * none.
   */
  doneBefore?(unit: string): number;
  /**
   * True in two cases: for the safety backup, which leaves out what the configuration names but the server lacks,
   * instead of failing; and for the rollback that restores it over whatever the restore left.
   */
  readonly asIs?: boolean;
  /**
   * Reports something that is left out, or that an operator should look at. It becomes part of the result of the backup
   * or restore; a repeated leg replaces its earlier warnings. Warnings with the same code and text are merged, so call
   * it as often as needed, with the count and names of the new occurrences.
   */
  warn(warning: StoreWarning): void;
  /**
   * Records what a leg has started outside the store and would leave behind if its function were killed, such as an
   * unfinished upload to a user's bucket. Passed to `cleanup` after the job has ended. Absent if nothing is written.
   */
  readonly leftovers?: Leftovers;
  /**
   * Receives the space that a load needs and the server has, reported by `admits`. Absent if the caller is not
   * interested.
   */
  room?(room: SpaceEstimate): void;
  /** Writes a line to the job's log. It must not contain data or secrets. */
  log(message: string, fields?: Record<string, Json>): void;
}

export interface Leftovers {
  /** Resolves once the value is recorded. Another call with the same ID replaces the value. */
  add(id: string, value: Json): Promise<void>;
  /** Everything that legs of this job have added, whether or not it still exists. */
  all(): AsyncIterable<unknown>;
}

/** Result of a resumable step: a `cursor` of null means that the step is done. */
export interface LegResult {
  readonly cursor: Cursor | null;
  /** What this leg loaded or read back. */
  readonly tallies: Tallies;
}

/** Result of a finished step that counts nothing. */
export const DONE: LegResult = { cursor: null, tallies: {} };
