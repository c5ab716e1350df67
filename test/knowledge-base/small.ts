import { randomBytes } from 'node:crypto';
import neo4j from 'neo4j-driver';
import { type Blueprint, drawBlueprint } from '../../local/knowledge-base/blueprint.ts';
import type { Layout } from '../../local/knowledge-base/layout.ts';
import { type Connections, connectRedis } from '../../local/knowledge-base/load.ts';
import { type InstalledPackage, readInstalledPackages } from '../../local/knowledge-base/packages.ts';
import { askQdrant } from '../../local/knowledge-base/qdrant.ts';

/** The first packages of this checkout: a knowledge base of a few hundred records. */
export async function* firstPackages(count: number): AsyncGenerator<InstalledPackage> {
  for await (const one of readInstalledPackages()) {
    if (count-- <= 0) return;
    yield one;
  }
}

export function smallBlueprint(packages = 40): Promise<Blueprint> {
  return drawBlueprint(firstPackages(packages));
}

/** Names that no other test uses on the shared servers. */
export function ownLayout(): Layout {
  const own = `kb${randomBytes(4).toString('hex')}`;
  return {
    label: `GraphRAG_${own}`,
    collections: { entities: `${own}_entities`, chunks: `${own}_chunks` },
    keyPrefix: own,
  };
}

/** Removes a knowledge base in any state, and nothing else from the servers. */
export async function removeKnowledgeBase(connections: Connections, layout: Layout): Promise<void> {
  const { uri, username, password } = connections.neo4j;
  const driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
  await driver.executeQuery(`MATCH (n:\`${layout.label}\`) DETACH DELETE n`);
  await driver.executeQuery(`DROP CONSTRAINT \`${layout.label}_id\` IF EXISTS`);
  await driver.close();
  for (const name of Object.values(layout.collections)) {
    await askQdrant(connections.qdrant, { method: 'DELETE', path: `/collections/${name}` });
  }
  const redis = connectRedis(connections.redis);
  for await (const keys of redis.scanBufferStream({ match: `${layout.keyPrefix}:*`, count: 500 })) {
    if (keys.length > 0) await redis.del(keys);
  }
  redis.disconnect();
}
