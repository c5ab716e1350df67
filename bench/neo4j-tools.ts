/**
 * A graph backup compared with the tools of Neo4j's users, in one run on one machine:
 *
 *     node local/bootstrap.mjs bench/neo4j-tools.ts [--nodes 50000] [--relationships 150000] [--rounds 3]
 *
 * ngbak writes the lines of its entries to a file, uncompressed, as `apoc.export.json` and `apoc.export.csv` do;
 * `neo4j-admin database dump` requires a stopped database, and is reported with its downtime.
 * NGBAK_LOCAL_JAVA_OPTIONS=-XX:TieredStopAtLevel=4 makes the server compile as in production. Rounds alternate, and
 * the best is reported.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import neo4j, { type Driver } from 'neo4j-driver';
import prettyBytes from 'pretty-bytes';
import { installApoc } from '../local/install/neo4j.ts';
import { freePorts } from '../local/ports.ts';
import { runNeo4jAdmin, startNeo4j } from '../local/services/neo4j.ts';
import { installContext, type ServiceContext } from '../local/services/service.ts';
import { neo4jAdapter } from '../shared/stores/neo4j/adapter.ts';
import { legContext } from '../test/stores/memory-archive.ts';
import { bareLoad, LABEL } from './graph-sample.ts';

const PASSWORD = 'benchmark-5d0c';
const TIMEOUT_MS = 3_600_000;

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '50000' },
    relationships: { type: 'string', default: '150000' },
    rounds: { type: 'string', default: '3' },
  },
});

/** A server that can be stopped and restarted, as `neo4j-admin` requires. */
async function startServer(folder: string) {
  const [port = 0] = await freePorts(1);
  let process_: Parameters<ServiceContext['started']>[0] | undefined;
  const context: ServiceContext = {
    folder,
    environment: process.env,
    signal: AbortSignal.timeout(TIMEOUT_MS),
    progress: (text) => console.error(text),
    started: (child) => {
      process_ = child;
    },
  };
  const plugins = await installApoc(installContext('neo4j', context));
  const settings = ['dbms.security.procedures.unrestricted=apoc.*'];
  const up = () => startNeo4j(context, port, PASSWORD, { settings, plugins });
  return {
    context,
    up,
    async down() {
      if (!process_ || process_.exitCode !== null) return;
      const exited = once(process_, 'exit');
      process_.kill('SIGTERM');
      await exited;
    },
  };
}

/** The duration of `work` in seconds. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** The export of ngbak, into one file. */
async function exportWithNgbak(uri: string, file: string): Promise<void> {
  const context = legContext();
  const store = neo4jAdapter.create(
    { uri, username: 'neo4j', password: PASSWORD },
    { label: LABEL, key_property: 'id' },
    { target: 'bench' },
  );
  async function* lines() {
    for (const shard of await store.plan(context, await store.probe(context))) {
      for await (const step of store.export(shard, null, context)) yield* step.piece.data;
    }
  }
  await pipeline(Readable.from(lines()), createWriteStream(file));
  await store.close();
}

const query = (driver: Driver, cypher: string) => driver.executeQuery(cypher);

const folder = await mkdtemp(join(tmpdir(), 'ngbak-bench-'));
await mkdir(join(folder, 'logs'));
await mkdir(join(folder, 'neo4j/conf'), { recursive: true });
await mkdir(join(folder, 'dump'));
await writeFile(join(folder, 'neo4j/conf/apoc.conf'), 'apoc.export.file.enabled=true\n');
const server = await startServer(folder);
try {
  const { uri } = await server.up();
  const driver = neo4j.driver(uri, neo4j.auth.basic('neo4j', PASSWORD));
  await bareLoad(driver, Number(values.nodes), Number(values.relationships));
  const best = new Map<string, { seconds: number; bytes: number }>();
  const note = (what: string, seconds: number, bytes: number) => {
    best.set(what, {
      seconds: Math.min(seconds, best.get(what)?.seconds ?? Number.POSITIVE_INFINITY),
      bytes,
    });
    console.error(`${what}: ${seconds.toFixed(2)} s, ${prettyBytes(bytes)}`);
  };
  for (let round = 0; round < Number(values.rounds); round++) {
    const file = join(folder, 'ours.jsonl');
    note('ngbak', await timed(() => exportWithNgbak(uri, file)), (await stat(file)).size);
    for (const kind of ['json', 'csv']) {
      const name = `all.${kind}`;
      const seconds = await timed(() => query(driver, `CALL apoc.export.${kind}.all('${name}', {})`));
      note(`apoc.export.${kind}`, seconds, (await stat(join(folder, 'neo4j', name))).size);
    }
  }
  await driver.close();
  for (let round = 0; round < Number(values.rounds); round++) {
    const to = join(folder, 'dump', String(round));
    await mkdir(to);
    let dump = 0;
    const downtime = await timed(async () => {
      await server.down();
      dump = await timed(() =>
        runNeo4jAdmin(server.context, ['database', 'dump', 'neo4j', `--to-path=${to}`]),
      );
      await server.up();
    });
    const [name = ''] = await readdir(to);
    const { size } = await stat(join(to, name));
    note('neo4j-admin database dump', dump, size);
    note('… with stop and start: the database is unavailable', downtime, size);
  }
  const table = new Table({ head: ['', 'seconds', 'bytes', 'ngbak is'], style: { head: [], border: [] } });
  const own = best.get('ngbak')?.seconds ?? Number.NaN;
  for (const [what, { seconds, bytes }] of best)
    table.push([what, seconds.toFixed(2), prettyBytes(bytes), `${(seconds / own).toFixed(2)} × as fast`]);
  console.log(`${values.nodes} nodes, ${values.relationships} relationships\n${table}`);
} finally {
  await server.down();
  await rm(folder, { recursive: true, force: true });
}
