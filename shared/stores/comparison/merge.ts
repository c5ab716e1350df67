import {
  HASH_PART,
  kindAt,
  lengthAt,
  NAME_BYTES_MAX,
  nameAt,
  ROW_BYTES_MAX,
  ROW_HEAD,
  SORTED_BYTES,
} from './rows.ts';
import type { RunPlace, RunStore } from './run-store.ts';

/** The two sides of a comparison: what changed is what `after` has and `before` has not. */
export const SIDES = ['before', 'after'] as const;
export type Side = (typeof SIDES)[number];

/** Memory for the blocks of all runs, in bytes, and the limits of one block. */
const BLOCKS_BYTES = 64 * 1024 ** 2;
const BLOCK_MIN = 64 * 1024;
const BLOCK_MAX = 1024 ** 2;
/** Identities between two looks at the time: some milliseconds of work. */
export const LOOK_EVERY = 4096;

/** A run of sorted rows, and how far it was merged. */
export interface SortedRun {
  readonly side: Side;
  readonly place: RunPlace;
  /** Offset of the next row, in bytes. */
  offset: number;
}

/** Receives what a merge finds: once for each identity that is not equal on both sides, and the counts of equal records. */
export interface MergeSink {
  equal(kind: number, count: number): void;
  differing(kind: number, found: { added: number; changed: number; removed: number; name: string }): void;
}

/**
 * Merges sorted runs of both sides, and compares them as multisets: of the records with one identity, those with equal
 * content are equal, and of the others one on each side is a changed record. Memory depends on the number of runs only.
 * Returns false if the time is up: then `offset` of each run is where the next leg continues.
 */
export async function mergeRuns(
  runs: readonly SortedRun[],
  store: RunStore,
  sink: MergeSink,
  { timeLeft, signal }: { timeLeft(): number; signal: AbortSignal },
  lookEvery = LOOK_EVERY,
): Promise<boolean> {
  const block = Math.max(BLOCK_MIN, Math.min(BLOCK_MAX, Math.floor(BLOCKS_BYTES / Math.max(1, runs.length))));
  const heap = new CursorHeap();
  for (const [number, run] of runs.entries()) {
    const cursor = new RunCursor(store, number, run, block);
    if (await cursor.fill()) heap.push(cursor);
  }
  const group = new IdentityGroup(sink);
  let identities = 0;
  for (let top = heap.top; top; top = heap.top) {
    if (!group.has(top)) {
      group.close();
      if (identities++ % lookEvery === 0) {
        signal.throwIfAborted();
        if (identities > 1 && timeLeft() <= 0) {
          for (const cursor of heap.cursors) cursor.keepOffset();
          return false;
        }
      }
    }
    group.add(top);
    if (top.step() || (await top.fill())) heap.sink();
    else heap.pop();
  }
  group.close();
  return true;
}

/** Reads one run, block by block. Its current row is at `at` in `rows`. */
class RunCursor {
  readonly side: Side;
  rows: Buffer = Buffer.alloc(0);
  at = 0;
  readonly #store: RunStore;
  readonly #number: number;
  readonly #run: SortedRun;
  readonly #block: number;
  /** Offset of `rows` in the run. */
  #start: number;

  constructor(store: RunStore, number: number, run: SortedRun, block: number) {
    this.side = run.side;
    this.#store = store;
    this.#number = number;
    this.#run = run;
    this.#block = block;
    this.#start = run.offset;
  }

  /** Moves to the next row, and returns whether all of it is in memory. */
  step(): boolean {
    this.at += lengthAt(this.rows, this.at);
    const left = this.rows.length - this.at;
    return left >= ROW_BYTES_MAX || (left >= ROW_HEAD && left >= lengthAt(this.rows, this.at));
  }

