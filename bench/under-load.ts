/**
 * The effect of a backup on other clients of a store: 400 reads and 25 writes a second, first without exports, then
 * during exports that another process runs one after the other. Reports p50, p99 and errors of each store:
 *
 *     node local/bootstrap.mjs bench/under-load.ts [--seconds 20] [--scale 3]
 *
 * Calls start on schedule, whether or not earlier ones were answered, and are timed from their scheduled start.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { interruptible } from '../local/interrupt.ts';
import { loadKnowledgeBase } from '../local/knowledge-base/load.ts';
import { startStack } from '../local/stack.ts';
import { parseInput } from '../shared/core/input.ts';
import { profileScopes } from '../shared/profiles/profiles.ts';
import { findAdapter } from '../shared/stores/registry.ts';
import { legContext } from '../test/stores/memory-archive.ts';
import { connectionsOf } from './bench-target.ts';

const READS_PER_SECOND = 400;
const WRITES_PER_SECOND = 25;
/** Time for the servers to compile and cache what the traffic uses. */
const WARM_UP_SECONDS = 10;
const NAMESPACE = 'bench';
const KINDS = { graph: 'neo4j', vectors: 'qdrant', kv: 'redis' } as const;
type BenchStore = keyof typeof KINDS;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' },
    scale: { type: 'string', default: '3' },
    /** Only used by this script itself: exports this store repeatedly, until it is killed. */
    export: { type: 'string' },
  },
});
const seconds = Number(values.seconds);

if (values.export !== undefined) await exportRepeatedly(values.export as BenchStore);
else await interruptible(main);

/** The calls of a knowledge base's readers and writers, by store; `at` counts them. */
interface Traffic {
  read(at: number): Promise<unknown>;
  write(at: number): Promise<unknown>;
  close(): Promise<unknown>;
}

interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly errors: number;
}

