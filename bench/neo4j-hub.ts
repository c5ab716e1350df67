/**
 * The cost of a large property of a node with many relationships, for an export and for the server: a whole database
 * without a key property, with and without 10 MB of text on the node, in one run on one machine:
 *
 *     node local/bootstrap.mjs bench/neo4j-hub.ts [--relationships 10000] [--megabytes 10] [--rounds 5]
 *
 * Uses its own server. Rounds alternate and the best is reported; the memory is the server's peak resident memory
 * (Linux).
 */
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import neo4j, { type Driver } from 'neo4j-driver';
import { residentBytes } from '../local/processes.ts';
import { startStack } from '../local/stack.ts';
import { neo4jAdapter } from '../shared/stores/neo4j/adapter.ts';
import type { Store } from '../shared/stores/store.ts';
import { legContext, withStore } from '../test/stores/memory-archive.ts';

const { values } = parseArgs({
  options: {
    relationships: { type: 'string', default: '10000' },
    megabytes: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '5' },
  },
});

/** Probes, plans and exports everything, and discards the result. Returns seconds. */
async function exportOnce(open: () => Store): Promise<number> {
  const start = performance.now();
  await withStore(open, async (store) => {
    const context = legContext();
    for (const shard of await store.plan(context, await store.probe(context))) {
      for await (const { piece, companions = [] } of store.export(shard, null, context)) {
        for (const { data } of [piece, ...companions]) for await (const bytes of data) void bytes.length;
      }
    }
  });
  return (performance.now() - start) / 1000;
}

/** One node with this number of relationships to separate nodes, and `megabytes` of text. */
async function fill(driver: Driver, relationships: number, megabytes: number): Promise<void> {
  await driver.executeQuery('MATCH (n) DETACH DELETE n');
  await driver.executeQuery('CREATE (:Hub {name: "hub"})');
  await driver.executeQuery(
    'MATCH (h:Hub) UNWIND range(1, $relationships) AS i CREATE (h)-[:R {i: i}]->(:Leaf {name: "leaf " + i})',
    { relationships: BigInt(relationships) },
  );
  if (megabytes === 0) return;
  await driver.executeQuery('MATCH (h:Hub) SET h.text = $text', { text: 'x'.repeat(megabytes * 1e6) });
}

/** Peak resident memory of a process since the last call, in MiB; undefined if the system does not report it. */
async function peakMemory(pid: number | undefined): Promise<number | undefined> {
  if (pid === undefined) return undefined;
  const peak = await residentBytes(pid, 'VmHWM');
  return peak === undefined ? undefined : Math.round(peak / 1024 ** 2);
}

const relationships = Number(values.relationships);
const megabytes = Number(values.megabytes);
const { NEO4J_URI: _uri, ...environment } = process.env;
const stack = await startStack({
  services: ['neo4j'],
  environment,
  onProgress: ({ text }) => console.error(text),
});
const { uri, password } = stack.neo4j;
const driver = neo4j.driver(uri, neo4j.auth.basic('neo4j', password), { useBigInt: true });
const open = (): Store => neo4jAdapter.create({ uri, username: 'neo4j', password }, {}, { target: 'bench' });
try {
  const pid = await serverPid(driver);
  const best = { without: Number.POSITIVE_INFINITY, with: Number.POSITIVE_INFINITY };
  const memory: Partial<Record<keyof typeof best, number | undefined>> = {};
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const kind of ['without', 'with'] as const) {
      await fill(driver, relationships, kind === 'with' ? megabytes : 0);
      const seconds = await exportOnce(open);
      // The first round is a warm-up for the compilers.
      if (round > 0) best[kind] = Math.min(best[kind], seconds);
      memory[kind] ??= await peakMemory(pid);
      console.error(`${kind}: ${seconds.toFixed(2)} s`);
    }
  }
  memory.with = await peakMemory(pid);
  const table = new Table({
    head: ['', 'best', 'peak memory of the server'],
    style: { head: [], border: [] },
  });
  const row = (kind: keyof typeof best, text: string) => [
    text,
    `${best[kind].toFixed(2)} s`,
    memory[kind] === undefined ? 'unknown' : `${memory[kind]} MiB`,
  ];
  table.push(row('without', 'without the property'), row('with', `with ${megabytes} MB`));
  process.stdout.write(
    `${relationships} relationships of one node\n${table.toString()}\nratio ${(best.with / best.without).toFixed(2)}\n`,
  );
} finally {
  await driver.close();
  await stack.stop();
}

/** The server's process id, as the server reports it. */
async function serverPid(server: Driver): Promise<number | undefined> {
  const { records } = await server.executeQuery(
    "CALL dbms.queryJmx('java.lang:type=Runtime') YIELD attributes RETURN attributes.Pid.value AS pid",
  );
  const pid = Number(records[0]?.get('pid'));
  return Number.isInteger(pid) ? pid : undefined;
}
