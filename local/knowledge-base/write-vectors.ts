import { NgbakError } from '../../shared/errors.ts';
import { asyncBatches } from './batches.ts';
import type { Blueprint } from './blueprint.ts';
import { chunkPoints, entityPoints, type PointRecord } from './copies.ts';
import { DIMENSIONS } from './embedding.ts';
import type { Layout } from './layout.ts';

/** Points in one request: about 1.5 MB of JSON. */
const BATCH = 256;

export interface QdrantConnection {
  readonly url: string;
  readonly api_key?: string | undefined;
}

/** Writes both collections, created as the fork creates them: `dense` with cosine distance, `sparse`, `sparse_name`. */
export async function writeVectors(
  connection: QdrantConnection,
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
      await request(
        connection,
        'PUT',
        path,
        `{"points":[${batch.map(pointJson).join(',')}]}`,
        options.signal,
      );
      options.report('points', batch.length);
    }
  }
}

async function createCollection(
  connection: QdrantConnection,
  name: string,
  sparse: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const path = `/collections/${encodeURIComponent(name)}`;
  const { exists } = (await request(connection, 'GET', `${path}/exists`, undefined, signal)) as {
    exists: boolean;
  };
  if (exists) return;
  const body = {
    vectors: { dense: { size: DIMENSIONS, distance: 'Cosine' } },
    sparse_vectors: Object.fromEntries(sparse.map((field) => [field, {}])),
  };
  await request(connection, 'PUT', path, JSON.stringify(body), signal);
}

/** Written by hand: JSON.stringify has no way to say an integer beyond 2^53. */
function pointJson(point: PointRecord): string {
  const vector = { dense: Array.from(point.dense), ...point.sparse };
  return `{"id":${point.id},"vector":${JSON.stringify(vector)},"payload":${JSON.stringify(point.payload)}}`;
}

async function request(
  connection: QdrantConnection,
  method: string,
  path: string,
  body: string | undefined,
  signal: AbortSignal,
): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (connection.api_key !== undefined) headers['api-key'] = connection.api_key;
  const answer = await fetch(new URL(path, connection.url), {
    method,
    headers,
    signal,
    ...(body === undefined ? {} : { body }),
  });
  const text = await answer.text();
  if (answer.ok) return (JSON.parse(text) as { result: unknown }).result;
  throw new NgbakError(`Qdrant answered ${answer.status} to ${method} ${path}: ${text.slice(0, 300)}`, {
    remedy: 'See the log of the Qdrant server.',
  });
}
