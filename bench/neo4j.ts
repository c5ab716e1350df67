/**
 * Export and load rates of Neo4j, compared with bare queries of the same driver, in one run on one machine:
 *
 *     node local/bootstrap.mjs bench/neo4j.ts [--nodes 50000] [--relationships 150000] [--rounds 3]
 *
 * Uses its own server; NGBAK_LOCAL_JAVA_OPTIONS=-XX:TieredStopAtLevel=4 makes it compile as in production. Prints
 * ratios: the export against the same query, and against the query of a simple script, streamed and discarded, each
 * in a separate process with the settings of functions; two export processes, as Lambda runs two shards; the load
 * against bare batched statements; verification against the export. Rounds alternate, and the best is reported.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import neo4j from 'neo4j-driver';
import prettyBytes from 'pretty-bytes';
import { PROCESS_SETTINGS } from '../infra/process-settings.ts';
import { startStack } from '../local/stack.ts';
import type { Shard } from '../shared/stores/export-step.ts';
import { neo4jAdapter } from '../shared/stores/neo4j/adapter.ts';
import { NODE_COLUMNS, relationshipColumns } from '../shared/stores/neo4j/read-record.ts';
import { scopeText } from '../shared/stores/neo4j/scope.ts';
import type { LoadOptions } from '../shared/stores/restore-leg.ts';
import type { Store } from '../shared/stores/store.ts';
import { exportAll, legContext, type MemoryArchive, withStore } from '../test/stores/memory-archive.ts';
import { bareLoad, clear, LABEL } from './graph-sample.ts';

const SCOPE = { label: LABEL, key_property: 'id' };
const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '50000' },
    relationships: { type: 'string', default: '150000' },
    rounds: { type: 'string', default: '3' },
    /** Only used by this script itself: what to read, and which shard of an export, once it receives a line. */
    work: { type: 'string' },
    shard: { type: 'string', default: '0/1' },
  },
});

const opened = (uri: string, password: string) => (): Store =>
  neo4jAdapter.create({ uri, username: 'neo4j', password }, SCOPE, { target: 'bench' });

/** The plan of an export with `count` processes. */
async function shardsOf(open: () => Store, count: number): Promise<readonly Shard[]> {
  return withStore(open, async (store) => {
    const context = legContext();
    const probe = await store.probe(context);
    // The plan divides by size; an estimate this large gives two shards.
    return store.plan(context, count === 1 ? probe : { ...probe, estimatedBytes: 4 * 1024 ** 3 });
  });
}

/** Exports some shards and discards the result. */
async function drain(open: () => Store, shards: readonly Shard[]): Promise<void> {
  await withStore(open, async (store) => {
    for (const shard of shards) {
      for await (const step of store.export(shard, null, legContext())) {
        for await (const bytes of step.piece.data) void bytes.length;
      }
    }
  });
}

type Work = 'export' | 'same' | 'script';

/**
 * Starts one or more processes with the settings of functions, each with a shard; returns the seconds until all are
 * done.
 */
async function secondsOf(work: Work, env: NodeJS.ProcessEnv, processes = 1): Promise<number> {
  const workers = Array.from({ length: processes }, (_, index) =>
    spawn(process.execPath, [import.meta.filename, '--work', work, '--shard', `${index}/${processes}`], {
      env,
      stdio: ['pipe', 'pipe', 'inherit'],
    }),
  );
  const ended = Promise.all(
    workers.map(async (worker) => {
      const [code] = await once(worker, 'exit');
      if (code !== 0) throw new Error(`a worker ended with ${code}`);
    }),
  );
  // A worker that exits early sends no more lines.
  const nextLine = () =>
    Promise.race([Promise.all(workers.map((worker) => once(worker.stdout, 'data'))), ended]);
  await nextLine();
  const start = performance.now();
  const done = nextLine();
  for (const worker of workers) worker.stdin.end('go');
  await done;
  const seconds = (performance.now() - start) / 1000;
  await ended;
  return seconds;
}

/** What a simple script would return for the same data. */
const PLAIN = {
  nodes: 'n',
  relationships:
    'r, {id: id(a), labels: labels(a), key: a.id} AS start, {id: id(b), labels: labels(b), key: b.id} AS end',
};
/** What an export returns. */
const NGBAK_QUERIES = { nodes: NODE_COLUMNS, relationships: relationshipColumns(scopeText(SCOPE)) };

