import type { Tallies } from '../core/digest.ts';
import type { Json } from '../core/json.ts';
import type { SpaceEstimate } from './room.ts';
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
  room?(room: SpaceEstimate): void;
  /** A line for the job's log. No data, no secrets. */
  log(message: string, fields?: Record<string, Json>): void;
}

export interface Leftovers {
  /** Resolves once it is remembered. Written once more for the same id, it replaces the first. */
  add(id: string, value: Json): Promise<void>;
  /** Everything that legs of this job have added, whether or not it still exists. */
  all(): AsyncIterable<unknown>;
}

/** How a resumable step ended: `cursor` null means it is done. */
export interface LegResult {
  readonly cursor: Cursor | null;
  /** What this leg loaded or read back. */
  readonly tallies: Tallies;
}

/** The end of a step that has nothing to count. */
export const DONE: LegResult = { cursor: null, tallies: {} };