async function main(signal: AbortSignal): Promise<void> {
  const stack = await startStack({
    services: ['neo4j', 'qdrant', 'redis'],
    signal,
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  try {
    const connections = connectionsOf(stack as Parameters<typeof connectionsOf>[0]);
    const { graph: neo4jAddress, vectors: qdrant, kv: redis } = connections;
    console.error('loading the knowledge base');
    const scale = Number(values.scale);
    await loadKnowledgeBase({ neo4j: neo4jAddress, qdrant, redis, namespace: NAMESPACE, scale, signal });
    const table = new Table({
      head: ['store', 'calls', 'alone: p50, p99', 'during a backup: p50, p99', 'errors', 'exports'],
      style: { head: [], border: [] },
    });
    for (const [store, traffic] of Object.entries(await trafficOf(connections))) {
      console.error(`${store}: warming up`);
      await drive(traffic, WARM_UP_SECONDS, signal);
      const baseline = await drive(traffic, seconds, signal);
      const child = startExports(store, connections[store as BenchStore]);
      let exports = 0;
      child.stdout?.on('data', (text) => {
        exports += String(text).length;
      });
      await once(child.stdout ?? child, 'data');
      const during = await drive(traffic, seconds, signal);
      child.kill('SIGKILL');
      await once(child, 'exit');
      await traffic.close();
      for (const kind of ['reads', 'writes'] as const) {
        const formatted = ({ p50, p99 }: Latencies) => `${p50.toFixed(1)} ms, ${p99.toFixed(1)} ms`;
        const errors = baseline[kind].errors + during[kind].errors;
        table.push([
          store,
          kind,
          formatted(baseline[kind]),
          formatted(during[kind]),
          String(errors),
          String(exports),
        ]);
      }
    }
    process.stdout.write(`${table.toString()}\n`);
  } finally {
    await stack.stop();
  }
}

/** A process that exports the store repeatedly, and writes a byte for each export. */
function startExports(store: string, connection: object): ChildProcess {
  const env = { ...process.env, NGBAK_BENCH_CONNECTION: JSON.stringify(connection) };
  return spawn(process.execPath, [import.meta.filename, '--export', store], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function exportRepeatedly(name: BenchStore): Promise<never> {
  const adapter = findAdapter(KINDS[name], name);
  const connection = parseInput(
    adapter.Connection,
    JSON.parse(process.env.NGBAK_BENCH_CONNECTION ?? '{}'),
    'The connection',
  );
  const scope = parseInput(
    adapter.Scope,
    profileScopes('ngraf-023', { namespace: NAMESPACE })[name],
    'The scope',
  );
  for (;;) {
    const store = adapter.create(connection, scope, { target: 'bench' });
    const context = legContext();
    for (const shard of await store.plan(context, await store.probe(context))) {
      for await (const { piece } of store.export(shard, null, context)) {
        for await (const bytes of piece.data) void bytes.length;
      }
    }
    await store.cleanup(context);
    await store.close();
    process.stdout.write('.');
  }
}

/** Makes the scheduled calls for this time, and waits for the last answers. */
async function drive(
  traffic: Traffic,
  duration: number,
  signal: AbortSignal,
): Promise<{ reads: Latencies; writes: Latencies }> {
  const begin = performance.now();
  const kinds = [
    { perSecond: READS_PER_SECOND, call: traffic.read, times: [] as number[], errors: 0, calls: 0 },
    { perSecond: WRITES_PER_SECOND, call: traffic.write, times: [] as number[], errors: 0, calls: 0 },
  ];
  const pending = new Set<Promise<void>>();
  while (performance.now() - begin < duration * 1000) {
    for (const kind of kinds) {
      for (; ; kind.calls++) {
        const due = begin + (kind.calls * 1000) / kind.perSecond;
        if (due > performance.now()) break;
        const answered = kind.call(kind.calls).then(
          () => {
            kind.times.push(performance.now() - due);
          },
          () => {
            kind.errors++;
          },
        );
        pending.add(answered);
        void answered.finally(() => pending.delete(answered));
      }
    }
    await sleep(1, undefined, { signal });
  }
  await Promise.all(pending);
  const [reads, writes] = kinds.map(({ times, errors }) => {
    const sorted = times.toSorted((one, other) => one - other);
    const quantile = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
    return { p50: quantile(0.5), p99: quantile(0.99), errors };
  });
  if (!reads || !writes) throw new TypeError('no figures');
  return { reads, writes };
}

/** Reads of existing records: by key in the graph with the node's degree, the points nearest to one, one value. */
async function trafficOf({
  graph,
  vectors,
  kv,
}: ReturnType<typeof connectionsOf>): Promise<Record<BenchStore, Traffic>> {
  const driver = neo4j.driver(graph.uri, neo4j.auth.basic(graph.username, graph.password), {
    maxConnectionPoolSize: 50,
  });
  const cypher = (query: string, parameters: object) => driver.executeQuery(query, parameters);
  const api = async (method: string, path: string, body: object | string) => {
    const answer = await fetch(`${vectors.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'api-key': vectors.api_key },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
    return text;
  };
  const redis = new Redis(kv.url, { password: kv.password, protocol: 2 });
  const label = `GraphRAG_${NAMESPACE}`;
  const { records } = await cypher(`MATCH (n:${label}) RETURN n.id AS id LIMIT 1000`, {});
  const ids = records.map((record) => String(record.get('id')));
  const scrolled = await api('POST', '/collections/entities/points/scroll', { limit: 100 });
  // 64-bit ids stay text.
  const points = [...scrolled.matchAll(/"id":(\d+|"[^"]+"),"payload/g)].map(([, id]) => id);
  const [, keys] = await redis.scan('0', 'MATCH', 'nano_graphrag:text_chunks:*', 'COUNT', 10_000);
  if (ids.length === 0 || points.length === 0 || keys.length === 0) throw new Error('nothing to read');
  return {
    graph: {
      read: (at) =>
        cypher(`MATCH (n:${label} {id: $id}) RETURN n, COUNT { (n)--() } AS degree`, {
          id: ids[at % ids.length],
        }),
      write: (at) =>
        cypher(`MERGE (n:${label} {id: $id}) SET n.description = $text`, {
          id: `bench ${at % 100}`,
          text: `version ${at}`,
        }),
      close: () => driver.close(),
    },
    vectors: {
      read: (at) =>
        api(
          'POST',
          '/collections/entities/points/query',
          `{"query":${points[at % points.length]},"using":"dense","limit":5,"with_payload":true}`,
        ),
      write: (at) =>
        api(
          'POST',
          '/collections/entities/points/payload?wait=true',
          `{"payload":{"seen":${at}},"points":[${points[at % points.length]}]}`,
        ),
      close: async () => undefined,
    },
    kv: {
      read: (at) => redis.get(keys[at % keys.length] ?? ''),
      write: (at) => redis.set(`nano_graphrag:llm_response_cache:bench-${at % 100}`, `{"return":"${at}"}`),
      close: () => redis.quit(),
    },
  };
}
