import neo4j from 'neo4j-driver';
import pg from 'pg';
import { type Connections, connectRedis } from '../knowledge-base/load.ts';
import { askQdrant } from '../knowledge-base/qdrant.ts';
import { clientOptions } from '../services/postgres.ts';
import type { PostgresAddress } from '../stack.ts';
import { DemoFailedError } from './follow.ts';

/** The variable that names a store in the environment. */
const VARIABLES = {
  neo4j: 'NEO4J_URI',
  qdrant: 'QDRANT_URL',
  redis: 'REDIS_URL',
  postgres: 'POSTGRES_URL',
} as const;

/**
 * The demo destroys the data in the stores, and an address in the environment may belong to a store in use. Throws
 * DemoFailedError unless all of these stores are empty.
 */
export async function refuseFilledStores(
  stores: Partial<Connections> & { readonly postgres?: PostgresAddress },
): Promise<void> {
  const { neo4j: graph, qdrant, redis, postgres } = stores;
  const found: [number, string][] = [];
  if (graph) found.push([await countNodes(graph), 'nodes in Neo4j']);
  if (qdrant) found.push([await countCollections(qdrant), 'collections in Qdrant']);
  if (redis) found.push([await countKeys(redis), 'keys in Redis']);
  if (postgres) found.push([await countTables(postgres), 'tables in PostgreSQL']);
  const filled = found.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  if (filled.length === 0) return;
  const names = Object.keys(stores) as (keyof typeof VARIABLES)[];
  const variables = names.map((name) => VARIABLES[name]);
  throw new DemoFailedError(`The stores are not empty: there are ${filled.join(', ')}.`, {
    remedy: `Unset ${variables.slice(0, -1).join(', ')} and ${variables.at(-1)}, so that the demo starts servers of its own.`,
  });
}

async function countNodes({ uri, username, password, database }: Connections['neo4j']): Promise<number> {
  const driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  try {
    const { records } = await driver.executeQuery(
      'MATCH (n) RETURN count(n) AS count',
      {},
      database === undefined ? {} : { database },
    );
    return Number(records[0]?.get('count'));
  } finally {
    await driver.close();
  }
}

async function countCollections(connection: Connections['qdrant']): Promise<number> {
  const answer = await askQdrant(connection, { method: 'GET', path: '/collections' });
  return (JSON.parse(answer) as { result: { collections: unknown[] } }).result.collections.length;
}

async function countKeys(connection: Connections['redis']): Promise<number> {
  const redis = connectRedis(connection);
  try {
    return await redis.dbsize();
  } finally {
    redis.disconnect();
  }
}

/** Of all schemas except those of the server itself. */
async function countTables(address: PostgresAddress): Promise<number> {
  const client = new pg.Client(clientOptions(address));
  await client.connect();
  try {
    const { rows } = await client.query(
      "SELECT count(*)::int AS count FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    );
    return rows[0].count;
  } finally {
    await client.end();
  }
}
