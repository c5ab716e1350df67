import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import type { EntryReader } from '../../shared/archive/format/types.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { HashSample } from '../../shared/core/hash-sample.ts';
import { CollectedReferences } from '../../shared/profiles/collected-references.ts';
import { resolveStore } from '../../shared/profiles/open.ts';
import { countReferences, proveReferences } from '../../shared/profiles/references.ts';
import { checkArchive } from '../../shared/stores/check-archive.ts';
import type { Store } from '../../shared/stores/store.ts';
import { AdmittedRestore } from '../../shared/workflows/restore/plan.ts';
import { servers } from '../servers.ts';
import { exportAll, legContext, withStore } from '../stores/memory-archive.ts';
import { sealExports } from '../support/sealed.ts';

const RUN = `refs${process.pid}`;
const config = NgbakConfig.parse({
  targets: {
    main: {
      profile: 'ngraf-023',
      parameters: { namespace: RUN, root: RUN, collections: ['entities'] },
      stores: {
        graph: { kind: 'neo4j', secret: 'none' },
        // The collection of the profile, under a name of this test.
        vectors: {
          kind: 'qdrant',
          secret: 'none',
          scope: { collections: [`lightrag_vdb_entities_${RUN}`], method: 'points' },
        },
        kv: { kind: 'redis', secret: 'none' },
      },
    },
  },
});
const collection = `lightrag_vdb_entities_${RUN}`;
const { url, password } = servers.redis;
const connections = {
  graph: { uri: servers.neo4j.uri, username: servers.neo4j.username, password: servers.neo4j.password },
  vectors: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  kv: { url, ...(password === '' ? {} : { password }) },
};
type Name = keyof typeof connections;
const open = (name: Name) => (): Store => {
  const { adapter, scope } = resolveStore(config, 'main', name);
  return adapter.create(adapter.Connection.parse(connections[name]), scope, { target: 'main' });
};
const plan = (stores: Name[]) =>
  AdmittedRestore.parse({
    job_id: 'job',
    target: 'main',
    execution_arn: 'arn',
    created_at: new Date().toISOString(),
    source: { bucket: 'b', key: 'k' },
    options: {},
    stores,
    confirmed: true,
  });
