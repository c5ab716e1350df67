import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { Json } from '../../core/json.ts';
import { inArchiveOrder, isServed, type ServedStore, type StoreName } from '../../core/store-names.ts';
import { type ComparisonLeg, type ComparisonLimits, compareRecords } from './comparison.ts';
import { type ComparedKind, ComparedStore, KINDS_MAX, sampleName } from './result.ts';
import type { RunStore } from './run-store.ts';

/** Number of records by tally. */
export type Counts = Readonly<Record<string, number>>;

/** Both sides of one store, opened for one leg. */
export interface OpenedComparison extends Pick<ComparisonLeg, 'before' | 'after' | 'basis' | 'reader'> {
  /** What the next leg needs in order to open the same comparison. Small. */
  readonly setup: Json;
  close(): Promise<void>;
}

/** The stores that are compared, one after the other. */
export interface StoresComparison {
  readonly stores: readonly StoreName[];
  /** The counts of both sides, for kinds that cannot be compared otherwise. */
  counts(store: StoreName): { readonly before: Counts; readonly after: Counts };
  /**
   * Opens both sides of a store. Throws NgbakError with the reason if its records cannot be compared.
   *
   * @param setup what an earlier leg has returned; null in the first one
   */
  open(store: StoreName, setup: Json): Promise<OpenedComparison>;
  runs(store: StoreName): RunStore;
  /** Seconds after which the stores that remain are compared by their counts only. */
  readonly secondsMax: number;
  readonly limits?: Partial<ComparisonLimits>;
}

/** One leg of {@link compareStores}. */
export interface StoresLeg {
  /** The state that the previous leg returned; null for the first leg. */
  readonly state: Json;
  timeLeft(): number;
  readonly signal: AbortSignal;
  progress?(store: StoreName, records: number, total: number): void;
}

const State = z.object({
  /** When the comparison began, in ms since 1970. */
  began: z.number(),
  /** The stores that are done. */
  done: z.array(ComparedStore),
  setup: z.json(),
  /** The state of the comparison of the next store. */
  store: z.json(),
});
type State = z.infer<typeof State>;

/** Result of one leg. `stores` is complete once `state` is null. */
export interface StoresLegResult {
  readonly state: Json;
  readonly stores: readonly ComparedStore[];
}

/** One leg of a comparison of all stores. A repeated leg (same state) has the same effect as one. */
export async function compareStores(comparison: StoresComparison, leg: StoresLeg): Promise<StoresLegResult> {
  const state: State =
    leg.state === null
      ? { began: Date.now(), done: [], setup: null, store: null }
      : parseInput(State, leg.state, 'The state of the comparison', 'Start it again.');
  const { stores } = comparison;
  for (let store = stores[state.done.length]; store; store = stores[state.done.length]) {
    const compared = await compareOne(comparison, store, state, leg);
    if (!compared) return { state: state as unknown as Json, stores: state.done };
    state.done.push(compared);
    state.setup = null;
    state.store = null;
    if (leg.timeLeft() <= 0 && state.done.length < stores.length) {
      return { state: state as unknown as Json, stores: state.done };
    }
  }
  return { state: null, stores: state.done };
}

/** Compares one store, or continues to. Returns undefined if the next leg continues. */
async function compareOne(
  comparison: StoresComparison,
  store: StoreName,
  state: State,
  leg: StoresLeg,
): Promise<ComparedStore | undefined> {
  const { secondsMax, limits } = comparison;
  const counts = comparison.counts(store);
  const remaining = () => state.began + secondsMax * 1000 - Date.now();
  const byCounts = (reason: string): ComparedStore => ({
    store,
    kinds: countedKinds(counts, () => true),
    not_compared: reason,
  });
  if (remaining() <= 0) return byCounts(timeIsUp(secondsMax));
  let opened: OpenedComparison | undefined;
  try {
    opened = await comparison.open(store, state.setup);
    const { before, after, basis, reader, setup } = opened;
    const total = sumOf(counts.before) + sumOf(counts.after);
    const result = await compareRecords({
      ...{ before, after, basis, reader, runs: comparison.runs(store), state: state.store },
      timeLeft: () => Math.min(leg.timeLeft(), remaining()),
      signal: leg.signal,
      progress: (records) => leg.progress?.(store, records, Math.max(records, total)),
      ...(limits === undefined ? {} : { limits }),
    });
    if (result.state !== null) {
      if (remaining() <= 0) return byCounts(timeIsUp(secondsMax));
      state.setup = setup;
      state.store = result.state;
      return undefined;
    }
    const { limitations } = basis;
    const counted = countedKinds(counts, (kind) => limitations[kind]?.by === 'counts').map((kind) => ({
      ...kind,
      limited: { by: 'counts' as const, reason: limitations[kind.kind]?.reason ?? '' },
    }));
    return { store, kinds: [...result.kinds, ...counted] };
  } catch (error) {
    // What cannot be compared is reported, and the job continues.
    if (!(error instanceof NgbakError) || error.retryable) throw error;
    return byCounts(error.message);
  } finally {
    await opened?.close();
  }
}

function timeIsUp(seconds: number): string {
  return `the comparison did not finish within its time limit of ${seconds} seconds`;
}

function sumOf(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** Kinds of which only the number of records on each side is known. */
function countedKinds(
  { before, after }: ReturnType<StoresComparison['counts']>,
  isCounted: (kind: string) => boolean,
) {
  const none = () => ({ count: 0, samples: [] });
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter(isCounted)
    .sort()
    .slice(0, KINDS_MAX)
    .map(
      (kind): ComparedKind => ({
        kind: sampleName(kind),
        before: before[kind] ?? 0,
        after: after[kind] ?? 0,
        added: none(),
        changed: none(),
        removed: none(),
      }),
    );
}

/** The stores that are compared by their records: not the configuration, which is compared by its settings. */
export function comparedAmong(stores: Iterable<StoreName>): ServedStore[] {
  return inArchiveOrder(new Set(stores)).filter(isServed);
}