  /** Reads the block that starts with the current row; returns false at the end of the run. */
  async fill(): Promise<boolean> {
    const { place } = this.#run;
    this.#start += this.at;
    this.at = 0;
    const length = Math.min(this.#block, place.bytes - this.#start);
    if (length <= 0) {
      this.keepOffset();
      this.rows = Buffer.alloc(0);
      return false;
    }
    this.rows = await this.#store.read(this.#number, place, this.#start, length);
    return true;
  }

  keepOffset(): void {
    this.#run.offset = this.#start + this.at;
  }

  isBefore(other: RunCursor): boolean {
    return (
      this.rows.compare(other.rows, other.at, other.at + SORTED_BYTES, this.at, this.at + SORTED_BYTES) < 0
    );
  }
}

/** A binary heap: the cursor with the smallest row is on top. */
class CursorHeap {
  readonly cursors: RunCursor[] = [];

  get top(): RunCursor | undefined {
    return this.cursors[0];
  }

  push(cursor: RunCursor): void {
    const { cursors } = this;
    let at = cursors.push(cursor) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  pop(): void {
    const last = this.cursors.pop();
    if (!last || this.cursors.length === 0) return;
    this.cursors[0] = last;
    this.sink();
  }

  /** Restores the order after the row of the top has changed. */
  sink(): void {
    const { cursors } = this;
    for (let at = 0; ; ) {
      let smallest = 2 * at + 1;
      const [left, right] = [cursors[smallest], cursors[smallest + 1]];
      if (!left) return;
      if (right?.isBefore(left)) smallest++;
      if (!this.#swapIfBefore(smallest, at)) return;
      at = smallest;
    }
  }

  #swapIfBefore(child: number, parent: number): boolean {
    const [one, other] = [this.cursors[child], this.cursors[parent]];
    if (!one || !other || !one.isBefore(other)) return false;
    this.cursors[parent] = one;
    this.cursors[child] = other;
    return true;
  }
}

/** The records with one identity, in the order of their contents. */
class IdentityGroup {
  readonly #sink: MergeSink;
  /** Both hashes of the last row. */
  readonly #current = Buffer.alloc(SORTED_BYTES);
  #isOpen = false;
  #kind = 0;
  /** Rows with the current content, by side. */
  readonly #counts = { before: 0, after: 0 };
  /** Rows without an equal one on the other side. */
  readonly #left = { before: 0, after: 0 };
  #equal = 0;
  /** The row of the first record of each side, to name it. */
  readonly #rows = {
    before: Buffer.alloc(ROW_HEAD + NAME_BYTES_MAX),
    after: Buffer.alloc(ROW_HEAD + NAME_BYTES_MAX),
  };
  readonly #isNamed = { before: false, after: false };

  constructor(sink: MergeSink) {
    this.#sink = sink;
  }

  has({ rows, at }: RunCursor): boolean {
    return this.#isOpen && this.#current.compare(rows, at, at + HASH_PART, 0, HASH_PART) === 0;
  }

  add({ side, rows, at }: RunCursor): void {
    if (!this.#isOpen) {
      this.#isOpen = true;
      this.#kind = kindAt(rows, at);
    } else if (this.#current.compare(rows, at, at + SORTED_BYTES) !== 0) this.#closeContent();
    rows.copy(this.#current, 0, at, at + SORTED_BYTES);
    this.#counts[side]++;
    if (this.#isNamed[side]) return;
    this.#isNamed[side] = true;
    rows.copy(this.#rows[side], 0, at, at + lengthAt(rows, at));
  }

  #closeContent(): void {
    const { before, after } = this.#counts;
    const equal = Math.min(before, after);
    this.#equal += equal;
    this.#left.before += before - equal;
    this.#left.after += after - equal;
    this.#counts.before = 0;
    this.#counts.after = 0;
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#closeContent();
    const { before, after } = this.#left;
    if (this.#equal > 0) this.#sink.equal(this.#kind, this.#equal);
    if (before + after > 0) {
      const changed = Math.min(before, after);
      const name = nameAt(this.#rows[after > 0 ? 'after' : 'before'], 0);
      this.#sink.differing(this.#kind, { added: after - changed, changed, removed: before - changed, name });
    }
    this.#isOpen = false;
    this.#equal = 0;
    for (const side of SIDES) {
      this.#left[side] = 0;
      this.#isNamed[side] = false;
    }
  }
}
