import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import type { Manifest } from '../../../shared/archive/format/manifest.ts';
import type { OpenedArchive } from '../../../shared/archive/read/open.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import type { Json } from '../../../shared/core/json.ts';
import type { Subset } from '../../../shared/core/subset.ts';
import { resolveStore } from '../../../shared/profiles/open.ts';
import { viewOf } from '../../../shared/profiles/view.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { chooseBackupStores, chooseScopes } from '../../../shared/workflows/backup/choose-stores.ts';
import { requireSubset } from '../../../shared/workflows/backup/require-subset.ts';
import { AdmittedRestore } from '../../../shared/workflows/restore/plan.ts';
import { routeStore } from '../../../shared/workflows/restore/routes.ts';
import { servers } from '../../servers.ts';
import { exportAll, type MemoryArchive, restoreAll } from '../../stores/memory-archive.ts';

/**
 * Backups of subsets, on the real servers: only the subset is saved, and a restore that replaces it does not touch the
 * rest of the target.
 */

const RUN = `Part${process.pid}`;
const KB = `${RUN}Kb`;
const [one, two] = [`${RUN}_one`, `${RUN}_two`];

const configured = (graph: Record<string, Json>) =>
  NgbakConfig.parse({
    targets: {
      kb: {
        stores: {
          graph: { kind: 'neo4j', secret: 'graph', scope: graph },
          vectors: { kind: 'qdrant', secret: 'vectors', scope: { collections: [one, two] } },
          kv: { kind: 'redis', secret: 'kv', scope: { prefix: `${RUN}:`, separator: ':' } },
        },
      },
    },
  });
const CONFIG = configured({ label: KB, key_property: 'id' });

type Name = 'graph' | 'vectors' | 'kv';

function connectionTo(name: Name): object {
  if (name === 'graph') {
    const { uri, username, password } = servers.neo4j;
    return { uri, username, password };
  }
  if (name === 'vectors') return { url: servers.qdrant.url, api_key: servers.qdrant.apiKey };
  const { url, password } = servers.redis;
  return { url, ...(password === '' ? {} : { password }) };
}

function opener(config: NgbakConfig, name: Name, scope: unknown): () => Store {
  const { adapter } = resolveStore(config, 'kb', name);
  return () =>
    adapter.create(adapter.Connection.parse(connectionTo(name)), adapter.Scope.parse(scope), {
      target: 'kb',
    });
}

/** Saves a subset of a store of the target as the workflow does. */
async function save(config: NgbakConfig, name: Name, only: Subset) {
  const scopes = chooseScopes(config, 'kb', [name], only);
  const { archive } = await exportAll(opener(config, name, scopes[name]));
  const scope = { type: 'partial', stores: [name], target: 'kb', profile: 'custom', only, scopes };
  const manifest = { scope, tags: [] as string[], storage_backends: {} } as unknown as Manifest;
  return { archive, manifest };
}

/** Restores it into the target, with the default options. */
async function restore(
  config: NgbakConfig,
  name: Name,
  saved: { archive: MemoryArchive; manifest: Manifest },
  options: object = {},
) {
  const plan = AdmittedRestore.parse({
    job_id: 'part',
    target: 'kb',
    execution_arn: 'arn:part',
    created_at: new Date().toISOString(),
    source: { bucket: 'b', key: 'k' },
    options,
    stores: [name],
    confirmed: true,
  });
  const opened = Object.assign(saved.archive, { manifest: saved.manifest }) as unknown as OpenedArchive;
  const route = await routeStore(config, plan, opened, name);
  const view = viewOf(config, { ...plan, routes: { [name]: route } }, opened, name);
  const restored = await restoreAll(opener(config, name, route.scope), view, {
    options: { mode: 'replace', onConflict: 'fail', dangling: 'stitch' },
  });
  expect(restored.samples).toEqual([]);
  return restored;
}