/** Streams all nodes and relationships, and discards them. */
async function readAndDiscard(uri: string, password: string, returned: typeof PLAIN): Promise<void> {
  // Connects each time, as an export does.
  const driver = neo4j.driver(uri, neo4j.auth.basic('neo4j', password), { useBigInt: true });
  const session = driver.session({ defaultAccessMode: neo4j.session.READ, fetchSize: 1000 });
  for await (const row of session.run(`MATCH (n:${LABEL}) RETURN ${returned.nodes}`)) void row.length;
  const relationships = `MATCH (a:${LABEL})-[r]->(b:${LABEL}) RETURN ${returned.relationships}`;
  for await (const row of session.run(relationships)) void row.length;
  await session.close();
  await driver.close();
}

/**
 * Runs a worker process: once as a warm-up for the compiler, because steady reading is compared, then with the clock
 * running.
 */
async function runWorker(work: string, shard: string): Promise<void> {
  const read = await readerOf(work, shard);
  await read();
  process.stdout.write('ready');
  await once(process.stdin, 'data');
  await read();
  process.stdout.write('done');
  process.exit(0);
}

async function readerOf(work: string, shard: string): Promise<() => Promise<void>> {
  const { NEO4J_URI = '', NEO4J_PASSWORD = '' } = process.env;
  if (work !== 'export') {
    const returned = work === 'same' ? NGBAK_QUERIES : PLAIN;
    return () => readAndDiscard(NEO4J_URI, NEO4J_PASSWORD, returned);
  }
  const open = opened(NEO4J_URI, NEO4J_PASSWORD);
  const [index = 0, count = 1] = shard.split('/').map(Number);
  const ownShards = (await shardsOf(open, count)).slice(index, index + 1);
  return () => drain(open, ownShards);
}

if (values.work !== undefined) await runWorker(values.work, values.shard);

async function load(open: () => Store, archive: MemoryArchive): Promise<number> {
  const start = performance.now();
  await withStore(open, (store) =>
    store.load({ archive, options: REPLACE, cursor: null, context: legContext() }),
  );
  return (performance.now() - start) / 1000;
}

async function verify(open: () => Store, archive: MemoryArchive): Promise<number> {
  const start = performance.now();
  const leg = await withStore(open, (store) =>
    store.verify({ archive, options: REPLACE, cursor: null, context: legContext() }),
  );
  if (leg.differences > 0) throw new Error(`verification found ${leg.differences} differences`);
  return (performance.now() - start) / 1000;
}

const nodes = Number(values.nodes);
const relationships = Number(values.relationships);
const { NEO4J_URI: _uri, ...environment } = process.env;
const stack = await startStack({
  services: ['neo4j'],
  environment,
  onProgress: ({ text }) => console.error(text),
});
const { uri, password } = stack.neo4j;
const driver = neo4j.driver(uri, neo4j.auth.basic('neo4j', password), { useBigInt: true });
const open = opened(uri, password);
const env = { ...process.env, ...PROCESS_SETTINGS, NEO4J_URI: uri, NEO4J_PASSWORD: password };
try {
  const best = new Map<string, number>();
  const note = (what: string, seconds: number) => {
    best.set(what, Math.min(seconds, best.get(what) ?? Number.POSITIVE_INFINITY));
    console.error(`${what}: ${seconds.toFixed(2)} s`);
  };
  await bareLoad(driver, nodes, relationships);
  const { archive } = await exportAll(open);
  const bytes = archive.names().reduce((sum, name) => sum + (archive.text(name)?.length ?? 0), 0);
  for (let round = 0; round < Number(values.rounds); round++) {
    note('a script, thrown away', await secondsOf('script', env));
    note('the same query, thrown away', await secondsOf('same', env));
    note('export', await secondsOf('export', env));
    note('export, two processes', await secondsOf('export', env, 2));
    await clear(driver);
    note('load', await load(open, archive));
    note('verify', await verify(open, archive));
    await withStore(open, (store) => store.finish(legContext()));
    await clear(driver);
    note('bare load', await bareLoad(driver, nodes, relationships));
  }
  const rows = nodes + relationships;
  const seconds = (what: string) => best.get(what) ?? Number.NaN;
  const line = (what: string, bare: string) => [
    what,
    `${Math.round(rows / seconds(what)).toLocaleString('en')} rows/s`,
    `${prettyBytes(bytes / seconds(what))}/s`,
    `${(seconds(bare) / seconds(what)).toFixed(2)} × ${bare}`,
  ];
  const table = new Table({ head: ['', 'rows', 'bytes', 'speed'], style: { head: [], border: [] } });
  table.push(
    line('export', 'the same query, thrown away'),
    line('export', 'a script, thrown away'),
    line('export, two processes', 'export'),
    line('load', 'bare load'),
    line('verify', 'export'),
  );
  process.stdout.write(
    `${nodes} nodes, ${relationships} relationships, ${prettyBytes(bytes)}\n${table.toString()}\n`,
  );
} finally {
  await driver.close();
  await stack.stop();
}
