import type { Json } from '../../shared/core/json.ts';
import { compareStores } from '../../shared/stores/comparison/compare-stores.ts';
import type { ComparedStore } from '../../shared/stores/comparison/result.ts';
import { FolderRuns } from '../../shared/stores/comparison/run-store.ts';
import { archiveSource, liveSource, NO_SOURCE } from '../../shared/stores/comparison/sources.ts';
import { findAdapter } from '../../shared/stores/registry.ts';
import type { ComparedSite, Conformance } from './conformance.ts';
import { type Exported, legContext, withStore } from './memory-archive.ts';

/** Bytes of a run, so small that every comparison has many. */
const RUN_BYTES = 20_000;

/**
 * Compares a scope with its archive as the inspection of a restore does.
 *
 * @param hurried  no leg has any time, and each is repeated from the same state
 */
export async function compareWithArchive(
  site: Conformance,
  { scope, open }: ComparedSite,
  { archive, tallies }: Exported,
  hurried: boolean,
): Promise<ComparedStore> {
  const { name, kind } = site.open();
  const { comparison } = site.adapter ?? findAdapter(kind, name as 'graph');
  if (!comparison) throw new Error(`${kind} cannot compare records`);
  const context = legContext(hurried ? { timeLeft: () => 0 } : {});
  const probe = await withStore(site.open, (store) => store.probe(context));
  const options = { mode: 'replace', onConflict: 'fail', dangling: 'stitch' } as const;
  const basis = await comparison.prepare({ archives: [archive], scope, live: { probe, options } });
  const read = comparison.liveScope ? comparison.liveScope(scope, basis, probe) : scope;
  const shards =
    read === undefined
      ? []
      : await withStore(
          () => open(read),
          (store) => store.plan(context, probe),
        );
  const runs = new FolderRuns();
  const compare = (state: Json) =>
    compareStores(
      {
        stores: [name],
        counts: () => ({
          before: probe.counts,
          after: Object.fromEntries(Object.entries(tallies).map(([tally, { count }]) => [tally, count])),
        }),
        open: async () => {
          const store = read === undefined ? undefined : open(read);
          return {
            before: store ? liveSource(store, shards, context) : NO_SOURCE,
            after: archiveSource(archive, name, comparison.pieceBytes),
            basis,
            reader: (side, from) => comparison.reader(basis, { isLive: side === 'before', from }),
            setup: null,
            close: async () => store?.close(),
          };
        },
        runs: () => runs,
        secondsMax: 3600,
        limits: { runBytes: RUN_BYTES, runsMax: 100_000 },
      },
      { state: structuredClone(state), timeLeft: context.timeLeft, signal: context.signal },
    );
  try {
    let state: Json = null;
    for (;;) {
      if (hurried) await compare(state);
      const leg = await compare(state);
      state = JSON.parse(JSON.stringify(leg.state)) as Json;
      if (state !== null) continue;
      const [compared] = leg.stores;
      if (!compared) throw new Error('nothing was compared');
      return compared;
    }
  } finally {
    await runs.close();
  }
}
