import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { installGraphragClients, installPostgresDrivers } from '../../../local/install/python.ts';
import { namedStores, proposeByNames } from '../../../cli/known-stores.ts';
import { coverageOf, targetFor } from '../../../cli/write-target.ts';
import { profileScopes, profileStatistics } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
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
}, 600_000);

afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** Everything that LightRAG reads of a workspace, as printed. */
function run(action: 'write' | 'read', workspace: string): Promise<string> {
  const { hostname, port } = new URL(server.address.url);
  return lightrag([action, 'postgres', workspace, folder], {
    POSTGRES_HOST: hostname,
    POSTGRES_PORT: port,
    POSTGRES_USER: server.address.username,
    POSTGRES_PASSWORD: server.address.password,
    POSTGRES_DATABASE: 'postgres',
    POSTGRES_MAX_CONNECTIONS: '5',
  });
}

test("LightRAG's own storage classes read the same from PostgreSQL after a restore: keys, statuses, vectors, graph; the other workspace is untouched", async () => {
  for (const workspace of ['alpha', '']) await run('write', workspace);
  const before = [await run('read', 'alpha'), await run('read', '')];
  const read = JSON.parse(before[0] ?? '');
  expect([read.full_docs.length, read.nodes.length, read['chunks nearest'].length]).toEqual([25, 20, 5]);
  expect(Object.keys(read['relationships vectors'])).toHaveLength(20);

  const scope = postgresAdapter.Scope.parse(profileScopes('lightrag', { workspace: 'alpha' }, 'postgres').kv);
  const { url, username, password } = server.address;
  const connection = postgresAdapter.Connection.parse({ url, username, password, tls: false });
  const open = () => postgresAdapter.create(connection, scope, { target: 'test' });
  const names = await withStore(open, (store) => store.names(legContext()));
  expect(proposeProfile({ kv: names }).profile).toBe('lightrag');
  const { archive, tallies } = await exportAll(open);
  expect(tallies).toMatchObject({
    'rows:lightrag_doc_full': { count: 25 },
    'rows:lightrag_doc_status': { count: 10 },
    'rows:lightrag_graph_edges': { count: 19 },
    'rows:lightrag_vdb_entity_stub_8d': { count: 20 },
  });
  expect(profileStatistics('lightrag', {}, { kv: tallies })).toEqual({
    documents: 25,
    chunks: 25,
    cache_entries: 25,
  });
  const environment = { POSTGRES_URL: `${url.replace('//', `//${username}:${password}@`)}?sslmode=disable` };
  const stores = namedStores(environment, undefined);
  const proposal = await proposeByNames(stores);
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
}, 300_000);
