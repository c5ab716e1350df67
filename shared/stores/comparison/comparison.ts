import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { LOOK_EVERY, type MergeSink, mergeRuns, SIDES, type Side } from './merge.ts';
import type { ComparisonBasis, RecordReader } from './record-reader.ts';
import { ALL_SAMPLES_MAX, type ComparedKind, KINDS_MAX, SAMPLES_MAX, sampleName } from './result.ts';
import { RowBuffer } from './rows.ts';
import type { RunStore } from './run-store.ts';
import type { RecordSource } from './sources.ts';

/** The kind under which records are counted that belong to none of the first {@link KINDS_MAX} kinds. */
export const OTHER_KINDS = 'others';

/** Limits on what a comparison of one store keeps. */
export interface ComparisonLimits {
  /** Bytes of rows that are sorted at once. A row has 35 bytes and the name of its record. */
  readonly runBytes: number;
  /** Maximum number of runs, which are merged at once. */
  readonly runsMax: number;
  /** Identities that are merged between two looks at the time. */
  readonly lookEvery: number;
}

/** Enough for about 200 million records, and 16 GiB of intermediate files. */
export const COMPARISON_LIMITS: ComparisonLimits = {
  runBytes: 32 * 1024 ** 2,
  runsMax: 512,
  lookEvery: LOOK_EVERY,
};

const Found = z.object({ count: z.number(), samples: z.array(z.string()) });
const KindState = z.object({
  kind: z.string(),
  before: z.number(),
  after: z.number(),
  added: Found,
  changed: Found,
  removed: Found,
});
type KindState = z.infer<typeof KindState>;

/** How far a comparison is. Up to some hundred KiB as JSON. */
const ComparisonState = z.object({
  stage: z.enum([...SIDES, 'merge']),
  /** Where the source of the stage continues, and the state of its reader. */
  position: z.json(),
  reader: z.json(),
  kinds: z.array(KindState),
  runs: z.array(
    z.object({
      side: z.enum(SIDES),
      place: z.object({ bytes: z.number(), etag: z.string() }),
      offset: z.number(),
    }),
  ),
});
type ComparisonState = z.infer<typeof ComparisonState>;

/** More records than a comparison can hold. */
export class ComparisonLimitError extends NgbakError {}

/** Input of one leg of {@link compareRecords}. */
export interface ComparisonLeg {
  readonly before: RecordSource;
  readonly after: RecordSource;
  readonly basis: ComparisonBasis;
  /** Opens a reader of a side, with the state that another one has saved. */
  reader(side: Side, from: Json | undefined): RecordReader;
  readonly runs: RunStore;
  /** The state that the previous leg returned; null for the first leg. */
  readonly state: Json;
  readonly limits?: Partial<ComparisonLimits>;
  timeLeft(): number;
  readonly signal: AbortSignal;
  /** Called with the number of records read so far, of both sides. */
  progress?(records: number): void;
}

/** Result of one leg. */
export interface ComparisonLegResult {
  /** Where the next leg continues; null once the comparison is complete. */
  readonly state: Json;
  /** Returned by the last leg. */
  readonly kinds: readonly ComparedKind[];
}

/**
 * One leg of a comparison of two sides, record by record. Each side is read once, in any order: its records become
 * rows of hashes, which are sorted in runs of bounded size and then merged. Memory does not depend on the number of
 * records. A repeated leg (same state) writes the same runs again and returns the same result.
 *
 * Throws ComparisonLimitError if there are more records than `limits` allow.
 */
export async function compareRecords(leg: ComparisonLeg): Promise<ComparisonLegResult> {
  const comparison = new Comparison(leg);
  while (!(await comparison.stage())) {
    if (leg.timeLeft() <= 0) return { state: comparison.state as unknown as Json, kinds: [] };
  }
  return { state: null, kinds: comparison.result() };
}

class Comparison implements MergeSink {
  readonly state: ComparisonState;
  readonly #leg: ComparisonLeg;
  readonly #limits: ComparisonLimits;
  readonly #numbers = new Map<string, number>();
  /** Names of all kinds so far. */
  #samples: number;