describe('a subset of the graph', () => {
  let driver: Driver;
  const cypher = async (query: string) =>
    (await driver.executeQuery(query)).records.map((record) => record.toObject() as Record<string, unknown>);
  const clean = async () => {
    await cypher(`MATCH (n) WHERE any(l IN labels(n) WHERE l STARTS WITH '${RUN}') DETACH DELETE n`);
    await cypher(`DROP CONSTRAINT ${RUN}_id IF EXISTS`);
  };
  const nodes = async () =>
    (await cypher(`MATCH (n:${KB}) RETURN n.id + '=' + n.text AS n ORDER BY n`)).map(({ n }) => n);
  const relationships = async () =>
    (await cypher(`MATCH (a:${KB})-[r]->(b:${KB}) RETURN a.id + '>' + b.id + ' ' + r.w AS r ORDER BY r`)).map(
      ({ r }) => r,
    );

  beforeAll(async () => {
    const { uri, username, password } = servers.neo4j;
    driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  });
  beforeEach(async () => {
    await clean();
    await cypher(`CREATE CONSTRAINT ${RUN}_id FOR (n:${KB}) REQUIRE n.id IS UNIQUE`);
    await cypher(
      `CREATE (p1:${KB}:${RUN}Person {id: 'p1', text: 'a'}), (p2:${KB}:${RUN}Person {id: 'p2', text: 'b'}),
              (t1:${KB}:${RUN}Town {id: 't1', text: 'c'}), (t2:${KB}:${RUN}Town {id: 't2', text: 'd'}),
              (:${RUN}Person {id: 'stranger', text: 'of another knowledge base'}),
              (p1)-[:KNOWS {w: 1}]->(p2), (p1)-[:LIVES_IN {w: 2}]->(t1), (t1)-[:NEAR {w: 3}]->(t2)`,
    );
  });
  afterAll(async () => {
    await clean();
    await driver.close();
  });

  test('by ontology label is saved within the knowledge base, and restored without a change to the rest', async () => {
    const saved = await save(CONFIG, 'graph', { label: `${RUN}Person` });
    expect(saved.archive.text('graph/nodes-00001.jsonl')).not.toContain('stranger');
    const relationshipsBefore = await relationships();
    await cypher(`MATCH (n:${KB}) SET n.text = 'changed'`);
    await cypher(`MATCH (n:${KB} {id: 'p2'}) DETACH DELETE n`);
    await cypher(`CREATE (:${KB}:${RUN}Person {id: 'p3', text: 'made since'})`);
    const restored = await restore(CONFIG, 'graph', saved);
    expect(restored.readBack.nodes?.count).toBe(2);
    expect(await nodes()).toEqual(['p1=a', 'p2=b', 't1=changed', 't2=changed']);
    // Relationships to the rest are attached again; those within the rest were never touched.
    expect(await relationships()).toEqual(relationshipsBefore);
    const outside = await cypher(`MATCH (n:${RUN}Person {id: 'stranger'}) RETURN n.text AS text`);
    expect(outside).toEqual([{ text: 'of another knowledge base' }]);
    expect(await cypher(`SHOW CONSTRAINTS YIELD name WHERE name = '${RUN}_id' RETURN name`)).toHaveLength(1);
  });

  test('by label of a whole database is saved alone, and its restore clears no other label', async () => {
    const whole = configured({ key_property: 'id' });
    const saved = await save(whole, 'graph', { label: `${RUN}Town` });
    const others = await cypher(`MATCH (n) WHERE NOT n:${RUN}Town RETURN count(n) AS found`);
    await cypher(`MATCH (n:${RUN}Town) SET n.text = 'changed'`);
    await restore(whole, 'graph', saved);
    expect(await nodes()).toEqual(['p1=a', 'p2=b', 't1=c', 't2=d']);
    expect(await cypher(`MATCH (n) WHERE NOT n:${RUN}Town RETURN count(n) AS found`)).toEqual(others);
    expect(await relationships()).toEqual(['p1>p2 1', 'p1>t1 2', 't1>t2 3']);
  });

  test('can also be restored from the backup of a whole knowledge base, by one ontology label', async () => {
    const all = await save(CONFIG, 'graph', { label: KB });
    await cypher(`MATCH (n:${KB}) SET n.text = 'changed'`);
    await restore(CONFIG, 'graph', all, { only: { label: `${RUN}Town` } });
    expect(await nodes()).toEqual(['p1=changed', 'p2=changed', 't1=c', 't2=d']);
    expect(await relationships()).toEqual(['p1>p2 1', 'p1>t1 2', 't1>t2 3']);
    await expect(restore(CONFIG, 'graph', all, { only: { label: 'Twon' } })).rejects.toThrow(
      'no node with label',
    );
    expect(await nodes()).toHaveLength(4);
  });
});

describe('a subset of key-value data', () => {
  const { url, password } = servers.redis;
  const redis = new Redis(url, { ...(password === '' ? {} : { password }), lazyConnect: true });
  const content = async () => {
    const keys = (await redis.keys(`${RUN}:*`)).sort();
    return Promise.all(keys.map(async (key) => `${key.slice(RUN.length + 1)}=${await redis.get(key)}`));
  };
  beforeAll(async () => {
    await redis.connect();
    for (const key of ['docs:1', 'docs:2', 'cache:1']) await redis.set(`${RUN}:${key}`, `"${key}"`);
  });
  afterAll(async () => {
    await redis.del(await redis.keys(`${RUN}:*`));
    redis.disconnect();
  });

  test('by namespace is saved alone, and its restore clears no other one', async () => {
    const saved = await save(CONFIG, 'kv', { namespaces: ['docs'] });
    expect(saved.archive.names().some((name) => name.includes('cache'))).toBe(false);
    await redis.set(`${RUN}:docs:1`, '"changed"');
    await redis.set(`${RUN}:docs:3`, '"made since"');
    await redis.set(`${RUN}:cache:1`, '"changed"');
    await restore(CONFIG, 'kv', saved);
    expect(await content()).toEqual(['cache:1="changed"', 'docs:1="docs:1"', 'docs:2="docs:2"']);
  });

  test('by key prefix is saved alone, and its restore clears no others', async () => {
    const saved = await save(CONFIG, 'kv', { key_prefixes: [`${RUN}:docs:1`] });
    await redis.set(`${RUN}:docs:1`, '"changed"');
    await redis.set(`${RUN}:docs:2`, '"changed"');
    await restore(CONFIG, 'kv', saved);
    expect(await content()).toEqual(['cache:1="changed"', 'docs:1="docs:1"', 'docs:2="changed"']);
  });

  test('that the archive does not hold is refused, before anything is cleared', async () => {
    const saved = await save(CONFIG, 'kv', { namespaces: ['docs'] });
    await expect(restore(CONFIG, 'kv', saved, { only: { namespaces: ['cache'] } })).rejects.toThrow(
      'contains only a subset',
    );
    expect(await content()).toHaveLength(3);
  });
});

