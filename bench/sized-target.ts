/** A knowledge base of the profile ngraf-023 in any size, with realistic proportions, for bench/whole-job.ts. */
import { Redis } from 'ioredis';
import neo4j from 'neo4j-driver';
import { askQdrant } from '../local/knowledge-base/qdrant.ts';
import type { connectionsOf } from './bench-target.ts';

/** Namespace of the graph, as in the parameters of the profile. */
export const NAMESPACE = 'bench';
const LABEL = `GraphRAG_${NAMESPACE}`;

/** Records at scale 1. */
const NODES = 20_000;
const RELATIONSHIPS = 60_000;
const COLLECTIONS = { entities: 12_000, chunks: 8_000 } as const;
const KEYS = 20_000;
const DIMENSIONS = 384;

const GRAPH_BATCH = 2000;
const POINTS_BATCH = 256;
const KEYS_BATCH = 1000;

const WORDS =
  'graph vector store archive entity relation community report chunk index of the a and in with is model query answer document section source weight degree summary finding claim person place event method system data value'.split(
    ' ',
  );

/** Pseudo-random numbers that are the same in every run. */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Text that compresses about as well as prose. */
function prose(random: () => number, words: number): string {
  return Array.from(
    { length: words },
    () => `${WORDS[Math.floor(random() * WORDS.length)]}${random() < 0.2 ? Math.floor(random() * 1000) : ''}`,
  ).join(' ');
}

type Connections = ReturnType<typeof connectionsOf>;

/** Writes the knowledge base into empty stores. */
export async function loadSizedTarget(
  { graph, vectors, kv }: Connections,
  scale: number,
  signal: AbortSignal,
): Promise<void> {
  await Promise.all([
    loadGraph(graph, scale, signal),
    loadVectors(vectors, scale, signal),
    loadKeys(kv, scale, signal),
  ]);
}

function* batches(count: number, size: number): Generator<number[]> {
  for (let at = 0; at < count; at += size) {
    yield Array.from({ length: Math.min(size, count - at) }, (_, index) => at + index);
  }
}

async function loadGraph(
  connection: Connections['graph'],
  scale: number,
  signal: AbortSignal,
): Promise<void> {
  const driver = neo4j.driver(connection.uri, neo4j.auth.basic(connection.username, connection.password));
  const random = randomNumbers(1);
  const nodes = NODES * scale;
  const relationships = RELATIONSHIPS * scale;
  try {
    await driver.executeQuery(
      `CREATE CONSTRAINT bench_id IF NOT EXISTS FOR (n:${LABEL}) REQUIRE n.id IS UNIQUE`,
    );
    await driver.executeQuery('CALL db.awaitIndexes(300)');
    for (const batch of batches(nodes, GRAPH_BATCH)) {
      signal.throwIfAborted();
      const rows = batch.map((index) => ({
        id: `"ENTITY ${index}"`,
        entity_type: '"CONCEPT"',
        description: prose(random, 40),
        source_id: `chunk-${index}<SEP>chunk-${index * 7}`,
        communityIds: [neo4j.int(index % 97)],
      }));
      await driver.executeQuery(`UNWIND $rows AS row CREATE (n:${LABEL}:CONCEPT) SET n = row`, { rows });
    }
    for (const batch of batches(relationships, GRAPH_BATCH)) {
      signal.throwIfAborted();
      const rows = batch.map((index) => ({
        from: `"ENTITY ${(index * 7919) % nodes}"`,
        to: `"ENTITY ${(index * 104_729 + 13) % nodes}"`,
        properties: {
          weight: (index % 10) + 0.5,
          description: prose(random, 12),
          source_id: `chunk-${index}`,
          order: neo4j.int(1),
        },
      }));
      await driver.executeQuery(
        `UNWIND $rows AS row MATCH (a:${LABEL} {id: row.from}) MATCH (b:${LABEL} {id: row.to})
         CREATE (a)-[r:RELATED]->(b) SET r = row.properties`,
        { rows },
      );
    }
  } finally {
    await driver.close();
  }
}

async function loadVectors(
  connection: Connections['vectors'],
  scale: number,
  signal: AbortSignal,
): Promise<void> {
  const random = randomNumbers(2);
  for (const [name, count] of Object.entries(COLLECTIONS)) {
    const body = JSON.stringify({ vectors: { dense: { size: DIMENSIONS, distance: 'Cosine' } } });
    await askQdrant(connection, { method: 'PUT', path: `/collections/${name}`, body, signal });
    for (const batch of batches(count * scale, POINTS_BATCH)) {
      const points = batch.map((index) => ({
        id: index * 2 ** 20 + 7,
        vector: { dense: Array.from({ length: DIMENSIONS }, () => random() - 0.5) },
        payload:
          name === 'entities'
            ? { id: `ent-${index}`, entity_name: `"ENTITY ${index}"`, content: prose(random, 40) }
            : { id: `chunk-${index}`, content: prose(random, 150) },
      }));
      await askQdrant(connection, {
        method: 'PUT',
        path: `/collections/${name}/points?wait=true`,
        body: JSON.stringify({ points }),
        signal,
      });
    }
  }
}

async function loadKeys(connection: Connections['kv'], scale: number, signal: AbortSignal): Promise<void> {
  const redis = new Redis(connection.url, { password: connection.password });
  const random = randomNumbers(3);
  const namespaces = ['text_chunks', 'text_chunks', 'llm_response_cache', 'community_reports', 'full_docs'];
  try {
    for (const batch of batches(KEYS * scale, KEYS_BATCH)) {
      signal.throwIfAborted();
      const pipeline = redis.pipeline();
      for (const index of batch) {
        const namespace = namespaces[index % namespaces.length] ?? '';
        const value = JSON.stringify({ tokens: index, content: prose(random, 120), chunk_order_index: 0 });
        pipeline.set(`nano_graphrag:${namespace}:chunk-${index}`, value);
      }
      for (const [error] of (await pipeline.exec()) ?? []) if (error) throw error;
    }
  } finally {
    redis.disconnect();
  }
}