const qdrant = (method: string, path: string, body?: object) =>
  fetch(`${servers.qdrant.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', 'api-key': servers.qdrant.apiKey ?? '' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

let driver: Driver;
let redis: Redis;
let archive: EntryReader;
/** The same entries, as a backup seals them. */
let sealed: Buffer;

beforeAll(async () => {
  driver = neo4j.driver(
    connections.graph.uri,
    neo4j.auth.basic(connections.graph.username, connections.graph.password),
  );
  redis = new Redis(url, password === '' ? {} : { password });
  await driver.executeQuery(
    `CREATE (a:GraphRAG_${RUN} {id: 'A', source_id: 'c1<SEP>c2'}), (:GraphRAG_${RUN} {id: 'B', source_id: 'gone'})`,
  );
  await redis.set(`${RUN}:full_docs:d1`, '{"content": "x"}');
  await redis.set(`${RUN}:text_chunks:c1`, '{"full_doc_id": "d1"}');
  await redis.set(`${RUN}:text_chunks:c2`, '{"full_doc_id": "d1"}');
  await redis.set(`${RUN}:community_reports:0`, '{"nodes": ["A", "nobody"], "chunk_ids": ["c1"]}');
  await qdrant('PUT', `/collections/${collection}`, { vectors: { size: 2, distance: 'Dot' } });
  await qdrant('PUT', `/collections/${collection}/points?wait=true`, {
    points: ['A', 'B', 'C'].map((entity_name, id) => ({ id, vector: [id, 1], payload: { entity_name } })),
  });
  const parts = await Promise.all((['graph', 'vectors', 'kv'] as const).map((name) => exportAll(open(name))));
  const readers = parts.map((part) => part.archive);
  const names = ['graph', 'vectors', 'kv'] as const;
  sealed = await sealExports(
    config,
    'main',
    parts.map((part, at) => [names[at] ?? 'kv', part.archive] as const),
  );
  archive = {
    async *entries(prefix) {
      for (const reader of readers) yield* reader.entries(prefix);
    },
    find: async (name) => {
      for (const reader of readers) if (await reader.find(name)) return reader.find(name);
      return undefined;
    },
    async *open(entry, range) {
      for (const reader of readers) if (await reader.find(entry.name)) yield* reader.open(entry, range);
    },
  };
});

afterAll(async () => {
  await driver.executeQuery(`MATCH (n:GraphRAG_${RUN}) DETACH DELETE n`);
  await driver.close();
  await redis.del(await redis.keys(`${RUN}:*`));
  redis.disconnect();
  await qdrant('DELETE', `/collections/${collection}`);
});

const summarize = (counts: { reference: string; total: number; dangling: number; samples: string[] }[]) =>
  Object.fromEntries(
    counts.map(({ reference, total, dangling, samples }) => [reference, [total, dangling, ...samples]]),
  );
const EXPECTED = {
  'vectors entities.entity_name → graph nodes.id': [3, 1, 'C'],
  'graph nodes.source_id → kv text_chunks.id': [3, 1, 'gone'],
  'graph relationships.source_id → kv text_chunks.id': [0, 0],
  'kv text_chunks.full_doc_id → kv full_docs.id': [2, 0],
  'kv community_reports.nodes → graph nodes.id': [2, 1, 'nobody'],
  'kv community_reports.chunk_ids → kv text_chunks.id': [1, 0],
};

describe('references between stores', () => {
  test('are counted in the archive, with samples of dangling ones', async () => {
    const closed = async () => {
      throw new Error('no store is asked where the archive knows');
    };
    const counts = await countReferences(
      config,
      plan(['graph', 'vectors', 'kv']),
      archive,
      closed,
      legContext(),
    );
    expect(summarize(counts)).toEqual(EXPECTED);
    expect(new Set(counts.map(({ against }) => against))).toEqual(new Set(['archive']));
  });

  const collect = async (stores: Name[], limits?: { values: number; characters: number }) => {
    const source = bufferSource('sealed.ngbak', sealed);
    const collector = new CollectedReferences(config, plan(stores), limits);
    const legs = { cursor: null, state: null, timeLeft: () => 60_000 };
    expect(await checkArchive(source, { ...legs, collector })).toMatchObject({ cursor: null, problems: [] });
    return collector.count(await openArchive(source));
  };

  test('are counted while the archive is checked, exactly as when it is read again', async () => {
    const counts = await collect(['graph', 'vectors', 'kv']);
    expect(summarize(counts ?? [])).toEqual(EXPECTED);
    expect(
      await countReferences(
        config,
        plan(['graph', 'vectors', 'kv']),
        archive,
        async () => undefined,
        legContext(),
      ),
    ).toEqual(counts);
    const graphOnly = await collect(['graph', 'vectors']);
    expect(Object.keys(summarize(graphOnly ?? []))).toEqual([
      'vectors entities.entity_name → graph nodes.id',
    ]);
  });

  test('are not counted from a part of the values if there are more than fit in memory', async () => {
    const stores: Name[] = ['graph', 'vectors', 'kv'];
    expect(await collect(stores, { values: 3, characters: 1000 })).toBeUndefined();
    expect(await collect(stores, { values: 1000, characters: 5 })).toBeUndefined();
  });

  test('into stores that are not restored are looked up in the target', async () => {
    await driver.executeQuery(`MATCH (n:GraphRAG_${RUN} {id: 'B'}) SET n.id = 'renamed'`);
    try {
      const graph = open('graph')();
      const counts = await countReferences(
        config,
        plan(['vectors']),
        archive,
        async () => graph,
        legContext(),
      );
      await graph.close();
      expect(summarize(counts)).toEqual({
        'vectors entities.entity_name → graph nodes.id': [3, 2, 'B', 'C'],
      });
      expect(counts[0]?.against).toBe('target');
    } finally {
      await driver.executeQuery(`MATCH (n:GraphRAG_${RUN} {id: 'renamed'}) SET n.id = 'B'`);
    }
  });

  test('are verified in the target after the load', async () => {
    const all = plan(['graph', 'vectors', 'kv']);
    const prove = (name: Name) =>
      withStore(open(name), (store) =>
        proveReferences(config, all, archive, store, async () => undefined, legContext()),
      );
    expect({ ...summarize(await prove('graph')), ...summarize(await prove('kv')) }).toEqual(EXPECTED);
    expect(await prove('vectors')).toEqual([]);
  });

  test('of more values than fit in memory are sampled, without false reports', () => {
    const sample = new HashSample();
    for (let i = 0; i < 5000; i++) sample.add(`value ${i}`, 1000);
    const answers = Array.from({ length: 5000 }, (_, i) => sample.has(`value ${i}`));
    expect(answers.filter((answer) => answer === false)).toEqual([]);
    const known = answers.filter((answer) => answer === true).length;
    expect(known).toBeGreaterThan(300);
    expect(known).toBeLessThanOrEqual(1000);
    const others = Array.from({ length: 5000 }, (_, i) => sample.has(`other ${i}`));
    expect(others).not.toContain(true);
    expect(others).toContain(false);
  });
});
