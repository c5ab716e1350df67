import { ngraf023Layout } from '../../knowledge-base/layout.ts';
import { type Connections, type LoadProgress, loadKnowledgeBase } from '../../knowledge-base/load.ts';
import { readEverything } from '../../proof/proof.ts';
import type { Stack } from '../../stack.ts';
import { damageEverything } from '../damage.ts';
import { refuseFilledStores } from '../empty.ts';
import { alignColumns, bar, formatCount } from '../screen.ts';
import { startServers } from '../start-servers.ts';
import { type DemoSystem, type LoadOptions, NAMESPACE, type RunningSystem } from '../system.ts';

/** The nano-graphrag fork of ticket NGRAF-023, whose label is `GraphRAG_demo`. */
export const ngraf023: DemoSystem = {
  servers: ['Neo4j', 'Qdrant', 'Redis'],
  proves: 'node, relationship, property, vector, payload, key, value, expiry time, constraint and index',
  async start(options): Promise<RunningSystem> {
    const stack = await startServers(['neo4j', 'qdrant', 'redis', 'aws'], options);
    const connections = connectionsOf(stack);
    const layout = ngraf023Layout(NAMESPACE);
    return {
      stack,
      target: {
        profile: 'ngraf-023',
        parameters: { namespace: NAMESPACE },
        stores: { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } },
      },
      secrets: { graph: connections.neo4j, vectors: connections.qdrant, kv: connections.redis },
      refuseFilled: () => refuseFilledStores(connections),
      load: (step) => load(connections, step),
      damage: () => damageEverything(connections, layout),
      read: (folder) => readEverything(connections, { folder }),
    };
  },
};

/** The connections of a stack's stores, field by field: the adapters reject secrets with additional fields. */
function connectionsOf({ neo4j, qdrant, redis }: Stack<'neo4j' | 'qdrant' | 'redis'>): Connections {
  return {
    neo4j: { uri: neo4j.uri, username: neo4j.username, password: neo4j.password },
    qdrant: { url: qdrant.url, api_key: qdrant.apiKey },
    redis: { url: redis.url, password: redis.password },
  };
}

async function load(connections: Connections, { scale, signal, view, blueprint }: LoadOptions) {
  const units = new Map<string, LoadProgress>();
  const counts = await loadKnowledgeBase({
    ...connections,
    namespace: NAMESPACE,
    scale,
    signal,
    ...(blueprint === undefined ? {} : { blueprint }),
    onProgress: (progress) => {
      units.set(progress.unit, progress);
      const rows = [...units.values()].map((one) => [
        one.store,
        bar(one.done, one.total),
        `${formatCount(one.done)} ${one.unit}`,
      ]);
      view.live(alignColumns(rows, 3));
    },
  });
  const { documents, chunks, entities, relationships, points, keys } = counts;
  view.line(
    `${formatCount(documents)} READMEs in ${formatCount(chunks)} chunks, stored as the NGRAF-023 fork does:`,
  );
  view.line(`Neo4j   ${formatCount(entities)} nodes, ${formatCount(relationships)} relationships`);
  view.line(`Qdrant  ${formatCount(points)} points with dense and sparse vectors`);
  view.line(`Redis   ${formatCount(keys)} keys`);
  return counts;
}
