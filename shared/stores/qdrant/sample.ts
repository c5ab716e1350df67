import { MultisetDigest } from '../../core/digest.ts';
import type { QdrantClient } from './client.ts';
import type { ReadOptions } from './collections.ts';
import { AnswerTooLargeError, QdrantNotFoundError, QdrantRefusedError } from './errors.ts';
import { runsOf } from './limits.ts';
import { collectionPath } from './paths.ts';
import { readPointBytes } from './point-bytes.ts';
import { scrollIds } from './points.ts';

/**
 * Number of points in a sample, regardless of the collection's size. Their IDs are stored in the cursor of an export.
 */
const SAMPLE_POINTS = 50;

/** IDs of points (JSON texts), and a digest of all of them. */
export interface Sample {
  readonly ids: readonly string[];
  readonly digest: string;
}

/**
 * JSON texts of the IDs of points that the server chooses at random; the first points if its version (1.10) does not
 * support random sampling.
 */
export async function chooseSample(
  client: QdrantClient,
  collection: string,
  { limit, agreement, signal }: ReadOptions,
): Promise<string[]> {
  const size = Math.min(SAMPLE_POINTS, limit);
  try {
    const answer = await client.text('POST', collectionPath(collection, `/points/query${agreement}`), {
      body: `{"query":{"sample":"random"},"limit":${size},"with_payload":false,"with_vector":false}`,
      signal,
    });
    // Not parsed as JSON, which would round 64-bit IDs. The response contains only IDs.
    return [...answer.matchAll(/"id":(\d+|"[0-9a-f-]{36}")/g)].map(([, id = '']) => id);
  } catch (error) {
    if (!(error instanceof QdrantRefusedError || error instanceof QdrantNotFoundError)) throw error;
  }
  for await (const ids of scrollIds(client, collection, { filter: undefined, limit: size, signal })) {
    return [...ids];
  }
  return [];
}

/** Digest of the existing points among those with these IDs. */
export async function digestSample(
  client: QdrantClient,
  collection: string,
  ids: readonly string[],
  options: ReadOptions,
): Promise<string> {
  const digest = new MultisetDigest();
  const read = async (run: readonly string[]): Promise<void> => {
    let answer: Buffer;
    try {
      answer = await client.answer('POST', collectionPath(collection, `/points${options.agreement}`), {
        body: `{"ids":[${run.join(',')}],"with_payload":true,"with_vector":true}`,
        signal: options.signal,
      });
    } catch (error) {
      if (!(error instanceof AnswerTooLargeError) || run.length === 1) throw error;
      for (const half of runsOf(run, Math.ceil(run.length / 2))) await read(half);
      return;
    }
    for (const point of readPointBytes(answer).points) digest.add(point);
  };
  for (const run of runsOf(ids, options.limit)) await read(run);
  return digest.hex();
}
