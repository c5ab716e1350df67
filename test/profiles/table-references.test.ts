/** References between tables of PostgreSQL, and between them and a graph in Neo4j. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import type { Client } from 'pg';
import type { EntryReader } from '../../shared/archive/format/types.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { CollectedReferences } from '../../shared/profiles/collected-references.ts';
import { resolveStore } from '../../shared/profiles/open.ts';
import { countReferences, proveReferences } from '../../shared/profiles/references.ts';
import { checkArchive } from '../../shared/stores/check-archive.ts';
import type { Store } from '../../shared/stores/store.ts';
import { servers } from '../servers.ts';
import { exportAll, legContext, withStore } from '../stores/memory-archive.ts';
import { plainDriver } from '../stores/neo4j/graph.ts';
import { OwnPostgres } from '../stores/postgres/own-server.ts';
import { sealExports } from '../support/sealed.ts';

const RUN = `refs_tables_${process.pid}`;
const kv = { kind: 'postgres', secret: 'none' };
const layout = { profile: 'lightrag', parameters: { workspace: RUN } };
const config = NgbakConfig.parse({
  targets: {
    beside: { ...layout, stores: { graph: { kind: 'neo4j', secret: 'none' }, kv } },
    alone: { ...layout, stores: { kv } },
  },
});
type Name = 'graph' | 'kv';

/** The columns of LightRAG 1.5.7 that matter here. Of a workspace with the same IDs, nothing counts. */
const TABLES = `CREATE TABLE lightrag_doc_full (workspace text, id text, content text, PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_doc_chunks (workspace text, id text, full_doc_id text, PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_vdb_chunks_m_2d (workspace text, id text, full_doc_id text, PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_vdb_entity_m_2d (workspace text, id text, entity_name text, chunk_ids varchar(255)[], PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_vdb_relation_m_2d (workspace text, id text, source_id text, target_id text, chunk_ids varchar(255)[], PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_graph_nodes (workspace text, namespace text, id text, properties jsonb, PRIMARY KEY (workspace, namespace, id));
  CREATE TABLE lightrag_graph_edges (workspace text, namespace text, src_id text, tgt_id text, properties jsonb, PRIMARY KEY (workspace, namespace, src_id, tgt_id))`;
const ROWS: Readonly<Record<string, readonly (readonly unknown[])[]>> = {
  lightrag_doc_full: [['d1', 'text']],
  lightrag_doc_chunks: [
    ['c1', 'd1'],
    ['c2', 'lost document'],
    ['c,"3\\', 'd1'],
  ],
  lightrag_vdb_chunks_m_2d: [
    ['c1', 'd1'],
    ['no chunk', 'd1'],
  ],
  lightrag_vdb_entity_m_2d: [
    ['e1', 'A\t1', ['c1', 'c,"3\\']],
    ['e2', 'no node', ['c1', 'lost {chunk}', null]],
    ['e3', 'B', null],
  ],
  lightrag_vdb_relation_m_2d: [
    ['r1', 'B', 'A\t1', ['c2']],
    // Both nodes exist, but nothing connects them.
    ['r2', 'C', 'A\t1', ['lost {chunk}']],
  ],
  lightrag_graph_nodes: ['A\t1', 'B', 'C'].map((id) => [
    'g',
    id,
    { source_id: id === 'B' ? 'c1<SEP>lost by B' : 'c1' },
  ]),
  lightrag_graph_edges: [['g', 'A\t1', 'B', { source_id: 'lost by an edge' }]],
};

let server: OwnPostgres;
let client: Client;
let driver: Driver;
let sealed: Buffer;
let archive: EntryReader;

const open = (target: string, name: Name) => (): Store => {
  const { adapter, scope } = resolveStore(config, target, name);
  const { url, username, password } = server.address;
  const { uri, username: user, password: secret } = servers.neo4j;
  const connection =
    name === 'kv' ? { url, username, password, tls: false } : { uri, username: user, password: secret };
  return adapter.create(adapter.Connection.parse(connection), scope, { target });
};

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
  driver = plainDriver(servers.neo4j);
  await client.query(TABLES);
  for (const [table, rows] of Object.entries(ROWS)) {
    for (const row of rows) {
      const places = row.map((_, at) => `$${at + 2}`).join(', ');
      await client.query(`INSERT INTO ${table} VALUES ($1, ${places})`, [RUN, ...row]);
    }
  }
  // What the workspace lacks, another one has.
  await client.query(`INSERT INTO lightrag_doc_full VALUES ('other', 'lost document', '');
    INSERT INTO lightrag_doc_chunks VALUES ('other', 'lost {chunk}', 'd1'), ('other', 'no chunk', 'd1')`);
  await driver.executeQuery(
    `CREATE (a:${RUN} {entity_id: 'A\\t1', source_id: 'c1'})-[:DIRECTED {source_id: 'lost by an edge'}]->
       (:${RUN} {entity_id: 'B', source_id: 'c1<SEP>lost by B'}), (:${RUN} {entity_id: 'C', source_id: 'c1'})`,
  );
  const names = ['graph', 'kv'] as const;
  const parts = await Promise.all(
    names.map(async (name) => [name, (await exportAll(open('beside', name))).archive] as const),
  );
  sealed = await sealExports(config, 'beside', parts);
  archive = await openArchive(bufferSource('sealed.ngbak', sealed));
});

afterAll(async () => {
  await driver.executeQuery(`MATCH (n:${RUN}) DETACH DELETE n`);
  await driver.close();
  await server.stop();
});

type Counts = Awaited<ReturnType<typeof countReferences>>;
const summarize = (counts: Counts) =>
  Object.fromEntries(
    counts.map(({ reference, total, checked, dangling, samples }) => {
      expect(checked).toBe(total);
      return [reference, [total, dangling, ...samples]];
    }),
  );

