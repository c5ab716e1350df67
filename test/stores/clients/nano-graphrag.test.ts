import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { layoutWarnings, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import { servers } from '../../servers.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
import { graphContent, openGraph, plainDriver, run } from '../neo4j/graph.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

describe("nano-graphrag's own storage classes", () => {
  let client: PythonClient;
  let folder: string;
  let driver: Driver;

  beforeAll(async () => {
    client = await pythonClient('nano_graphrag_client.py');
    driver = plainDriver(servers.neo4j);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ngbak-nano-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });
  afterAll(() => driver.close());

  const openFiles = () => {
    const scope = filesAdapter.Scope.parse(profileScopes('nano-graphrag', {}, 'files').kv);
    return filesAdapter.create({ location: folder }, scope, { target: 'test' });
  };

  async function fileContents(): Promise<Record<string, string>> {
    const names = (await readdir(folder)).sort();
    return Object.fromEntries(
      await Promise.all(
        names.map(async (name) => [name, (await readFile(join(folder, name))).toString('hex')]),
      ),
    );
  }

  test('read the same from files after a restore: keys, both kinds of vectors, the graph', async () => {
    await client(['write', 'files', folder]);
    const before = await client(['read', 'files', folder]);
    const read = JSON.parse(before);
    expect(read['full_docs keys']).toHaveLength(20);
    expect(read['entities nearest']).toHaveLength(5);
    expect(read['chunks nearest']).toHaveLength(5);
    expect(read.nodes[7].source_id).toBe('chunk-7<SEP>chunk-0');
    const bytes = await fileContents();
    expect(Object.keys(bytes)).toEqual([
      'chunks_hnsw.index',
      'chunks_hnsw_metadata.pkl',
      'graph_chunk_entity_relation.graphml',
      'kv_store_community_reports.json',
      'kv_store_full_docs.json',
      'kv_store_llm_response_cache.json',
      'kv_store_text_chunks.json',
      'vdb_entities.json',
    ]);
    const names = await withStore(openFiles, (store) => store.names(legContext()));
    expect(proposeProfile({ kv: names })).toMatchObject({ profile: 'nano-graphrag', parameters: {} });
    const { archive, tallies } = await exportAll(openFiles);
    expect(tallies['keys:full_docs']?.count).toBe(20);

    await rm(folder, { recursive: true });
    await mkdir(folder);
    expect(JSON.parse(await client(['read', 'files', folder])).full_docs[0]).toBeNull();
    const { differences } = await restoreAll(openFiles, archive);
    expect(differences).toBe(0);
    expect(await fileContents()).toEqual(bytes);
    expect(await client(['read', 'files', folder])).toBe(before);
  });

  test('read the same graph from Neo4j after a restore; another working directory is untouched', async () => {
    const { uri, username, password } = servers.neo4j;
    const neo4j = { NEO4J_URI: uri, NEO4J_USERNAME: username, NEO4J_PASSWORD: password };
    const [own, other] = [join(folder, 'own.kb'), join(folder, 'other-kb')];
    const scope = Neo4jScope.parse(profileScopes('nano-graphrag', { working_dir: own }, 'files').graph);
    const neighbour = Neo4jScope.parse(profileScopes('nano-graphrag', { working_dir: other }, 'files').graph);
    const open = openGraph(servers.neo4j, scope);
    try {
      for (const directory of [own, other]) await client(['write', 'neo4j', directory], neo4j);
      const before = await client(['read', 'neo4j', own], neo4j);
      expect(JSON.parse(before).edges[3]).toMatchObject({ weight: 3.5 });
      const names = await withStore(open, (store) => store.names(legContext()));
      expect(names).toEqual(
        expect.arrayContaining([`(:${scope.label})`, `(:${neighbour.label})`, '[:RELATED]']),
      );
      const graphNames = names.filter((name) => name !== `(:${neighbour.label})`);
      const { profile, parameters } = proposeProfile({
        // Other tests leave labels in this database.
        graph: graphNames.filter((name) => name === `(:${scope.label})`),
      });
      expect(profile).toBe('nano-graphrag');
      expect(profileScopes(profile, parameters, 'files').graph?.label).toBe(scope.label);
      const [graph, otherGraph] = [
        await graphContent(driver, scope.label),
        await graphContent(driver, neighbour.label),
      ];
      const { archive, tallies } = await exportAll(open);
      expect([tallies.nodes?.count, tallies.relationships?.count]).toEqual([20, 19]);

      await run(driver, `MATCH (n:\`${scope.label}\`) DETACH DELETE n`);
      expect(JSON.parse(await client(['read', 'neo4j', own], neo4j)).nodes[0]).toBeNull();
      const { differences } = await restoreAll(open, archive);
      expect(differences).toBe(0);
      expect(await client(['read', 'neo4j', own], neo4j)).toBe(before);
      expect(await graphContent(driver, scope.label)).toEqual(graph);
      expect(await graphContent(driver, neighbour.label)).toEqual(otherGraph);
    } finally {
      for (const { label } of [scope, neighbour]) await run(driver, `MATCH (n:\`${label}\`) DETACH DELETE n`);
    }
  });

  test('a working directory with a colon has another label in releases than in later code: a backup names the nodes', async () => {
    const { uri, username, password } = servers.neo4j;
    const neo4j = { NEO4J_URI: uri, NEO4J_USERNAME: username, NEO4J_PASSWORD: password };
    const working_dir = 'C:/ngbak-colon/kb';
    const label = '__ngbak_colon__kb__chunk_entity_relation';
    const layout = { profile: 'nano-graphrag', parameters: { working_dir } };
    const scope = Neo4jScope.parse(profileScopes('nano-graphrag', { working_dir }, 'files').graph);
    expect(scope.label).toBe(`C_${label}`);
    const probe = async (with_: object) => {
      const { uri: url, ...login } = servers.neo4j;
      const store = neo4jAdapter.create(
        neo4jAdapter.Connection.parse({ uri: url, ...login }),
        Neo4jScope.parse({ ...scope, ...with_ }),
        { target: 'test', marks: markRequests(layout, 'graph') },
      );
      try {
        return await store.probe(legContext());
      } finally {
        await store.close();
      }
    };
    try {
      await client(['write', 'neo4j', working_dir], neo4j, folder);
      const measured = await probe({});
      expect(measured.counts).toMatchObject({ nodes: 0 });
      expect(layoutWarnings(layout, undefined, 'graph', measured)).toMatchObject([
        { code: 'former-names-left-out', text: expect.stringContaining(`"scope": {"label": "${label}"}`) },
      ]);
      expect((await probe({ label })).counts).toMatchObject({ nodes: 20, relationships: 19 });
    } finally {
      await run(driver, `MATCH (n:\`${label}\`) DETACH DELETE n`);
    }
  });
});
