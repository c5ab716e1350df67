import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { Driver } from 'neo4j-driver';
import { installOlderLightrag } from '../../../local/install/python.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { evidenceOf, markRequests, migrationWarnings } from '../../../shared/profiles/system-evidence.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../../../shared/stores/redis/adapter.ts';
import { closeRestore } from '../../../shared/workflows/restore/close.ts';
import { servers } from '../../servers.ts';
import { freshEnvironment, makeSecret } from '../../support/aws.ts';
import { runBackup } from '../../workflows/backup/run-backup.ts';
import { restoreOf, runRestore } from '../../workflows/restore/run-restore.ts';
import { exportAll, restoreAll, withStore } from '../memory-archive.ts';
import { graphContent, openGraph, plainDriver, run } from '../neo4j/graph.ts';
import { ask, result } from '../qdrant/support.ts';
import { OwnServer } from '../redis/own-server.ts';
import { closeStores, legContext, openStore, REPLACE } from '../redis/support.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

type Kind = 'redis' | 'files' | 'servers' | 'servers-files';

describe("LightRAG's own storage classes", () => {
  let client: PythonClient;
  let server: OwnServer;
  let redis: Redis;
  let driver: Driver;
  let folder: string;

  /** The data that the client reads, as printed. */
  function lightrag(
    action: 'write' | 'read',
    kind: Kind,
    workspace: string,
    python: PythonClient = client,
  ): Promise<string> {
    const { neo4j, qdrant } = servers;
    return python([action, kind, workspace, folder], {
      REDIS_URI: `${server.url}/0`,
      NEO4J_URI: neo4j.uri,
      NEO4J_USERNAME: neo4j.username,
      NEO4J_PASSWORD: neo4j.password,
      QDRANT_URL: qdrant.url,
      QDRANT_API_KEY: qdrant.apiKey,
    });
  }

  beforeAll(async () => {
    client = await pythonClient('lightrag_client.py');
    driver = plainDriver(servers.neo4j);
    server = await OwnServer.start();
    redis = new Redis(server.url, { protocol: 2 });
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ngbak-lightrag-'));
    await redis.flushall();
  });
  afterEach(async () => {
    await closeStores();
    await rm(folder, { recursive: true });
  });
  afterAll(async () => {
    redis.disconnect();
    await driver.close();
    await server.stop();
  });

  /** Every key outside of a workspace, with its value as the server dumps it. */
  async function others(workspace: string): Promise<Record<string, string>> {
    const content: Record<string, string> = {};
    for (const key of (await redis.keys('*')).sort()) {
      const own =
        workspace === ''
          ? /^(full_|text_|llm_|entity_|relation_|doc_status)/.test(key)
          : isKeyOf(workspace, key);
      if (!own) content[key] = (await redis.dumpBuffer(key)).toString('hex');
    }
    return content;
  }

  test.each(['alpha', 'alpha_beta', ''])(
    'read the same from Redis after a restore; workspace "%s", the others untouched',
    async (workspace) => {
      for (const name of ['alpha', 'alpha_beta', '']) await lightrag('write', 'redis', name);
      const before = await lightrag('read', 'redis', workspace);
      expect(JSON.parse(before).full_docs).toHaveLength(25);
      expect(JSON.parse(before)['status processed']).toHaveLength(5);
      const scope = profileScopes('lightrag', { workspace }).kv ?? {};
      const open = () => openStore(scope, undefined, server.url);
      const neighbours = await others(workspace);
      expect(Object.keys(neighbours).length).toBeGreaterThan(300);

      const { profile, reasons } = proposeProfile({
        kv: await withStore(open, (store) => store.names(legContext())),
      });
      expect([profile, reasons.join()]).toEqual(['lightrag', expect.stringContaining('alpha_beta_')]);
      const layout = { profile: 'lightrag', parameters: { workspace } };
      const measured = await withStore(
        () =>
          redisAdapter.create({ url: server.url }, redisAdapter.Scope.parse(scope), {
            target: 'test',
            marks: markRequests(layout, 'kv'),
          }),
        (store) => store.probe(legContext()),
      );
      expect(evidenceOf(layout, { kv: measured })).toMatchObject({ since: '1.5.5' });
      const { archive, tallies } = await exportAll(open);
      expect(tallies['keys:full_docs']?.count).toBe(25);
      expect(Object.keys(JSON.parse(archive.text('kv/full_docs.json') ?? ''))).toHaveLength(25);
      const store = open();
      await store.clear({ archive, options: REPLACE, cursor: null, context: legContext() });
      expect(JSON.parse(await lightrag('read', 'redis', workspace)).full_docs[0]).toBeNull();
      await redis.set(`${workspace === '' ? '' : `${workspace}_`}full_docs:new`, '{}');
      const { differences, samples, readBack } = await restoreAll(open, archive);
      expect({ differences, samples, readBack }).toEqual({ differences: 0, samples: [], readBack: tallies });
      expect(await lightrag('read', 'redis', workspace)).toBe(before);
      expect(await others(workspace)).toEqual(neighbours);
    },
  );

  test('read the same from files after a restore: keys, statuses, vectors, graph', async () => {
    await lightrag('write', 'files', 'alpha');
    const before = await lightrag('read', 'files', 'alpha');
    expect(JSON.parse(before).nodes).toHaveLength(20);
    expect(Object.keys(JSON.parse(before)['relationships vectors'])).toHaveLength(20);
    const scope = filesAdapter.Scope.parse(profileScopes('lightrag', { workspace: 'alpha' }, 'files').kv);
    const open = () => filesAdapter.create({ location: folder }, scope, { target: 'test' });
    const { archive, tallies } = await exportAll(open);
    expect(tallies['keys:full_docs']?.count).toBe(25);
    for (const name of await readdir(join(folder, 'alpha'))) await rm(join(folder, 'alpha', name));
    await lightrag('write', 'files', 'other');
    const other = await readFile(join(folder, 'other', 'kv_store_full_docs.json'));
    const { differences } = await restoreAll(open, archive);
    expect(differences).toBe(0);
    expect(await lightrag('read', 'files', 'alpha')).toBe(before);
    expect(await readFile(join(folder, 'other', 'kv_store_full_docs.json'))).toEqual(other);
  });

  test('read the same from Neo4j and Qdrant after a restore; the other workspace is untouched', async () => {
    const [own, other] = ['ngbak_alpha', 'ngbak_alpha_beta'];
    const { qdrant } = servers;
    const settings = { workspace: own, model_suffix: 'stub_8d' };
    const scopes = profileScopes('lightrag', settings);
    const openGraphOf = openGraph(servers.neo4j, Neo4jScope.parse(scopes.graph));
    const openVectors = () =>
      qdrantAdapter.create(
        qdrantAdapter.Connection.parse({ url: qdrant.url, api_key: qdrant.apiKey }),
        qdrantAdapter.Scope.parse(scopes.vectors),
        { target: 'test' },
      );
    try {
      for (const workspace of [own, other]) await lightrag('write', 'servers', workspace);
      const [before, neighbour] = [await read(own), await read(other)];
      expect(before.nodes).toHaveLength(20);
      expect(before['chunks vectors']).toMatchObject({ 'text_chunks-7': expect.any(Array) });
      const [graph, otherGraph] = [await graphContent(driver, own), await graphContent(driver, other)];
      const names = await withStore(openVectors, (store) => store.names(legContext()));
      const { profile, parameters } = proposeProfile({ vectors: names });
      expect([profile, parameters]).toEqual(['lightrag', { model_suffix: settings.model_suffix }]);
      const saved = [await exportAll(openGraphOf), await exportAll(openVectors)] as const;
      expect(saved[0].tallies).toMatchObject({ nodes: { count: 20 }, relationships: { count: 19 } });
      expect(saved[1].tallies).toMatchObject({
        'points:lightrag_vdb_entities_stub_8d': { count: 20 },
        'points:lightrag_vdb_relationships_stub_8d': { count: 20 },
        'points:lightrag_vdb_chunks_stub_8d': { count: 20 },
      });

      await run(driver, `MATCH (n:\`${own}\`) DETACH DELETE n`);
      for (const collection of await collections()) await deletePoints(collection, own);
      const emptied = await read(own);
      expect([emptied.nodes?.[0], emptied.chunks?.[0], emptied['entities nearest']]).toEqual([
        null,
        null,
        [],
      ]);

      for (const [index, open] of [openGraphOf, openVectors].entries()) {
        const { archive } = saved[index] ?? saved[0];
        expect((await restoreAll(open, archive)).differences).toBe(0);
      }
      expect(await read(own)).toEqual(before);
      expect(await graphContent(driver, own)).toEqual(graph);
      expect(await read(other)).toEqual(neighbour);
      expect(await graphContent(driver, other)).toEqual(otherGraph);
    } finally {
      await removeFromServers(own, other);
    }
  });

  test('a graph and vectors of an older release come back, with a warning; the newer release migrates and reads them', async () => {
    const workspace = 'ngbak_older';
    const older = await pythonClient('lightrag_client.py', installOlderLightrag);
    const { qdrant, neo4j } = servers;
    const layout = { profile: 'lightrag', parameters: { workspace } };
    const scopes = profileScopes('lightrag', layout.parameters);
    const { uri, username, password } = neo4j;
    const openGraphOf = () =>
      neo4jAdapter.create({ uri, username, password }, Neo4jScope.parse(scopes.graph), {
        target: 'test',
        marks: markRequests(layout, 'graph'),
      });
    const openVectors = () =>
      qdrantAdapter.create(
        qdrantAdapter.Connection.parse({ url: qdrant.url, api_key: qdrant.apiKey }),
        qdrantAdapter.Scope.parse(scopes.vectors),
        { target: 'test' },
      );
    const evidence = async () => {
      const graph = await withStore(openGraphOf, (store) => store.probe(legContext()));
      const vectors = await withStore(openVectors, (store) => store.probe(legContext()));
      return evidenceOf(layout, { graph, vectors });
    };
    const indexNames = async () => {
      const found = await run(
        driver,
        "SHOW INDEXES YIELD name, type, labelsOrTypes WHERE type = 'FULLTEXT' AND $label IN labelsOrTypes",
        { label: workspace },
      );
      return found.map(({ name }) => name);
    };
    try {
      await lightrag('write', 'servers', workspace, older);
      expect(await indexNames()).toEqual(['entity_id_fulltext_idx']);
      const before = JSON.parse(await lightrag('read', 'servers', workspace, older));
      expect(before.nodes).toHaveLength(20);
      const saved = await evidence();
      expect(saved).toMatchObject({ since: '1.4.9.7', before: '1.4.9.9' });
      const archives = [await exportAll(openGraphOf), await exportAll(openVectors)];

      await run(driver, `MATCH (n:\`${workspace}\`) DETACH DELETE n`);
      await run(driver, 'DROP INDEX entity_id_fulltext_idx');
      for (const collection of await collections()) await ask(qdrant, 'DELETE', `/collections/${collection}`);
      for (const [at, open] of [openGraphOf, openVectors].entries()) {
        const archive = archives[at]?.archive;
        if (!archive) throw new Error('no archive');
        expect((await restoreAll(open, archive)).differences).toBe(0);
      }
      expect(await indexNames()).toEqual(['entity_id_fulltext_idx']);
      if (!saved) throw new Error('no evidence');
      expect(migrationWarnings(layout, saved, { configured: '1.5.7' })).toEqual([
        expect.stringMatching(/entity_id_fulltext_idx, of a version before 1.4.9.9, .* restart LightRAG/),
      ]);

      const after = await read(workspace);
      for (const what of ['nodes', 'edges', 'degrees', 'labels', 'entities vectors', 'chunks vectors'])
        expect([what, after[what]]).toEqual([what, before[what]]);
      expect(await indexNames()).toEqual([`entity_id_fulltext_idx_${workspace}`]);
      expect(await collections()).toContain('lightrag_vdb_entities_stub_8d');
    } finally {
      await removeFromServers(workspace);
    }
  });

  test('read the same from one target with Redis, a JSON file, Neo4j and Qdrant after a backup and a restore', async () => {
    const [own, other] = ['ngbak_several', 'ngbak_several_more'];
    const { uri, username, password } = servers.neo4j;
    const { url, apiKey: api_key } = servers.qdrant;
    const connections = {
      graph: ['neo4j', { uri, username, password }],
      vectors: ['qdrant', { url, api_key }],
      kv: ['redis', { url: server.url }],
      kv_files: ['files', { location: folder }],
    } as const;
    const stores: Record<string, object> = {};
    for (const [name, [kind, connection]] of Object.entries(connections))
      stores[name] = { kind, secret: await makeSecret(connection) };
    const parameters = { workspace: own, model_suffix: 'stub_8d' };
    const environment = await freshEnvironment({ default: { profile: 'lightrag', parameters, stores } });
    try {
      for (const workspace of [own, other]) await lightrag('write', 'servers-files', workspace);
      const [before, neighbour] = [await read(own, 'servers-files'), await read(other, 'servers-files')];
      expect(before.statuses).toHaveLength(10);
      expect(await redis.keys(`${own}_doc_status*`)).toEqual([]);
      const { record, archive } = await runBackup(
        environment,
        {},
        { start: new Date('2026-01-02T03:04:05Z') },
      );
      expect(record).toMatchObject({
        stores: ['graph', 'vectors', 'kv', 'kv_files', 'config'],
        consistency: { grade: 'unchanged' },
        verification: { state: 'verified' },
        statistics: { documents: 25, chunks: 25, entities: 20, relationships: 19, vectors: 60 },
        tallies: { kv: { 'keys:full_docs': { count: 25 } }, kv_files: { 'keys:doc_status': { count: 10 } } },
      });
      expect(Object.keys(record.tallies.kv ?? {})).not.toContain('keys:doc_status');
      expect(archive.manifest.format_version).toBe('1.1');

      await run(driver, `MATCH (n:\`${own}\`) DETACH DELETE n`);
      for (const collection of await collections()) await deletePoints(collection, own);
      for (const key of await redis.keys(`${own}_*`)) if (isKeyOf(own, key)) await redis.del(key);
      await rm(join(folder, own), { recursive: true });
      const emptied = await read(own, 'servers-files');
      expect([emptied.full_docs?.[0], emptied.statuses?.[0], emptied.nodes?.[0]]).toEqual([null, null, null]);

      const { job_id } = await runRestore(environment, restoreOf(record.backup_id));
      expect(await closeRestore(environment, job_id)).toMatchObject({ verified: true, all_of_stores: true });
      expect(await read(own, 'servers-files')).toEqual(before);
      expect(await read(other, 'servers-files')).toEqual(neighbour);
    } finally {
      await removeFromServers(own, other);
    }
  });

  async function read(workspace: string, kind: Kind = 'servers'): Promise<Record<string, unknown[]>> {
    return JSON.parse(await lightrag('read', kind, workspace));
  }

  /** Removes workspaces from Neo4j, with their indexes, and every collection of LightRAG. */
  async function removeFromServers(...workspaces: string[]): Promise<void> {
    for (const label of workspaces) {
      await run(driver, `MATCH (n:\`${label}\`) DETACH DELETE n`);
      const ofLabel = 'SHOW INDEXES YIELD name, labelsOrTypes WHERE $label IN labelsOrTypes';
      for (const { name } of await run(driver, ofLabel, { label }))
        await run(driver, `DROP INDEX \`${name}\``);
    }
    for (const collection of await collections())
      await ask(servers.qdrant, 'DELETE', `/collections/${collection}`);
  }

  /** The collections of LightRAG on the server. */
  async function collections(): Promise<string[]> {
    const found = await result<{ collections: { name: string }[] }>(servers.qdrant, 'GET', '/collections');
    return found.collections.map(({ name }) => name).filter((name) => name.startsWith('lightrag_vdb_'));
  }

  async function deletePoints(collection: string, workspace: string): Promise<void> {
    const filter = { must: [{ key: 'workspace_id', match: { value: workspace } }] };
    await ask(servers.qdrant, 'POST', `/collections/${collection}/points/delete?wait=true`, { filter });
  }
});

/** Whether a key belongs to the workspace according to LightRAG's sources, implemented independently. */
function isKeyOf(workspace: string, key: string): boolean {
  const names =
    'full_docs|text_chunks|llm_response_cache|full_entities|full_relations|entity_chunks|relation_chunks|doc_status';
  return new RegExp(`^${workspace}_(${names})(:|__sched:)`).test(key);
}
