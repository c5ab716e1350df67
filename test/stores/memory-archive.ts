import { createHash } from 'node:crypto';
import type { EntryPiece, EntryReader, IndexEntry } from '../../shared/archive/format/types.ts';
import { addTallies, type Tallies } from '../../shared/core/digest.ts';
import type { Cursor, LegContext, LegResult } from '../../shared/stores/leg.ts';
import type { LoadOptions } from '../../shared/stores/restore-leg.ts';
import type { Store } from '../../shared/stores/store.ts';
import { NIGHTLY } from '../nightly.ts';

/** An archive in memory, for tests of stores: filled by an export, read by a restore. */
export class MemoryArchive implements EntryReader {
  /** Whole entries by name, in archive order. Tests may change them. */
  readonly files = new Map<string, Buffer>();
  readonly #open = new Map<string, { size: number; parts: Buffer[]; bytes: number }>();

  /** Appends a piece and enforces the rules: whole entries once, pieces in order, sizes as announced. */
  async add(piece: EntryPiece): Promise<void> {
    if (this.files.has(piece.name)) throw new Error(`entry ${piece.name} came twice`);
    if (!/^[\x20-\x7e]+$/.test(piece.name) || piece.name.startsWith('/') || piece.name.includes('..')) {
      throw new Error(`entry name ${JSON.stringify(piece.name)} is not allowed`);
    }
    const open = this.#open.get(piece.name) ?? { size: piece.size, parts: [], bytes: 0 };
    if (open.size !== piece.size) throw new Error(`entry ${piece.name} changed its size`);
    if (open.bytes !== piece.offset) throw new Error(`a piece of ${piece.name} is out of order`);
    let length = 0;
    for await (const bytes of piece.data) {
      open.parts.push(Buffer.from(bytes));
      length += bytes.byteLength;
    }
    if (length !== piece.length) {
      throw new Error(`a piece of ${piece.name} has ${length} bytes, not ${piece.length}`);
    }
    open.bytes += length;
    this.#open.set(piece.name, open);
    if (open.bytes === open.size) {
      this.files.set(piece.name, Buffer.concat(open.parts));
      this.#open.delete(piece.name);
    }
  }

  /** Names of all entries, in archive order. */
  names(): string[] {
    return [...this.files.keys()];
  }

  /** Content of an entry as text. Throws if it does not exist. */
  text(name: string): string {
    const content = this.files.get(name);
    if (!content) throw new Error(`There is no entry ${name} among ${this.names().join(', ')}.`);
    return content.toString('utf8');
  }

  /** Replaces an entry, to test how a restore handles it. */
  set(name: string, content: string | Uint8Array): void {
    this.files.set(name, Buffer.from(content));
  }

  delete(name: string): void {
    this.files.delete(name);
  }

  /** Unfinished entries. */
  unfinished(): string[] {
    return [...this.#open.keys()];
  }

  async *entries(prefix: string): AsyncGenerator<IndexEntry> {
    for (const name of this.files.keys()) if (name.startsWith(prefix)) yield this.#index(name);
  }

  async find(name: string): Promise<IndexEntry | undefined> {
    return this.files.has(name) ? this.#index(name) : undefined;
  }

  async *open(
    entry: IndexEntry,
    range: { offset: number; length: number } = { offset: 0, length: entry.size },
  ): AsyncGenerator<Uint8Array> {
    const content = this.files.get(entry.name);
    if (!content) throw new Error(`no entry ${entry.name}`);
    // Irregular chunks, so that no reader relies on their boundaries.
    const end = range.offset + range.length;
    for (let at = range.offset; at < end; at += 60_007)
      yield content.subarray(at, Math.min(end, at + 60_007));
  }

  #index(name: string): IndexEntry {
    const content = this.files.get(name) ?? Buffer.alloc(0);
    const sha256 = createHash('sha256').update(content).digest('hex');
    return { name, size: content.length, sha256, offset: 0, length: content.length };
  }
}

/** The context of a leg. The test sets `timeLeft`; by default there is always time. */
export function legContext(overrides: Partial<LegContext> = {}): LegContext {
  return {
    jobId: 'test-job',
    timeLeft: () => 60_000,
    signal: new AbortController().signal,
    progress: () => undefined,
    warn: () => undefined,
    log: () => undefined,
    ...overrides,
  };
}

/** Units of work in a leg with little time, after as many legs of one unit. */
const HURRIED_UNITS = 8;

/**
 * The time of legs that read records back: they end after each unit of work at first, and later by day after
 * {@link HURRIED_UNITS} of them, since a unit is a page of a few records, and each leg connects to the server again.
 */
export function littleTime(): () => number {
  let asked = 0;
  return () => {
    asked++;
    return NIGHTLY || asked <= HURRIED_UNITS || asked % HURRIED_UNITS === 0 ? 0 : 60_000;
  };
}

