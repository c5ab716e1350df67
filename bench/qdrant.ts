/**
 * Benchmarks of Qdrant: snapshot export against a plain download, export of points against the official client's
 * scroll, and the load of points against a bare batched upsert. Ratios of one run on one machine, each the best of
 * several rounds, since the machine has other work. Needs QDRANT_URL (and QDRANT_API_KEY); creates and removes
 * collections `ngbak-bench-*`.
 *
 * `node bench/qdrant.ts [points = 20000] [dimensions = 384]`
 */
import { QdrantClient as OfficialClient } from '@qdrant/js-client-rest';
import type { LegContext } from '../shared/stores/leg.ts';
import { qdrantAdapter } from '../shared/stores/qdrant/adapter.ts';
import { MemoryArchive } from '../test/stores/qdrant/support.ts';

const TURNS = 3;
const url = process.env.QDRANT_URL;
if (url === undefined) throw new Error('Set QDRANT_URL (and QDRANT_API_KEY) to a Qdrant server.');
const apiKey = process.env.QDRANT_API_KEY;
const count = Number(process.argv[2] ?? 20_000);
const dimensions = Number(process.argv[3] ?? 384);
const name = `ngbak-bench-${process.pid}`;
const official = new OfficialClient({ url, checkCompatibility: false, ...(apiKey ? { apiKey } : {}) });

const context: LegContext = {
  jobId: `bench-${process.pid}`,
  timeLeft: () => Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
  progress: () => undefined,
  warn: () => undefined,
  log: () => undefined,
};

function open(method: 'snapshot' | 'points') {
  return qdrantAdapter.create(
    qdrantAdapter.Connection.parse({ url, ...(apiKey ? { api_key: apiKey } : {}) }),
    qdrantAdapter.Scope.parse({ collections: [name], method }),
    { target: 'bench' },
  );
}

function api(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json', ...(apiKey ? { 'api-key': apiKey } : {}) };
  return retryOnce(() => fetch(`${url}${path}`, { ...init, headers }));
}

async function create(): Promise<void> {
  const settings = {
    vectors: { size: dimensions, distance: 'Cosine' as const },
    optimizers_config: { indexing_threshold: 0 },
  };
  await retryOnce(() => official.createCollection(name, settings));
}

/** Retries once if a kept-alive connection was stale, which must not affect any figure. */
async function retryOnce<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return await call();
  }
}

async function seed(): Promise<void> {
  await create();
  for (let at = 0; at < count; at += 1000) {
    const points = Array.from({ length: Math.min(1000, count - at) }, (_, index) => ({
      id: at + index,
      vector: Array.from({ length: dimensions }, (_, d) => Math.sin((at + index) * 7.3 + d)),
      payload: {
        entity_name: `"ENTITY ${at + index}"`,
        content: `Description of entity ${at + index}. `.repeat(8),
      },
    }));
    await api(`/collections/${name}/points?wait=true`, { method: 'PUT', body: JSON.stringify({ points }) });
  }
}

/** For each candidate, the seconds of its fastest round. Candidates alternate. */
async function race(
  ways: Record<string, () => Promise<number>>,
): Promise<Record<string, { seconds: number; units: number }>> {
  const best: Record<string, { seconds: number; units: number }> = {};
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [way, run] of Object.entries(ways)) {
      const start = performance.now();
      const units = await run();
      const seconds = (performance.now() - start) / 1000;
      if (!best[way] || seconds < best[way].seconds) best[way] = { seconds, units };
    }
  }
  return best;
}

function report(
  unit: string,
  results: Record<string, { seconds: number; units: number }>,
  base: string,
): void {
  const rate = ({ seconds, units }: { seconds: number; units: number }) => units / seconds;
  const reference = results[base];
  for (const [way, result] of Object.entries(results)) {
    const ratio = reference ? rate(result) / rate(reference) : 1;
    console.log(
      `${way.padEnd(44)} ${rate(result).toFixed(0).padStart(8)} ${unit}   ${ratio.toFixed(2)} × ${base}`,
    );
  }
}

