/** Workspaces of LightRAG in shared tables of PostgreSQL, with their graphs in Neo4j, through the deployed stack. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { compareProofs, type Proof, readEverything } from '../../local/proof/proof.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { servers } from '../servers.ts';
import { OwnPostgres } from '../stores/postgres/own-server.ts';
import { until } from '../support/until.ts';
import { withClients } from './content.ts';
import { PG_WORKSPACE, secretName } from './context.ts';
import { deployedStack } from './harness.ts';
import { killFunction } from './processes.ts';

const stack = deployedStack();
const OTHER = `${PG_WORKSPACE}_2`;
const WORKSPACES = [PG_WORKSPACE, OTHER];

/** The shape of LightRAG's tables; test/stores/clients has its own classes write them. */
const TABLES = `
  DROP TABLE IF EXISTS lightrag_doc_full, lightrag_doc_status, lightrag_vdb_chunks_stub_8d;
  CREATE TABLE lightrag_doc_full (id varchar(255), workspace varchar(255), content text, meta jsonb,
    create_time timestamp(0) DEFAULT CURRENT_TIMESTAMP, CONSTRAINT lightrag_doc_full_pk PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_doc_status (workspace varchar(255) NOT NULL, id varchar(255) NOT NULL, status varchar(64),
    chunks_list jsonb DEFAULT '[]'::jsonb, CONSTRAINT lightrag_doc_status_pk PRIMARY KEY (workspace, id));
  CREATE TABLE lightrag_vdb_chunks_stub_8d (id varchar(255), workspace varchar(255), content_vector vector(8),
    CONSTRAINT lightrag_vdb_chunks_pk PRIMARY KEY (workspace, id));
  CREATE INDEX lightrag_vdb_chunks_hnsw ON lightrag_vdb_chunks_stub_8d USING hnsw (content_vector vector_cosine_ops);
  INSERT INTO lightrag_doc_full SELECT 'doc-' || n, w, w || E' text\\t' || n || ' Ü 知識', jsonb_build_object('n', n)
    FROM generate_series(1, 300) n, unnest(ARRAY['${WORKSPACES.join("', '")}']) w;
  INSERT INTO lightrag_doc_status SELECT workspace, id, 'processed', jsonb_build_array(id) FROM lightrag_doc_full;
  INSERT INTO lightrag_vdb_chunks_stub_8d SELECT 'chunk-' || n, w, ARRAY(SELECT (sin(n * s)::real) FROM generate_series(1, 8) s)::vector
    FROM generate_series(1, 300) n, unnest(ARRAY['${WORKSPACES.join("', '")}']) w`;
const DAMAGE = `
  DELETE FROM lightrag_doc_full WHERE workspace = '${PG_WORKSPACE}' AND id LIKE 'doc-1%';
  UPDATE lightrag_doc_full SET content = 'lost' WHERE workspace = '${PG_WORKSPACE}' AND id LIKE 'doc-2%';
  UPDATE lightrag_vdb_chunks_stub_8d SET content_vector = '[0,0,0,0,0,0,0,1]' WHERE workspace = '${PG_WORKSPACE}';
  INSERT INTO lightrag_doc_status VALUES ('${PG_WORKSPACE}', 'intruder', 'failed')`;

let server: OwnPostgres;
let client: Client;
let folder: string;
let backupId: string;
/** What the independent proof read of both workspaces when they were saved. */
let saved: Record<string, Proof>;

const read = (name: string, workspace: string): Promise<Proof> =>
  readEverything(
    { neo4j: servers.neo4j, postgres: server.address },
    {
      folder: join(folder, `${name}-${workspace}`),
      scope: { label: workspace, workspace: { column: 'workspace', value: workspace } },
    },
  );

async function readBoth(name: string): Promise<Record<string, Proof>> {
  return Object.fromEntries(
    await Promise.all(WORKSPACES.map(async (workspace) => [workspace, await read(name, workspace)])),
  );
}

