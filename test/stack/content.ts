import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { servers } from '../servers.ts';

/** The data of a target on the shared test servers; test/stack/context.ts configures the same. */
export interface Names {
  readonly label: string;
  readonly collection: string;
  readonly prefix: string;
}
export const SCRATCH: Names = { label: 'Scratch', collection: 'scratch_items', prefix: 'scratch:' };
export const AWS_CLI: Names = { label: 'AwsCli', collection: 'aws_cli_items', prefix: 'aws-cli:' };
export const CLI: Names = { label: 'NgbakCli', collection: 'cli_items', prefix: 'ngbak-cli:' };
export const MOVE: Names = { label: 'Move', collection: 'move_items', prefix: 'move:' };
export const DASHBOARD: Names = {
  label: 'Dashboard',
  collection: 'dashboard_items',
  prefix: 'dashboard:',
};
export const OPTIONS: Names = { label: 'Options', collection: 'option_items', prefix: 'options:' };
export const VIEWS: Names = { label: 'Views', collection: 'views_items', prefix: 'views:' };
export const EMPTY_COLLECTION = 'empty_items';

/** Runs `work` with a client of each store, and closes them. */
export async function withClients<T>(work: (clients: Clients) => Promise<T>) {
  const driver = neo4j.driver(
    servers.neo4j.uri,
    neo4j.auth.basic(servers.neo4j.username, servers.neo4j.password),
  );
  const redis = new Redis(servers.redis.url, { password: servers.redis.password });
  const cypher: Cypher = async (query, parameters = {}) =>
    (await driver.executeQuery(query, parameters)).records.map((record) => record.toObject());
  const qdrant: Qdrant = async (method, path, body) => {
    const answer = await fetch(`${servers.qdrant.url}${path}`, {
      method,
      headers: { 'api-key': servers.qdrant.apiKey, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!answer.ok && answer.status !== 404)
      throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { result?: unknown };
  };
  try {
    return await work({ cypher, redis, qdrant });
  } finally {
    await driver.close();
    redis.disconnect();
  }
}
type Cypher = (query: string, parameters?: object) => Promise<Record<string, unknown>[]>;
type Qdrant = (method: string, path: string, body?: object) => Promise<{ result?: unknown }>;
interface Clients {
  readonly cypher: Cypher;
  readonly redis: Redis;
  readonly qdrant: Qdrant;
}

/** Removes the data of a target. */
export function removeTarget(names: Names): Promise<void> {
  return withClients((clients) => removeData(clients, names));
}

/** Removes the data of a target, and the constraints and indexes of its label. */
export function removeTargetWithSchema(names: Names): Promise<void> {
  return withClients(async (clients) => {
    const { cypher } = clients;
    await removeData(clients, names);
    const schema = await cypher(
      'SHOW INDEXES YIELD name, labelsOrTypes, owningConstraint WHERE labelsOrTypes = [$label]',
      { label: names.label },
    );
    for (const { name, owningConstraint } of schema) {
      await cypher(`DROP ${owningConstraint === null ? 'INDEX' : 'CONSTRAINT'} \`${name}\` IF EXISTS`);
    }
  });
}

async function removeData({ cypher, redis, qdrant }: Clients, names: Names): Promise<void> {
  await cypher(`MATCH (n:${names.label}) DETACH DELETE n`);
  await qdrant('DELETE', `/collections/${names.collection}`);
  const keys = await redis.keys(`${names.prefix}*`);
  if (keys.length > 0) await redis.del(keys);
}

/** Fills a target with a few records of each kind, the same each time. */
export function fillTarget(names: Names = SCRATCH): Promise<void> {
  const { label, collection, prefix } = names;
  return withClients(async (clients) => {
    const { cypher, redis, qdrant } = clients;
    await removeData(clients, names);
    await cypher(
      `UNWIND range(1, 20) AS i CREATE (:${label}:Thing {id: 'n' + i, weight: i * 0.5, count: i, born: date('2024-01-01')})`,
    );
    await cypher(
      `MATCH (a:${label}), (b:${label}) WHERE a.count = b.count - 1
       CREATE (a)-[:RELATED {order: a.count}]->(b)`,
    );
    await qdrant('PUT', `/collections/${collection}`, { vectors: { size: 4, distance: 'Dot' } });
    await qdrant('PUT', `/collections/${collection}/points?wait=true`, {
      points: Array.from({ length: 20 }, (_, i) => ({
        id: i + 1,
        vector: [i, i / 2, -i, 1],
        payload: { entity_name: `n${i + 1}` },
      })),
    });
    for (let i = 1; i <= 20; i++)
      await redis.set(`${prefix}docs:d${i}`, JSON.stringify({ content: `document ${i}` }));
    await redis.set(`${prefix}cache:c1`, '{"answer": 42}', 'PXAT', 4_102_444_800_000);
    await redis.hset(`${prefix}graph:meta`, { nodes: '20', made: 'by a test' });
  });
}

/** Ensures that the collection of target `empty` exists, and is empty. */
export function makeEmptyCollection(): Promise<void> {
  return withClients(async ({ qdrant }) => {
    const { result } = await qdrant('GET', `/collections/${EMPTY_COLLECTION}/exists`);
    if ((result as { exists?: boolean }).exists) return;
    await qdrant('PUT', `/collections/${EMPTY_COLLECTION}`, { vectors: { size: 4, distance: 'Dot' } });
  });
}

/** The current contents of a target, in an order that does not depend on the servers. */
export function readTarget({ label, collection, prefix }: Names = SCRATCH): Promise<unknown> {
  return withClients(async ({ cypher, redis, qdrant }) => {
    const nodes = await cypher(
      `MATCH (n:${label}) RETURN labels(n) AS labels, toString(n.born) AS born, n.id AS id, toString(n.weight) AS weight, toString(n.count) AS count, size(keys(n)) AS size ORDER BY id`,
    );
    const relationships = await cypher(
      `MATCH (a:${label})-[r]->(b:${label}) RETURN a.id AS start, type(r) AS type, toString(r.order) AS order, b.id AS end ORDER BY start, end`,
    );
    const points = await qdrant('POST', `/collections/${collection}/points/scroll`, {
      limit: 1000,
      with_vector: true,
      with_payload: true,
    });
    const keys = (await redis.keys(`${prefix}*`)).sort();
    const values = await Promise.all(
      keys.map(async (key) => [
        key,
        await redis.pexpiretime(key),
        (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : await redis.get(key),
      ]),
    );
    return JSON.parse(
      JSON.stringify({ nodes, relationships, points: points.result ?? null, values }, (_, value) =>
        typeof value === 'bigint' ? value.toString() : value,
      ),
    );
  });
}
