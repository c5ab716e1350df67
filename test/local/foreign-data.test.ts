import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { refuseForeignData } from '../foreign-data.ts';
import { servers } from '../servers.ts';

// The shared Neo4j is foreign here: no local stack of this folder has it.
const environment = { NGBAK_LOCAL_DIR: '/nowhere' };
const stores = { neo4j: servers.neo4j, qdrant: servers.qdrant, redis: servers.redis };
const driver = neo4j.driver(
  servers.neo4j.uri,
  neo4j.auth.basic(servers.neo4j.username, servers.neo4j.password),
);
const redis = new Redis(servers.redis.url, { password: servers.redis.password });
const collection = `${servers.qdrant.url}/collections/foreign_data`;
const headers = { 'api-key': servers.qdrant.apiKey, 'content-type': 'application/json' };

beforeAll(async () => {
  await driver.executeQuery('CREATE (:ForeignData)');
  await redis.set('foreign-data', '1');
  const body = JSON.stringify({ vectors: { size: 1, distance: 'Dot' } });
  expect((await fetch(collection, { method: 'PUT', headers, body })).status).toBe(200);
});
afterAll(async () => {
  await driver.executeQuery('MATCH (n:ForeignData) DELETE n');
  await driver.close();
  await redis.del('foreign-data');
  redis.disconnect();
  await fetch(collection, { method: 'DELETE', headers });
});

describe('the tests', () => {
  test('refuse to run on servers that hold data, and name the data', async () => {
    const refused = refuseForeignData(stores, environment);
    await expect(refused).rejects.toThrow(/\d+ nodes .*, \d+ collections .*, \d+ keys /);
    await expect(refused).rejects.not.toThrow(servers.neo4j.password);
  });

  test('run there with permission to delete everything', async () => {
    await refuseForeignData(stores, { ...environment, NGBAK_TEST_OVERWRITE: '1' });
  });
});
