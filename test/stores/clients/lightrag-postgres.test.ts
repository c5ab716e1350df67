import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { namedStores, proposeByNames } from '../../../cli/known-stores.ts';
import { coverageOf, targetFor } from '../../../cli/write-target.ts';
import { installGraphragClients, installPostgresDrivers } from '../../../local/install/python.ts';
import { openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { CollectedReferences } from '../../../shared/profiles/collected-references.ts';
import { findProfile, profileScopes, profileStatistics } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { checkArchive } from '../../../shared/stores/check-archive.ts';
import { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import type { PostgresScope } from '../../../shared/stores/postgres/scope.ts';
import type { StoreDependencies } from '../../../shared/stores/store.ts';
import { servers } from '../../servers.ts';
import { sealExports } from '../../support/sealed.ts';
import { exportAll, legContext, type MemoryArchive, restoreAll, withStore } from '../memory-archive.ts';
import { run as cypher, graphContent, openGraph, plainDriver } from '../neo4j/graph.ts';
import { OwnPostgres } from '../postgres/own-server.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

let lightrag: PythonClient;
let server: OwnPostgres;
let client: Client;
let folder: string;

beforeAll(async () => {
  lightrag = await pythonClient('lightrag_client.py', async (context) =>
    [await installGraphragClients(context), await installPostgresDrivers(context)].join(delimiter),
  );
  server = await OwnPostgres.start();
  client = await server.connect();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-lightrag-postgres-'));
});

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** Everything that LightRAG reads of a workspace, as printed. */
function run(
  action: 'write' | 'read',
  workspace: string,
  kind: 'postgres' | 'postgres-neo4j' = 'postgres',
): Promise<string> {
  const { hostname, port } = new URL(server.address.url);
  const { uri, username, password } = servers.neo4j;
  return lightrag([action, kind, workspace, folder], {
    NEO4J_URI: uri,
    NEO4J_USERNAME: username,
    NEO4J_PASSWORD: password,
    POSTGRES_HOST: hostname,
    POSTGRES_PORT: port,
    POSTGRES_USER: server.address.username,
    POSTGRES_PASSWORD: server.address.password,
    POSTGRES_DATABASE: 'postgres',
    POSTGRES_MAX_CONNECTIONS: '5',
  });
}

/** Opens the tables of a scope in the server of this file. */
function openTables(scope: PostgresScope, sought: Pick<StoreDependencies, 'countedColumns'> = {}) {
  const { url, username, password } = server.address;
  const connection = postgresAdapter.Connection.parse({ url, username, password, tls: false });
  return () => postgresAdapter.create(connection, scope, { target: 'test', ...sought });
}

/** Number of references between the exports of a workspace, and of dangling ones with samples, as a backup counts them. */
async function referencesOf(workspace: string, parts: readonly (readonly ['graph' | 'kv', MemoryArchive])[]) {
  const stores = { graph: { kind: 'neo4j', secret: 'none' }, kv: { kind: 'postgres', secret: 'none' } };
  const config = NgbakConfig.parse({
    targets: { main: { profile: 'lightrag', parameters: { workspace }, stores } },
  });
  const source = bufferSource('sealed.ngbak', await sealExports(config, 'main', parts));
  const collector = new CollectedReferences(config, { target: 'main', stores: parts.map(([name]) => name) });
  const checked = await checkArchive(source, {
    cursor: null,
    state: null,
    timeLeft: () => 60_000,
    collector,
  });
  expect(checked).toMatchObject({ cursor: null, problems: [] });
  const counts = (await collector.count(await openArchive(source))) ?? [];
  return Object.fromEntries(
    counts.map(({ reference, total, dangling, samples }) => [reference, [total, dangling, ...samples]]),
  );
}

test("LightRAG's own storage classes read the same from PostgreSQL after a restore: keys, statuses, vectors, graph; the other workspace is untouched", async () => {
  for (const workspace of ['alpha', '']) await run('write', workspace);
  const before = [await run('read', 'alpha'), await run('read', '')];
  const read = JSON.parse(before[0] ?? '');
  expect([read.full_docs.length, read.nodes.length, read['chunks nearest'].length]).toEqual([25, 20, 5]);
  expect(Object.keys(read['relationships vectors'])).toHaveLength(20);

  const scope = postgresAdapter.Scope.parse(profileScopes('lightrag', { workspace: 'alpha' }, 'postgres').kv);
  const { url, username, password } = server.address;
  const open = openTables(scope);
  const names = await withStore(open, (store) => store.names(legContext()));
  expect(proposeProfile({ kv: names }).profile).toBe('lightrag');
  const { archive, tallies } = await exportAll(open);
  expect(tallies).toMatchObject({
    'rows:lightrag_doc_full': { count: 25 },
    'rows:lightrag_doc_status': { count: 10 },
    'rows:lightrag_graph_edges': { count: 19 },
    'rows:lightrag_vdb_entity_stub_8d': { count: 20 },
  });
  const countedColumns = Object.values(findProfile('lightrag').columns ?? {});
  const { labels } = await withStore(openTables(scope, { countedColumns }), (store) =>
    store.probe(legContext()),
  );
  expect(profileStatistics('lightrag', {}, { kv: tallies }, labels)).toEqual({
    documents: 25,
    documents_pending: 5,
    documents_processed: 5,
    chunks: 25,
    cache_entries: 25,
    entities: 20,
    relationships: 19,
    vectors: 60,
  });
  const environment = { POSTGRES_URL: `${url.replace('//', `//${username}:${password}@`)}?sslmode=disable` };
  const stores = namedStores(environment, undefined);
  const proposal = await proposeByNames(stores);
  expect(proposal).toMatchObject({ parameters: {}, choices: { workspace: ['', 'alpha'] } });
  const target = targetFor(stores, proposal, { parameters: { workspace: 'alpha' } });
  expect(target).toMatchObject({ profile: 'lightrag', stores: { kv: { kind: 'postgres' } } });
  const [covered] = await coverageOf(target, stores);
  const rows = (counts?: Readonly<Record<string, number>>) => counts?.['rows:lightrag_doc_full'];
  expect([rows(covered?.saved), rows(covered?.all)]).toEqual([25, 50]);
  const dump = await server.dump('public');

  const { rows: tables } = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  for (const { tablename } of tables)
    await client.query(`DELETE FROM ${tablename} WHERE workspace = 'alpha'`);
  expect(JSON.parse(await run('read', 'alpha')).full_docs[0]).toBeNull();
  const { differences, samples, readBack } = await restoreAll(open, archive);
  expect({ differences, samples, readBack }).toEqual({ differences: 0, samples: [], readBack: tallies });
  expect([await run('read', 'alpha'), await run('read', '')]).toEqual(before);
  expect(await server.dump('public')).toBe(dump);

  // A new database: LightRAG did not create the tables there, the restore did.
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION vector');
  expect((await restoreAll(open, archive)).differences).toBe(0);
  expect(await run('read', 'alpha')).toBe(before[0]);
  // Of one workspace, doctor writes the target without being told.
  expect(targetFor(stores, await proposeByNames(stores), { parameters: {} })).toEqual(target);
});

test("LightRAG's own storage classes read a workspace that was restored under another name beside the original, which is untouched", async () => {
  await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION vector');
  for (const workspace of ['team_a', 'team_b_2']) await run('write', workspace);
  const original = await run('read', 'team_a');
  const dumped = (await server.dump('public')).split('\n');
  const [saved, renamed] = ['team_a', 'team_b'].map((workspace) =>
    postgresAdapter.Scope.parse(profileScopes('lightrag', { workspace }, 'postgres').kv),
  ) as [PostgresScope, PostgresScope];
  const { archive, tallies } = await exportAll(openTables(saved));

  const request = { only: {}, rename: {}, sameProfile: true };
  const route = await postgresAdapter.route(archive, saved, renamed, request);
  expect(route.changes).toEqual(['workspace "team_a" becomes "team_b"']);
  const view = postgresAdapter.view(archive, route);
  const options = { mode: 'replace', onConflict: 'fail' } as const;
  const problems = await withStore(openTables(route.scope), (store) =>
    store.admits({ archive: view, options, context: legContext() }),
  );
  expect(problems).toEqual([]);
  expect(await restoreAll(openTables(route.scope), view)).toMatchObject({ differences: 0 });

  // Only the column changes: texts name the workspace that they were written for.
  const expected = original.replaceAll('"workspace": "team_a"', '"workspace": "team_b"');
  expect(expected).not.toBe(original);
  expect(await run('read', 'team_b')).toBe(expected);
  expect(await run('read', 'team_a')).toBe(original);
  // Nothing but rows of the new workspace was added, as many as were saved.
  const others = new Set(dumped);
  const added = (await server.dump('public')).split('\n').filter((line) => !others.has(line));
  const count = Object.entries(tallies).reduce(
    (sum, [name, tally]) => sum + (name.startsWith('rows:') ? tally.count : 0),
    0,
  );
  expect(added.filter((line) => /(?:^|\t)team_b(?:\t|$)/.test(line))).toHaveLength(count);
  expect(added).toHaveLength(count);
  await run('write', 'team_b');
  expect(await run('read', 'team_a')).toBe(original);
});

test('read the same from PostgreSQL and Neo4j, as installed by the Helm chart, after both were lost; the other workspace is untouched', async () => {
  const [own, other] = ['ngbak_helm', 'ngbak_helm_2'];
  const driver = plainDriver(servers.neo4j);
  const scopes = profileScopes('lightrag', { workspace: own }, 'postgres');
  const { url, username, password } = server.address;
  const openRows = openTables(postgresAdapter.Scope.parse(scopes.kv));
  const openNodes = openGraph(servers.neo4j, Neo4jScope.parse(scopes.graph));
  const read = (workspace: string) => run('read', workspace, 'postgres-neo4j');
  try {
    await client.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE EXTENSION vector');
    for (const workspace of [own, other]) await run('write', workspace, 'postgres-neo4j');
    const before = [await read(own), await read(other)];
    const { nodes, edges, full_docs, ...rest } = JSON.parse(before[0] ?? '');
    expect([nodes, edges, full_docs, rest['entities nearest']].map((list) => list.length)).toEqual([
      20, 19, 25, 5,
    ]);
    const [graph, otherGraph] = [await graphContent(driver, own), await graphContent(driver, other)];
    const dump = await server.dump('public');

    const stores = namedStores(
      {
        NEO4J_URI: servers.neo4j.uri,
        NEO4J_USERNAME: servers.neo4j.username,
        NEO4J_PASSWORD: servers.neo4j.password,
        POSTGRES_URL: `${url.replace('//', `//${username}:${password}@`)}?sslmode=disable`,
      },
      undefined,
    );
    const target = targetFor(stores, await proposeByNames(stores), { parameters: { workspace: own } });
    expect(target).toEqual({
      profile: 'lightrag',
      parameters: { workspace: own },
      stores: { graph: { kind: 'neo4j' }, kv: { kind: 'postgres' } },
    });
    const covered = await coverageOf(target, stores);
    expect(covered.map(({ store, saved }) => [store, saved.nodes, saved['rows:lightrag_doc_full']])).toEqual([
      ['graph', 20, undefined],
      ['kv', undefined, 25],
    ]);

    const saved = [await exportAll(openNodes), await exportAll(openRows)] as const;
    expect(saved[0].tallies).toMatchObject({ nodes: { count: 20 }, relationships: { count: 19 } });
    expect(Object.keys(saved[1].tallies)).not.toContain('rows:lightrag_graph_nodes');

    const references = await referencesOf(own, [
      ['graph', saved[0].archive],
      ['kv', saved[1].archive],
    ]);
    const [chunks, documents] = ['kv lightrag_doc_chunks.id', 'kv lightrag_doc_full.id'];
    expect(references).toEqual({
      [`graph nodes.source_id → ${chunks}`]: [20, 0],
      [`graph relationships.source_id → ${chunks}`]: [19, 0],
      [`kv lightrag_doc_chunks.full_doc_id → ${documents}`]: [25, 0],
      [`kv lightrag_vdb_chunks.id → ${chunks}`]: [20, 0],
      [`kv lightrag_vdb_chunks.full_doc_id → ${documents}`]: [20, 0],
      [`kv lightrag_vdb_entity.chunk_ids → ${chunks}`]: [20, 0],
      [`kv lightrag_vdb_relation.chunk_ids → ${chunks}`]: [20, 0],
      'kv lightrag_vdb_entity.entity_name → graph nodes.entity_id': [20, 0],
      // The client writes one vector more than relationships.
      'kv lightrag_vdb_relation.source_id|target_id → graph relationships.start.entity_id|end.entity_id': [
        20,
        1,
        'E0<SEP>E19',
      ],
    });

    await cypher(driver, `MATCH (n:\`${own}\`) DETACH DELETE n`);
    const { rows } = await client.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
    for (const { tablename } of rows)
      await client.query(`DELETE FROM ${tablename} WHERE workspace = '${own}'`);
    const emptied = JSON.parse(await read(own));
    expect([emptied.nodes[0], emptied.full_docs[0], emptied['entities nearest']]).toEqual([null, null, []]);

    for (const [index, open] of [openNodes, openRows].entries()) {
      const { archive } = saved[index] ?? saved[0];
      expect((await restoreAll(open, archive)).differences).toBe(0);
    }
    expect([await read(own), await read(other)]).toEqual(before);
    expect(await graphContent(driver, own)).toEqual(graph);
    expect(await graphContent(driver, other)).toEqual(otherGraph);
    expect(await server.dump('public')).toBe(dump);
  } finally {
    for (const workspace of [own, other]) {
      await cypher(driver, `MATCH (n:\`${workspace}\`) DETACH DELETE n`);
      const indexes = await cypher(
        driver,
        'SHOW INDEXES YIELD name, labelsOrTypes WHERE $label IN labelsOrTypes',
        { label: workspace },
      );
      for (const { name } of indexes) await cypher(driver, `DROP INDEX \`${name}\``);
    }
    await driver.close();
  }
});