/** Expects both workspaces as they were saved, and nothing of ngbak in the database. */
async function expectAsSaved(name: string): Promise<void> {
  const now = await readBoth(name);
  for (const workspace of WORKSPACES) {
    const [before, after] = [saved[workspace], now[workspace]];
    if (!before || !after) throw new Error(`Workspace ${workspace} was not read.`);
    const { identical, differences } = await compareProofs(before, after);
    expect({ workspace, identical, differences }).toEqual({ workspace, identical: true, differences: [] });
    expect(after.parts).toEqual(before.parts);
  }
  const { rows } = await client.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'");
  expect(rows).toEqual([]);
}

async function damage(): Promise<void> {
  await client.query(DAMAGE);
  await withClients(async ({ cypher }) => {
    await cypher(`MATCH (n:${PG_WORKSPACE}) WHERE n.rank > 10 DETACH DELETE n`);
    await cypher(`MATCH (n:${PG_WORKSPACE}) SET n.description = 'lost'`);
  });
  const { parts } = await read('damaged', PG_WORKSPACE);
  expect(parts.nodes?.count).toBe(10);
}

const removeGraphs = () =>
  withClients(async ({ cypher }) => {
    for (const workspace of WORKSPACES) await cypher(`MATCH (n:${workspace}) DETACH DELETE n`);
  });

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-stack-postgres-'));
  const { url, username, password } = server.address;
  await stack.putSecret(secretName('pgrag', 'kv'), { url, username, password, tls: false });
  await removeGraphs();
  await client.query(`CREATE EXTENSION vector; ${TABLES}`);
  await withClients(async ({ cypher }) => {
    for (const workspace of WORKSPACES) {
      await cypher(
        `UNWIND range(1, 20) AS i CREATE (:${workspace} {entity_id: 'E' + i, rank: i, description: '${workspace} Ä ' + i})`,
      );
      await cypher(
        `MATCH (a:${workspace}), (b:${workspace}) WHERE a.rank = b.rank - 1 CREATE (a)-[:DIRECTED {weight: a.rank * 0.1}]->(b)`,
      );
    }
  });
  saved = await readBoth('saved');
  const { output, cause } = await stack.run('Backup', { target: 'pgrag' });
  expect(cause).toBeUndefined();
  ({ backup_id: backupId } = JSON.parse(output ?? '') as { backup_id: string });
});
afterAll(async () => {
  await removeGraphs();
  await server.stop();
  await rm(folder, { recursive: true });
});

test('a workspace is restored exactly after damage to its tables and its graph; the other one is untouched', async () => {
  await damage();
  const job = await stack.restoreByUpload('pgrag', await stack.download(backupId));
  expect({ state: job.state, error: job.error }).toEqual({ state: 'completed', error: undefined });
  await expectAsSaved('restored');
});

test('a drill of both stores passes, and leaves nothing', async () => {
  const drill = await stack.start('Restore', { drill: { backup_id: backupId } });
  await stack.waitForExecution(drill.executionArn);
  expect(await stack.waitForJob(drill.name)).toMatchObject({ kind: 'drill', state: 'completed' });
  expect(await readDrill(stack.bucket, drill.name)).toMatchObject({
    verdict: 'passed',
    stores: {
      graph: { verified: true, removed: true, read_back: { nodes: { count: 20 } } },
      kv: { verified: true, removed: true, read_back: { 'rows:lightrag_doc_full': { count: 300 } } },
    },
  });
  await expectAsSaved('drilled');
});

test('a function that is killed while its rows replace the others leaves the archive, and nothing of the other workspace is touched', async () => {
  await damage();
  const holder = await server.connect();
  // Readers are not held up: neither the inspection nor the safety backup.
  await holder.query('BEGIN; LOCK TABLE lightrag_doc_full IN SHARE MODE');
  const restore = await stack.start('Restore', { backup_id: backupId, confirm: 'pgrag' });
  await until('the restore waits for the lock', async () => {
    const { rows } = await client.query(
      "SELECT application_name FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name LIKE 'ngbak%'",
    );
    return rows.length > 0;
  });
  expect(await killFunction('NgbakTest-restore-kv')).toBeGreaterThan(0);
  await holder.query('COMMIT');
  const { cause } = await stack.waitForExecution(restore.executionArn);
  expect(cause).toBeUndefined();
  expect(await stack.waitForJob(restore.name)).toMatchObject({ state: 'completed' });
  await expectAsSaved('killed');
});