let peak = 0;
const watch = setInterval(() => {
  peak = Math.max(peak, process.memoryUsage.rss());
}, 20);

try {
  console.log(`${count} points of ${dimensions} dimensions`);
  await seed();

  const store = open('points');
  const [shard] = await store.plan(context, await store.probe(context));
  if (!shard) throw new Error('no shard');
  const exportPoints = async () => {
    let points = 0;
    for await (const { tallies } of store.export(shard, null, context))
      points += tallies[`points:${name}`]?.count ?? 0;
    return points;
  };
  await exportPoints();
  peak = process.memoryUsage.rss();
  report(
    'points/s',
    await race({
      'export as points, with digests': exportPoints,
      "official client's scroll, thrown away": async () => {
        let points = 0;
        for (let offset: string | number | undefined; ; ) {
          const page = await retryOnce(() =>
            official.scroll(name, {
              limit: 1000,
              with_vector: true,
              with_payload: true,
              ...(offset === undefined ? {} : { offset }),
            }),
          );
          points += page.points.length;
          if (page.next_page_offset == null) return points;
          offset = page.next_page_offset as string | number;
        }
      },
    }),
    "official client's scroll, thrown away",
  );

  const snapshots = open('snapshot');
  const megabytes = 1024 ** 2;
  const created = await retryOnce(() => official.createSnapshot(name));
  const download = async () => {
    let bytes = 0;
    const answer = await api(`/collections/${name}/snapshots/${created?.name}`);
    for await (const chunk of answer.body ?? []) bytes += chunk.length;
    return bytes / megabytes;
  };
  // Only the pieces of the export: the server's preceding work is the same for all candidates.
  let reading = 0;
  const exportSnapshot = async () => {
    let bytes = 0;
    reading = 0;
    for await (const { piece } of snapshots.export(shard, null, context)) {
      const start = performance.now();
      for await (const chunk of piece.data) bytes += chunk.length;
      reading += (performance.now() - start) / 1000;
    }
    return bytes / megabytes;
  };
  const results: Record<string, { seconds: number; units: number }> = {};
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [way, run] of Object.entries({
      'plain download of a snapshot': download,
      'snapshot as pieces, with SHA-256': exportSnapshot,
    })) {
      const start = performance.now();
      const units = await run();
      const seconds = way.startsWith('plain') ? (performance.now() - start) / 1000 : reading;
      if (!results[way] || seconds < results[way].seconds) results[way] = { seconds, units };
    }
  }
  report('MiB/s', results, 'plain download of a snapshot');
  await snapshots.cleanup(context);

  const archive = new MemoryArchive();
  for await (const { piece } of store.export(shard, null, context)) await archive.add(piece);
  const lines = [...archive.files]
    .filter(([entry]) => entry.endsWith('.jsonl'))
    .flatMap(([, content]) => content.toString().trimEnd().split('\n'));
  report(
    'points/s',
    await race({
      'load of points, checked line by line': async () => {
        await retryOnce(() => official.deleteCollection(name));
        await store.load({
          archive,
          options: { mode: 'replace', onConflict: 'overwrite' },
          cursor: null,
          context,
        });
        return count;
      },
      'bare upserts of the same lines, 500 each': async () => {
        await retryOnce(() => official.deleteCollection(name));
        await create();
        for (let at = 0; at < lines.length; at += 500) {
          const body = `{"points":[${lines.slice(at, at + 500).join(',')}]}`;
          const answer = await api(`/collections/${name}/points?wait=true`, { method: 'PUT', body });
          await answer.arrayBuffer();
        }
        return count;
      },
    }),
    'bare upserts of the same lines, 500 each',
  );
  console.log(`peak memory of this process, both ways together: ${(peak / megabytes).toFixed(0)} MiB`);
  await store.close();
  await snapshots.close();
} finally {
  clearInterval(watch);
  await retryOnce(() => official.deleteCollection(name));
}
