import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { type OpenedArchive, openArchive } from '../../archive/read/open.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import type { ServedStore, StoreName } from '../../core/store-names.ts';
import { openStore, resolveStore, withStore } from '../../profiles/open.ts';
import { viewOf } from '../../profiles/view.ts';
import {
  comparedAmong,
  type OpenedComparison,
  type StoresComparison,
} from '../../stores/comparison/compare-stores.ts';
import { ComparisonBasis, type RecordComparison } from '../../stores/comparison/record-reader.ts';
import { StagedRuns } from '../../stores/comparison/run-store.ts';
import { archiveSource, liveSource, NO_SOURCE } from '../../stores/comparison/sources.ts';
import type { Shard } from '../../stores/export-step.ts';
import type { LegContext } from '../../stores/leg.ts';
import type { Scopes } from '../../stores/scopes.ts';
import type { Store } from '../../stores/store.ts';
import type { Environment, LegLimits } from '../environment.ts';
import { compareLeg } from '../job/compare-leg.ts';
import { legContext } from '../job/leg-context.ts';
import { ProgressWriter } from '../job/progress.ts';
import type { Inspection, InspectionRecord } from './inspection.ts';
import { openSource } from './open-source.ts';
import { type AdmittedRestore, type ResolvedRestore, scopesOf, storeOptions } from './plan.ts';

/** Default of the option `compare_seconds`. */
export const COMPARE_SECONDS = 30 * 60;

/** What the first leg determines about a store of the target. */
const Setup = z.object({
  basis: ComparisonBasis,
  /** The scope from which the live store is read; absent if nothing of it is read. */
  scope: z.json().optional(),
  shards: z.array(z.custom<Shard>()),
});

/**
 * One leg of the comparison of an inspected archive with its target, record by record: what the restore would add,
 * change and remove. The target is read like by a backup; nothing is written to it.
 */
export async function compareWithRecords(
  environment: Environment,
  restore: AdmittedRestore & ResolvedRestore,
  inspected: InspectionRecord,
  number: number,
  leg: LegLimits,
): Promise<{ readonly done: boolean; readonly comparison: NonNullable<Inspection['comparison']> }> {
  const { bucket } = environment;
  const secondsMax = restore.options.compare_seconds ?? COMPARE_SECONDS;
  const archive = await openArchive(await openSource(bucket, restore.archive));
  const writers = new Map<StoreName, ProgressWriter>();
  const stores = comparedAmong(restore.stores);
  for (const store of stores) {
    const part = { store, shard: 'compare', phase: 'compare' } as const;
    writers.set(store, await ProgressWriter.open(bucket, restore.job_id, part));
  }
  const comparison: StoresComparison = {
    stores,
    secondsMax,
    counts: (name) => {
      const found = inspected.stores.find(({ store }) => store === name);
      return { before: found?.target ?? {}, after: found?.archive ?? {} };
    },
    open: (store, setup) => {
      if (store === 'config') throw new TypeError('the configuration has no records');
      return openSides(environment, restore, archive, store, setup, leg);
    },
    runs: (store) => new StagedRuns(bucket, restore.job_id, store),
  };
  const result = await compareLeg(bucket, restore.job_id, number, comparison, {
    timeLeft: leg.timeLeft,
    signal: leg.signal,
    progress: (store, records, total) => writers.get(store)?.report('records', records, total),
  });
  const compared = new Set(result.stores.map(({ store }) => store));
  for (const [store, writer] of writers) await writer.close(compared.has(store));
  const { options, routes } = restore;
  return {
    done: result.done,
    comparison: { mode: storeOptions({ options, routes }).mode, stores: [...result.stores] },
  };
}

async function openSides(
  environment: Environment,
  restore: AdmittedRestore & ResolvedRestore,
  archive: OpenedArchive,
  name: ServedStore,
  saved: Json,
  leg: LegLimits,
): Promise<OpenedComparison> {
  const { config } = environment;
  const { adapter } = resolveStore(config, restore.target, name);
  const { comparison } = adapter;
  if (!comparison) {
    throw new InvalidInputError(`a store of the kind "${adapter.kind}" can only be compared by its counts`, {
      remedy: 'Compare the records with its own tools.',
    });
  }
  const view = viewOf(config, restore, archive, name);
  const context = legContext(environment, leg, restore.job_id);
  const setup =
    saved === null
      ? await prepareStore(environment, restore, name, view, comparison, context)
      : Setup.parse(saved);
  const { basis, scope, shards } = setup;
  const store =
    scope === undefined
      ? undefined
      : await openStore(config, restore.target, name, { [name]: scope } as Scopes);
  return {
    before: store ? liveSource(store, shards, context) : NO_SOURCE,
    after: archiveSource(view, name, comparison.pieceBytes),
    basis,
    reader: (side, from) => comparison.reader(basis, { isLive: side === 'before', from }),
    setup: setup as unknown as Json,
    close: async () => store?.close(),
  };
}

/** Decides how the records of a store are identified, and how the live store is read. */
async function prepareStore(
  { config }: Environment,
  restore: AdmittedRestore & ResolvedRestore,
  name: ServedStore,
  view: EntryReader,
  comparison: RecordComparison,
  context: LegContext,
): Promise<z.infer<typeof Setup>> {
  const { target } = restore;
  const scopes = scopesOf(restore);
  const scope = resolveStore(config, target, name).adapter.Scope.parse(scopes[name]);
  const probe = await withStore(config, target, name, (store) => store.probe(context), scopes);
  const live = { probe, options: storeOptions(restore) };
  const basis = await comparison.prepare({ archives: [view], scope, live });
  const read = comparison.liveScope ? comparison.liveScope(scope, basis, probe) : scope;
  if (read === undefined) return { basis, shards: [] };
  const plan = (store: Store) => store.plan(context, probe);
  const shards = await withStore(config, target, name, plan, { [name]: read } as Scopes);
  return { basis, scope: read as Json, shards };
}