export interface Exported {
  readonly archive: MemoryArchive;
  readonly tallies: Tallies;
  /** Number of legs. */
  readonly legs: number;
}

/**
 * Exports a whole store into memory.
 *
 * @param stepsOfLeg a leg ends after this number of steps, and the next one starts from the cursor with a new store
 */
export async function exportAll(open: () => Store, stepsOfLeg = Number.POSITIVE_INFINITY): Promise<Exported> {
  const archive = new MemoryArchive();
  let tallies: Tallies = {};
  let legs = 0;
  const context = legContext();
  const shards = await withStore(open, async (store) => store.plan(context, await store.probe(context)));
  for (const shard of shards) {
    let cursor: Cursor | null = null;
    for (let done = false; !done; legs++) {
      const store = open();
      try {
        let steps = 0;
        done = true;
        for await (const step of store.export(structuredClone(shard), structuredClone(cursor), context)) {
          for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
          tallies = addTallies(tallies, step.tallies);
          cursor = step.next;
          if (++steps >= stepsOfLeg && cursor !== null) {
            done = false;
            break;
          }
        }
      } finally {
        await store.close();
      }
    }
  }
  await withStore(open, (store) => store.cleanup(context));
  if (archive.unfinished().length > 0) throw new Error(`unfinished entries: ${archive.unfinished()}`);
  return { archive, tallies, legs };
}

/** Opens a store, passes it to `work`, closes it. */
export async function withStore<T>(open: () => Store, work: (store: Store) => Promise<T>): Promise<T> {
  const store = open();
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

export interface Restored {
  readonly loaded: Tallies;
  readonly readBack: Tallies;
  readonly differences: number;
  readonly samples: readonly string[];
  readonly legs: number;
}

export interface RestoreHow {
  readonly options?: LoadOptions;
  /**
   * Runs `clear`, `load` and `finish` without time left, so that every leg does the least possible work, and `verify` with
   * {@link littleTime}.
   */
  readonly hurried?: boolean;
  /** Runs every leg twice from the same cursor, as after a timeout of the platform; the later result is used. */
  readonly repeated?: boolean;
  /** Called between `load` and `verify`. */
  readonly beforeVerify?: () => Promise<void>;
  /** Additional properties of the legs' context. */
  readonly context?: Partial<LegContext>;
  /** Skips `finish`. */
  readonly unfinished?: boolean;
}

/** Restores an archive as the workflow does: clear, load, verify, finish, each in legs with a new store. */
export async function restoreAll(
  open: () => Store,
  archive: EntryReader,
  how: RestoreHow = {},
): Promise<Restored> {
  const options = how.options ?? { mode: 'replace', onConflict: 'fail' };
  const context = legContext({ ...(how.hurried ? { timeLeft: () => 0 } : {}), ...how.context });
  const reading = how.hurried ? { ...context, timeLeft: littleTime(), ...how.context } : context;
  let legs = 0;
  async function phase<T extends LegResult>(
    run: (store: Store, cursor: Cursor | null) => Promise<T>,
    each: (leg: T) => void = () => undefined,
  ): Promise<void> {
    let cursor: Cursor | null = null;
    do {
      const from: Cursor | null = structuredClone(cursor);
      if (how.repeated) await withStore(open, (store) => run(store, structuredClone(from)));
      const leg: T = await withStore(open, (store) => run(store, structuredClone(from)));
      each(leg);
      cursor = leg.cursor;
      if (JSON.stringify(cursor).length > 8192) throw new Error('a cursor has more than 8 KiB');
      if (cursor !== null && JSON.stringify(cursor) === JSON.stringify(from) && ++stuck > 100) {
        throw new Error(`no leg comes further than ${JSON.stringify(cursor)}`);
      }
      legs++;
    } while (cursor !== null);
  }
  let stuck = 0;
  let loaded: Tallies = {};
  let readBack: Tallies = {};
  let differences = 0;
  const samples: string[] = [];
  await phase((store, cursor) => store.clear({ archive, options, cursor, context }));
  await phase(
    (store, cursor) => store.load({ archive, options, cursor, context }),
    (leg) => {
      loaded = addTallies(loaded, leg.tallies);
    },
  );
  await how.beforeVerify?.();
  await phase(
    (store, cursor) => store.verify({ archive, options, cursor, context: reading }),
    (leg) => {
      readBack = addTallies(readBack, leg.tallies);
      differences += leg.differences;
      samples.push(...leg.samples.map(({ thing, problem }) => `${thing}: ${problem}`));
    },
  );
  if (!how.unfinished) await phase((store) => store.finish(context));
  return { loaded, readBack, differences, samples, legs };
}
