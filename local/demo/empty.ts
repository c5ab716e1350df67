import neo4j from 'neo4j-driver';
import { type Connections, connectRedis } from '../knowledge-base/load.ts';
import { askQdrant } from '../knowledge-base/qdrant.ts';
import { DemoFailedError } from './follow.ts';

/**
 * The demo destroys the data in the stores, and an address in the environment may belong to a store in use. Throws
 * DemoFailedError unless all three stores are empty.
 */
export async function refuseFilledStores(connections: Connections): Promise<void> {
  const found = [
    [await countNodes(connections.neo4j), 'nodes in Neo4j'],
    [await countCollections(connections.qdrant), 'collections in Qdrant'],
    [await countKeys(connections.redis), 'keys in Redis'],
  ] as const;
  const filled = found.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
  if (filled.length === 0) return;
  throw new DemoFailedError(`The stores are not empty: there are ${filled.join(', ')}.`, {
    remedy: 'Unset NEO4J_URI, QDRANT_URL and REDIS_URL, so that the demo starts servers of its own.',
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