  constructor(leg: ComparisonLeg) {
    this.#leg = leg;
    this.#limits = { ...COMPARISON_LIMITS, ...leg.limits };
    this.state =
      leg.state === null
        ? { stage: 'before', position: null, reader: null, kinds: [], runs: [] }
        : parseInput(
            ComparisonState,
            structuredClone(leg.state),
            'The state of the comparison',
            'Start it again.',
          );
    for (const [number, { kind }] of this.state.kinds.entries()) this.#numbers.set(kind, number);
    this.#samples = this.state.kinds
      .flatMap(({ added, changed, removed }) => [added, changed, removed])
      .reduce((sum, { samples }) => sum + samples.length, 0);
  }

  /** Works on the current stage, and returns whether the comparison is complete. */
  async stage(): Promise<boolean> {
    const { state } = this;
    if (state.stage === 'merge') {
      return mergeRuns(state.runs, this.#leg.runs, this, this.#leg, this.#limits.lookEvery);
    }
    if (!(await this.#read(state.stage))) return false;
    state.stage = state.stage === 'before' ? 'after' : 'merge';
    state.position = null;
    state.reader = null;
    return false;
  }

  /** Reads a side, and returns whether all of it was read. Otherwise `state` is where the next leg continues. */
  async #read(side: Side): Promise<boolean> {
    const { state } = this;
    const { basis, signal, timeLeft, progress } = this.#leg;
    const reader = this.#leg.reader(side, state.reader ?? undefined);
    const rows = new RowBuffer(this.#limits.runBytes);
    let total = state.kinds.reduce((sum, { before, after }) => sum + before + after, 0);
    for await (const { piece, archive, next } of this.#leg[side].pieces(state.position)) {
      signal.throwIfAborted();
      for await (const record of reader.read(piece, archive)) {
        const by = basis.limitations[record.kind]?.by;
        if (by === 'counts') continue;
        const number = this.#kindNumber(record.kind);
        const kind = state.kinds[number];
        if (kind) kind[side]++;
        rows.add(number, record.identity, by === 'identities' ? null : record.content, record.name());
        if (rows.isFull) await this.#writeRun(side, rows);
        if (++total % 1000 === 0) progress?.(total);
      }
      if (next === undefined || timeLeft() > 0) continue;
      await this.#writeRun(side, rows);
      state.position = next;
      state.reader = reader.save();
      return false;
    }
    await this.#writeRun(side, rows);
    progress?.(total);
    return true;
  }

  async #writeRun(side: Side, rows: RowBuffer): Promise<void> {
    if (rows.count === 0) return;
    const { runs } = this.state;
    const { runBytes, runsMax } = this.#limits;
    if (runs.length >= runsMax) {
      throw new ComparisonLimitError(
        `There are more records than a comparison can hold: ${runsMax} runs of at most ${runBytes} bytes.`,
        { remedy: 'Compare a subset: one store, or some collections or namespaces.' },
      );
    }
    const place = await this.#leg.runs.write(runs.length, rows.takeSorted());
    runs.push({ side, place, offset: 0 });
  }

  #kindNumber(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    const { kinds } = this.state;
    if (kinds.length >= KINDS_MAX && name !== OTHER_KINDS) return this.#kindNumber(OTHER_KINDS);
    this.#numbers.set(name, kinds.length);
    return kinds.push(emptyKind(name)) - 1;
  }

  equal(): void {
    // The counts of both sides are known already.
  }

  differing(number: number, found: Parameters<MergeSink['differing']>[1]): void {
    const kind = this.state.kinds[number];
    if (!kind) return;
    for (const change of ['added', 'changed', 'removed'] as const) {
      if (found[change] === 0) continue;
      kind[change].count += found[change];
      if (kind[change].samples.length >= SAMPLES_MAX || this.#samples >= ALL_SAMPLES_MAX) continue;
      this.#samples++;
      kind[change].samples.push(sampleName(found.name));
    }
  }

  result(): ComparedKind[] {
    const { limitations } = this.#leg.basis;
    return this.state.kinds
      .map((kind) => {
        const limited = limitations[kind.kind];
        return { ...kind, kind: sampleName(kind.kind), ...(limited === undefined ? {} : { limited }) };
      })
      .sort((one, other) => (one.kind < other.kind ? -1 : 1));
  }
}

function emptyKind(kind: string): KindState {
  const none = () => ({ count: 0, samples: [] });
  return { kind, before: 0, after: 0, added: none(), changed: none(), removed: none() };
}