const CHUNKS = 'kv lightrag_doc_chunks.id';
const DOCUMENTS = 'kv lightrag_doc_full.id';
/** Number of references, and of dangling ones, with these. */
const WITHIN_TABLES = {
  [`kv lightrag_doc_chunks.full_doc_id → ${DOCUMENTS}`]: [3, 1, 'lost document'],
  [`kv lightrag_vdb_chunks.id → ${CHUNKS}`]: [2, 1, 'no chunk'],
  [`kv lightrag_vdb_chunks.full_doc_id → ${DOCUMENTS}`]: [2, 0],
  [`kv lightrag_vdb_entity.chunk_ids → ${CHUNKS}`]: [4, 1, 'lost {chunk}'],
  [`kv lightrag_vdb_relation.chunk_ids → ${CHUNKS}`]: [2, 1, 'lost {chunk}'],
};
const FROM_GRAPH = {
  [`graph nodes.source_id → ${CHUNKS}`]: [4, 1, 'lost by B'],
  [`graph relationships.source_id → ${CHUNKS}`]: [1, 1, 'lost by an edge'],
};
const TO_GRAPH = {
  'kv lightrag_vdb_entity.entity_name → graph nodes.entity_id': [3, 1, 'no node'],
  'kv lightrag_vdb_relation.source_id|target_id → graph relationships.start.entity_id|end.entity_id': [
    2,
    1,
    'A\t1<SEP>C',
  ],
};
const GRAPH_IN_TABLES = {
  'kv lightrag_vdb_entity.entity_name → kv lightrag_graph_nodes.id': [3, 1, 'no node'],
  'kv lightrag_vdb_relation.source_id|target_id → kv lightrag_graph_edges.src_id|tgt_id': [
    2,
    1,
    'A\t1<SEP>C',
  ],
  [`kv lightrag_graph_nodes.properties.source_id → ${CHUNKS}`]: [4, 1, 'lost by B'],
  [`kv lightrag_graph_edges.properties.source_id → ${CHUNKS}`]: [1, 1, 'lost by an edge'],
};

const planOf = (target: string): { target: string; stores: Name[] } => ({
  target,
  stores: target === 'alone' ? ['kv'] : ['graph', 'kv'],
});

async function collect(target: string, limits?: { values: number; characters: number }) {
  const collector = new CollectedReferences(config, planOf(target), limits);
  const legs = { cursor: null, state: null, timeLeft: () => 60_000, collector };
  const checked = await checkArchive(bufferSource('sealed.ngbak', sealed), legs);
  expect(checked).toMatchObject({ cursor: null, problems: [] });
  return collector.count(archive);
}

test.each([
  ['with a graph in Neo4j', 'beside', { ...FROM_GRAPH, ...WITHIN_TABLES, ...TO_GRAPH }],
  ['with a graph in tables', 'alone', { ...WITHIN_TABLES, ...GRAPH_IN_TABLES }],
])(
  'dangling references of every kind are counted %s, by the check of the archive and when it is read again',
  async (_, target, expected) => {
    const counts = await collect(target);
    expect(summarize(counts ?? [])).toEqual(expected);
    const none = async () => undefined;
    expect(await countReferences(config, planOf(target), archive, none, legContext())).toEqual(counts);
    expect(await collect(target, { values: 3, characters: 1000 })).toBeUndefined();
  },
);

test.each([
  ['beside', { ...FROM_GRAPH, ...WITHIN_TABLES, ...TO_GRAPH }],
  ['alone', { ...WITHIN_TABLES, ...GRAPH_IN_TABLES }],
])('they are looked up in tables and graph after the load: target %s', async (target, expected) => {
  const plan = planOf(target);
  const proved: Counts = [];
  for (const name of plan.stores) {
    const prove = (store: Store) =>
      proveReferences(config, plan, archive, store, async () => undefined, legContext());
    proved.push(...(await withStore(open(target, name), prove)));
  }
  expect(summarize(proved)).toEqual(expected);
  expect(new Set(proved.map(({ against }) => against))).toEqual(new Set(['target']));
});

test('a graph that is in no table, and in no store of the target, is not reported as missing', async () => {
  const schema = `${RUN}_elsewhere`;
  const scope = { schema, tables: ['lightrag_*'] };
  await client.query(`CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.lightrag_vdb_entity (id text PRIMARY KEY, entity_name text);
    INSERT INTO ${schema}.lightrag_vdb_entity VALUES ('e1', 'A')`);
  const elsewhere = NgbakConfig.parse({
    targets: { main: { ...layout, stores: { kv: { ...kv, scope } } } },
  });
  const { adapter, scope: parsed } = resolveStore(elsewhere, 'main', 'kv');
  const { url, username, password } = server.address;
  const connection = adapter.Connection.parse({ url, username, password, tls: false });
  const whole = { ...(parsed as object), workspace: undefined };
  const opened = () => adapter.create(connection, whole, { target: 'main' });
  const { archive: exported } = await exportAll(opened);
  const saved = await openArchive(
    bufferSource('elsewhere.ngbak', await sealExports(elsewhere, 'main', [['kv', exported]])),
  );
  const plan = { target: 'main', stores: ['kv' as const] };
  const none = async () => undefined;
  const counts = [
    ...(await countReferences(elsewhere, plan, saved, none, legContext())),
    ...(await withStore(opened, (store) =>
      proveReferences(elsewhere, plan, saved, store, none, legContext()),
    )),
  ];
  expect(counts.filter(({ dangling }) => dangling > 0)).toEqual([]);
  expect(counts.map(({ reference }) => reference)).not.toContain(
    'kv lightrag_vdb_entity.entity_name → kv lightrag_graph_nodes.id',
  );
});