describe('a subset of vectors', () => {
  const ask = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${servers.qdrant.url}/collections/${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'api-key': servers.qdrant.apiKey ?? '' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await answer.json()) as { result: { points: { payload: unknown }[] } };
  };
  const fill = (collection: string, text: string) =>
    ask('PUT', `${collection}/points?wait=true`, { points: [{ id: 1, vector: [1, 0], payload: { text } }] });
  const payloads = async (collection: string) =>
    (await ask('POST', `${collection}/points/scroll`, { limit: 9 })).result.points.map(
      ({ payload }) => payload,
    );
  beforeAll(async () => {
    for (const name of [one, two]) {
      await ask('PUT', name, { vectors: { size: 2, distance: 'Dot' } });
      await fill(name, 'saved');
    }
  });
  afterAll(async () => {
    for (const name of [one, two]) await ask('DELETE', name);
  });

  test('by collection is saved alone, and its restore removes no other one', async () => {
    const saved = await save(CONFIG, 'vectors', { collections: [one] });
    expect(saved.archive.names().some((name) => name.includes(two))).toBe(false);
    for (const name of [one, two]) await fill(name, 'changed');
    await restore(CONFIG, 'vectors', saved);
    expect(await payloads(one)).toEqual([{ text: 'saved' }]);
    expect(await payloads(two)).toEqual([{ text: 'changed' }]);
  });
});

describe('a request', () => {
  test.each([
    [{ collections: ['nowhere'] }, 'no collection "nowhere"'],
    [{ namespaces: ['docs'], label: '__ngbak_loaded' }, 'is reserved for ngbak'],
  ])('for %j, which the target does not have, is refused before anything starts', (only, problem) => {
    const stores = chooseBackupStores(CONFIG, 'kb', { only });
    expect(() => chooseScopes(CONFIG, 'kb', stores, only)).toThrow(problem);
  });

  test('for a namespace is refused if the scope does not define how keys are grouped', () => {
    const config = NgbakConfig.parse({
      targets: { kb: { stores: { kv: { kind: 'redis', secret: 'kv' } } } },
    });
    const only = { namespaces: ['docs'] };
    expect(() => chooseScopes(config, 'kb', ['kv'], only)).toThrow('no namespace "docs"');
  });

  test('saves only stores of which it selects something', () => {
    expect(chooseBackupStores(CONFIG, 'kb', { only: { namespaces: ['docs'] } })).toEqual(['kv']);
    const both = { stores: ['graph', 'kv'] as const, only: { namespaces: ['docs'] } };
    expect(chooseBackupStores(CONFIG, 'kb', { ...both, stores: [...both.stores] })).toEqual(['graph', 'kv']);
  });

  test.each([
    [{ type: 'full', only: { label: 'Person' } }, `can't be one of a part`],
    [{ type: 'partial' }, `can't be one of everything`],
    [{ stores: ['graph'], only: { namespaces: ['docs'] } }, 'not that store'],
  ] as const)('%j contradicts itself and is refused', (request, problem) => {
    expect(() =>
      chooseBackupStores(CONFIG, 'kb', request as Parameters<typeof chooseBackupStores>[2]),
    ).toThrow(problem);
  });

  test.each([
    ['graph', 'neo4j', { label: 'Twon' }, { nodes: 0 }, 'node with label "Twon"'],
    ['kv', 'redis', { namespaces: ['docs', 'dosc'] }, { 'keys:docs': 3 }, 'key of namespace "dosc"'],
    ['kv', 'redis', { key_prefixes: ['x'] }, {}, 'key that starts with "x"'],
  ] as const)(
    'for a missing part of the %s does not result in an empty backup',
    (store, kind, only, counts, problem) => {
      const probe = { kind, counts };
      expect(() => requireSubset(only as Subset, [{ store, probe }])).toThrow(problem);
    },
  );
});
