import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../../../shared/stores/redis/adapter.ts';
import type { Store, StoreAdapter } from '../../../shared/stores/store.ts';
import { servers } from '../../servers.ts';
import { legContext } from '../../stores/memory-archive.ts';

const RUN = `Smoke${process.pid}`;
const { url, password } = servers.redis;
const redisLogin = password === '' ? {} : { password };

async function ask(adapter: StoreAdapter, connection: object, scope: object, question: unknown) {
  const store: Store = adapter.create(adapter.Connection.parse(connection), adapter.Scope.parse(scope), {
    target: 'test',
  });
  try {
    return await store.smoke(question, legContext());
  } finally {
    await store.close();
  }
}

let driver: Driver;
let redis: Redis;
const { uri, username, password: graphPassword } = servers.neo4j;
const graph = (question: unknown) =>
  ask(neo4jAdapter, { uri, username, password: graphPassword }, { label: RUN }, question);
const keys = (question: unknown) =>
  ask(redisAdapter, { url, ...redisLogin }, { prefix: `${RUN}:` }, question);
const vectors = (question: unknown) =>
  ask(
    qdrantAdapter,
    { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
    { collections: [RUN] },
    question,
  );
const qdrant = (method: string, path: string, body?: object) =>
  fetch(`${servers.qdrant.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json', 'api-key': servers.qdrant.apiKey ?? '' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

beforeAll(async () => {
  driver = neo4j.driver(uri, neo4j.auth.basic(username, graphPassword));
  redis = new Redis(url, redisLogin);
  await driver.executeQuery(`CREATE (:${RUN} {id: 'a', text: 'private'}), (:${RUN} {id: 'b'})`);
  await redis.set(`${RUN}:docs:1`, 'private');
  await qdrant('PUT', `/collections/${RUN}`, { vectors: { size: 2, distance: 'Dot' } });
  await qdrant('PUT', `/collections/${RUN}/points?wait=true`, {
    points: [{ id: 1, vector: [1, 2], payload: { text: 'private' } }],
  });
});

afterAll(async () => {
  await driver.executeQuery(`MATCH (n:${RUN}) DETACH DELETE n`);
  await driver.close();
  await redis.del(`${RUN}:docs:1`);
  redis.disconnect();
  await qdrant('DELETE', `/collections/${RUN}`);
});

describe('a smoke check', () => {
  test('of the graph returns numbers, and digests instead of data', async () => {
    expect(await graph('MATCH (n) WHERE $label IN labels(n) RETURN count(n) AS nodes')).toBe('nodes 2');
    const questions = await graph(`MATCH (n:${RUN}) RETURN n ORDER BY n.id`);
    expect(questions).toMatch(/^2 rows, sha256 [0-9a-f]{12}$/);
    expect(await graph(`MATCH (n:${RUN}) RETURN n ORDER BY n.id`)).toBe(questions);
  });

  test.each([
    `CREATE (:${RUN} {id: 'written'})`,
    `MATCH (n:${RUN}) SET n.text = 1 RETURN n`,
    `CREATE INDEX ${RUN} FOR (n:${RUN}) ON (n.id)`,
  ])('of the graph cannot write: %s', async (cypher) => {
    await expect(graph(cypher)).rejects.toThrow();
    const { records } = await driver.executeQuery(`MATCH (n:${RUN}) RETURN count(n) AS n, max(n.text) AS t`);
    expect(records[0]?.toObject()).toEqual({ n: neo4j.int(2), t: 'private' });
  });

  test('of key-value data reads keys of the scope, and no others', async () => {
    expect(await keys(['EXISTS', `${RUN}:docs:1`])).toBe('1');
    expect(await keys(['GET', `${RUN}:docs:1`])).toMatch(/^9 characters, sha256 /);
    expect(await keys(['ANY'])).toBe('key found');
    await expect(keys(['GET', 'another'])).rejects.toThrow('not part of the scope');
    await expect(keys(['DEL', `${RUN}:docs:1`])).rejects.toThrow();
    expect(await redis.exists(`${RUN}:docs:1`)).toBe(1);
  });

  test('of vectors counts, scrolls and searches, and does nothing else', async () => {
    expect(await vectors({ collection: RUN, points: 'count', body: { exact: true } })).toBe('count 1');
    expect(
      await vectors({ collection: RUN, points: 'search', body: { vector: [1, 1], limit: 1 } }),
    ).toContain('score 3');
    await expect(vectors({ collection: RUN, points: 'delete', body: { points: [1] } })).rejects.toThrow();
    await expect(vectors({ collection: 'nowhere', points: 'count' })).rejects.toThrow();
  });
});
