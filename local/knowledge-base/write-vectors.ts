import { asyncBatches } from './batches.ts';
import type { Blueprint } from './blueprint.ts';
import { chunkPoints, entityPoints, type PointRecord } from './copies.ts';
import { DIMENSIONS } from './embedding.ts';
import type { Layout } from './layout.ts';
import { askQdrant, type QdrantEndpoint } from './qdrant.ts';

/** Points in one request: about 1.5 MB of JSON. */
const BATCH = 256;

/** Writes both collections with the fork's schema: `dense` with cosine distance, `sparse`, `sparse_name`. */
export async function writeVectors(
  connection: QdrantEndpoint,
  blueprint: Blueprint,
  options: {
    scale: number;
    layout: Layout;
    report: (unit: string, written: number) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  const { entities, chunks } = options.layout.collections;
  const collections = [
    { name: entities, sparse: ['sparse', 'sparse_name'], points: entityPoints(blueprint, options.scale) },
    { name: chunks, sparse: ['sparse'], points: chunkPoints(blueprint, options.scale) },
  ];
  for (const { name, sparse, points } of collections) {
    await createCollection(connection, name, sparse, options.signal);
    for await (const batch of asyncBatches(points, BATCH)) {
      const path = `/collections/${encodeURIComponent(name)}/points?wait=true`;
      const body = `{"points":[${batch.map(pointJson).join(',')}]}`;
      await askQdrant(connection, { method: 'PUT', path, body, signal: options.signal });
      options.report('points', batch.length);
    }
  }
}

async function createCollection(
  connection: QdrantEndpoint,
  name: string,
  sparse: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const path = `/collections/${encodeURIComponent(name)}`;
  const answer = await askQdrant(connection, { method: 'GET', path: `${path}/exists`, signal });
  if ((JSON.parse(answer) as { result: { exists: boolean } }).result.exists) return;
  const body = {
    vectors: { dense: { size: DIMENSIONS, distance: 'Cosine' } },
    sparse_vectors: Object.fromEntries(sparse.map((field) => [field, {}])),
  };
  await askQdrant(connection, { method: 'PUT', path, body: JSON.stringify(body), signal });
}

/** Serialized manually: JSON.stringify can't write integers beyond 2^53. */
function pointJson(point: PointRecord): string {
  const vector = { dense: Array.from(point.dense), ...point.sparse };
  return `{"id":${point.id},"vector":${JSON.stringify(vector)},"payload":${JSON.stringify(point.payload)}}`;
}
