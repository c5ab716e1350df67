import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { installLlamaIndex, installNeo4jClients } from '../../../local/install/python.ts';
import { findProfile, profileScopes, profileStatistics } from '../../../shared/profiles/profiles.ts';
import { proposeProfile } from '../../../shared/profiles/propose.ts';
import { evidenceOf, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
import { dropSchema, graphContent, graphLeftovers, plainDriver, run, tenantContent } from '../neo4j/graph.ts';
import { OwnNeo4j } from '../neo4j/own-server.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

// A deadline for hangs: the server starts, and the first time server and packages are installed.

let server: OwnNeo4j;
let driver: Driver;

// LangChain and LlamaIndex call procedures of APOC.
beforeAll(async () => {
  server = await OwnNeo4j.start({ apoc: true });
  driver = plainDriver(server.address);
});
beforeEach(async () => {
  await run(driver, 'MATCH (n) DETACH DELETE n');
  await dropSchema(driver);
});
afterAll(async () => {
  await driver?.close();
  await server?.stop();
});

/** Opens the graph as a target with that profile does. */
function openAs(profile: string, parameters: object = {}): () => Store {
  const scope = Neo4jScope.parse(profileScopes(profile, parameters).graph ?? {});
  const countedLabels = Object.values(findProfile(profile).labels ?? {});
  const marks = markRequests({ profile, parameters }, 'graph');
  return () => neo4jAdapter.create({ ...server.address }, scope, { target: 'tests', countedLabels, marks });
}

/** What a backup records about the version that wrote the data. */
async function versionOf(profile: string, parameters: object = {}) {
  const graph = await withStore(openAs(profile, parameters), (store) => store.probe(legContext()));
  return evidenceOf({ profile, parameters }, { graph });
}

/** What the client prints. */
function ask(client: PythonClient, ...args: string[]): Promise<string> {
  const { uri, username, password } = server.address;
  return client(args, { NEO4J_URI: uri, NEO4J_USERNAME: username, NEO4J_PASSWORD: password });
}

/** The proposal of `ngbak doctor --stores` for the server. */
const recognized = async () =>
  proposeProfile({ graph: await withStore(openAs('custom'), (store) => store.names(legContext())) });

/** The references of the profile within the graph: how many values there are, and which of them dangle. */
async function referencesOf(profile: string, open: () => Store) {
  const { archive } = await exportAll(open);
  const found: [string, number, readonly string[] | undefined][] = [];
  for (const { from, to } of findProfile(profile).references) {
    const values: string[] = [];
    const lists = await neo4jAdapter.values(archive, {}, { ...from, isThing: () => true });
    for await (const list of lists ?? []) values.push(...list);
    const missing = await withStore(open, (store) => store.missing(to, [...new Set(values)], legContext()));
    found.push([`${from.thing}.${from.field}`, values.length, missing]);
  }
  return found;
}

describe("Graphiti's own storage classes", () => {
  let client: PythonClient;
  const [own, other] = ['alpha', 'alpha_2'];
  beforeAll(async () => {
    client = await pythonClient('graphiti_client.py', installNeo4jClients);
  });

  test('read one group the same after it was saved, wiped and restored; the other group is untouched', async () => {
    await ask(client, 'write', own, other);
    const before = await ask(client, 'read', own, other);
    expect(await versionOf('graphiti', { group_ids: [own] })).toMatchObject({ since: '0.26.0' });
    expect(JSON.parse(before)[own]).toMatchObject({
      entities: expect.arrayContaining([expect.objectContaining({ uuid: 'alpha-entity-5' })]),
      'facts by text': expect.arrayContaining(['alpha-fact-3']),
      'facts by vector': expect.arrayContaining(['alpha-fact-0']),
      mentioned: expect.arrayContaining(['alpha-entity-0']),
    });
    const contents = () => Promise.all([own, other].map((group) => tenantContent(driver, 'group_id', group)));
    const graph = await contents();
    expect(await recognized()).toEqual({
      profile: 'graphiti',
      parameters: {},
      choices: { group_ids: ['["alpha"]', '["alpha_2"]'] },
      reasons: expect.arrayContaining([
        expect.stringContaining('{group_id: "alpha"}, {group_id: "alpha_2"}'),
      ]),
    });

    const open = openAs('graphiti', { group_ids: [own] });
    const { archive, tallies } = await exportAll(open);
    expect(tallies).toMatchObject({ nodes: { count: 11 }, relationships: { count: 16 } });
    expect(tallies.dangling).toBeUndefined();
    expect(await referencesOf('graphiti', open)).toEqual([
      ['nodes.entity_edges', 3, []],
      ['relationships.episodes', 5, []],
    ]);
    const probe = await withStore(open, (store) => store.probe(legContext()));
    // Graphiti creates an index on `group_id` for every label and type except this one.
    expect(probe.warnings).toEqual([
      expect.objectContaining({ code: 'graph-scope-not-indexed', samples: ['[:HAS_MEMBER]'] }),
    ]);
    expect(profileStatistics('graphiti', {}, { graph: tallies }, probe.labels)).toEqual({
      documents: 3,
      entities: 6,
      communities: 1,
      relationships: 16,
    });

    await run(driver, 'MATCH (n {group_id: $own}) DETACH DELETE n', { own });
    const { differences, samples, readBack } = await restoreAll(open, archive);
    expect({ differences, samples, readBack }).toEqual({ differences: 0, samples: [], readBack: tallies });
    expect(await contents()).toEqual(graph);
    expect(await ask(client, 'read', own, other)).toBe(before);
    expect(await graphLeftovers(driver)).toEqual([]);
  });

  test('read a group under another name, after a restore into an empty database without its indexes', async () => {
    await ask(client, 'write', own);
    const before = JSON.parse(await ask(client, 'read', own))[own];
    const { archive } = await exportAll(openAs('graphiti', { group_ids: [own] }));
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
    const scopeOf = (group: string) =>
      Neo4jScope.parse(profileScopes('graphiti', { group_ids: [group] }).graph);
    const request = { only: {}, rename: {}, sameProfile: true };
    const route = await neo4jAdapter.route(archive, scopeOf(own), scopeOf('gamma'), request);
    const { differences } = await restoreAll(
      openAs('graphiti', { group_ids: ['gamma'] }),
      neo4jAdapter.view(archive, route),
    );
    expect(differences).toBe(0);
    const after = JSON.parse(await ask(client, 'read', 'gamma')).gamma;
    for (const kind of [
      'entities',
      'episodes',
      'facts',
      'mentions',
      'members',
      'sagas',
      'facts by text',
      'mentioned',
    ]) {
      const renamed = JSON.stringify(before[kind]).replaceAll('"group_id":"alpha"', '"group_id":"gamma"');
      expect([kind, JSON.stringify(after[kind])]).toEqual([kind, renamed]);
    }
    expect(await recognized()).toMatchObject({ profile: 'graphiti', parameters: { group_ids: ['gamma'] } });
  });
});

describe.each([
  {
    profile: 'neo4j-graphrag',
    script: 'neo4j_graphrag_client.py',
    install: installNeo4jClients,
    indexes: ['FULLTEXT', 'RANGE', 'VECTOR', 'VECTOR'],
    statistics: { documents: 1, chunks: 6, entities: 3, communities: 0, relationships: 19 },
    references: [],
  },
  {
    profile: 'langchain',
    script: 'langchain_client.py',
    install: installNeo4jClients,
    indexes: ['FULLTEXT', 'VECTOR'],
    statistics: { documents: 5, chunks: 5, entities: 5, relationships: 17 },
    references: [],
  },
  {
    profile: 'llamaindex',
    script: 'llamaindex_client.py',
    install: installLlamaIndex,
    indexes: ['FULLTEXT', 'VECTOR', 'VECTOR'],
    statistics: { chunks: 4, entities: 4, relationships: 7 },
    references: [
      ['nodes.triplet_source_id', 4, []],
      ['relationships.triplet_source_id', 3, []],
    ],
  },
])('the own storage classes of $profile', ({ profile, script, install, indexes, statistics, references }) => {
  test('read the same after the database was saved, wiped with its indexes, and restored', async () => {
    const client = await pythonClient(script, install);
    await ask(client, 'write');
    const before = await ask(client, 'read');
    const graph = await graphContent(driver);
    expect((await recognized()).profile).toBe(profile);
    const open = openAs(profile);
    const { archive, tallies } = await exportAll(open);
    const probe = await withStore(open, (store) => store.probe(legContext()));
    expect(probe.warnings).toEqual([]);
    const kinds = archive
      .text('graph/schema.jsonl')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'index')
      .map(({ kind }) => kind);
    expect(kinds.sort()).toEqual(indexes);
    expect(profileStatistics(profile, {}, { graph: tallies }, probe.labels)).toEqual(statistics);
    expect(await referencesOf(profile, open)).toEqual(references);

    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
    const { differences, samples, readBack } = await restoreAll(open, archive);
    expect({ differences, samples, readBack }).toEqual({ differences: 0, samples: [], readBack: tallies });
    expect(await graphContent(driver)).toBe(graph);
    expect(await ask(client, 'read')).toBe(before);
    expect(await graphLeftovers(driver)).toEqual([]);
  });
});
