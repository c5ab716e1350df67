import { MultisetDigest, type Tally } from '../../core/digest.ts';
import { InvalidInputError } from '../../core/errors.ts';
import type { LoadOptions } from '../restore-leg.ts';
import type { QdrantClient } from './client.ts';
import { type RequestLimits, runsOf } from './limits.ts';
import { collectionPath } from './paths.ts';
import { CompactJson, type PointText, readPoint } from './point-text.ts';
import { countMatching, filterJson, type PointFilter } from './points.ts';

/** Maximum size of a request in characters. Qdrant accepts 32 MiB by default (`service.max_request_size_mb`). */
const BATCH_CHARACTERS = 2 * 1024 ** 2;
/** Maximum number of points in a request. */
const BATCH_POINTS = 2000;
/** Number of concurrent requests: one is sent while the server processes the other. */
const REQUESTS = 2;

export interface UpsertOptions {
  readonly options: LoadOptions;
  /** The only part of the collection that may be written to; null for all of it. */
  readonly filter: PointFilter | null;
  /** What the collection's strict mode allows per request. */
  readonly limits: RequestLimits;
  /** Further query parameters of the request: see `writeOrder`. */
  readonly order: string;
  readonly signal: AbortSignal;
}

/**
 * Writes points into a collection and returns their tally. Idempotent. Throws InvalidInputError if a point's ID already
 * belongs to a point outside of the filter, or to one with different content and the options are `fail`.
 */
export async function writePoints(
  client: QdrantClient,
  collection: string,
  points: AsyncIterable<PointText>,
  { options, filter, limits, order, signal }: UpsertOptions,
): Promise<Tally> {
  const digest = new MultisetDigest();
  let count = 0;
  const running: Promise<void>[] = [];
  const write = async (batch: readonly PointText[]) => {
    if (filter) await refuseForeignIds(client, collection, batch, { filter, limits, signal });
    const wanted =
      options.mode === 'merge'
        ? await withoutKept(client, collection, batch, { options, limits, signal })
        : batch;
    if (wanted.length === 0) return;
    const body = `{"points":[${wanted.map(({ raw }) => raw).join(',')}]}`;
    await client.call('PUT', collectionPath(collection, `/points?wait=true${order}`), { body, signal });
  };
  try {
    for await (const batch of batches(points, Math.min(BATCH_POINTS, limits.write))) {
      for (const point of batch) digest.add(point.canonical);
      count += batch.length;
      const request = write(batch);
      // Awaited below, in order. Until then, a failure must not become an unhandled rejection.
      request.catch(() => undefined);
      running.push(request);
      if (running.length >= REQUESTS) await running.shift();
    }
    while (running.length > 0) await running.shift();
  } finally {
    // After a failure, no request of this leg may still be writing when the next leg starts.
    await Promise.allSettled(running);
  }
  return { count, digest: digest.hex() };
}

async function* batches(points: AsyncIterable<PointText>, most: number): AsyncGenerator<PointText[]> {
  let batch: PointText[] = [];
  let characters = 0;
  for await (const point of points) {
    if (batch.length === most || (batch.length > 0 && characters + point.raw.length > BATCH_CHARACTERS)) {
      yield batch;
      batch = [];
      characters = 0;
    }
    batch.push(point);
    characters += point.raw.length;
  }
  if (batch.length > 0) yield batch;
}

/**
 * Rejects IDs of points outside of the filter. IDs are shared by the whole collection, and those points must not be
 * overwritten.
 */
async function refuseForeignIds(
  client: QdrantClient,
  collection: string,
  batch: readonly PointText[],
  { filter, limits, signal }: { filter: PointFilter; limits: RequestLimits; signal: AbortSignal },
): Promise<void> {
  let taken = 0;
  for (const run of runsOf(batch, limits.condition)) {
    const ids = run.map(({ id }) => id).join(',');
    const foreign = `{"must":[{"has_id":[${ids}]}],"must_not":[${filterJson(filter)}]}`;
    taken += await countMatching(client, collection, foreign, signal);
  }
  if (taken === 0) return;
  throw new InvalidInputError(
    `${taken} points of the archive have ids that other parts of collection "${collection}" use, outside of ${filter.key} ${JSON.stringify(filter.value)}.`,
    {
      remedy: 'Restore into a separate collection: IDs must be unique in a shared collection.',
    },
  );
}

async function withoutKept(
  client: QdrantClient,
  collection: string,
  batch: readonly PointText[],
  {
    options: { onConflict },
    limits,
    signal,
  }: { options: LoadOptions; limits: RequestLimits; signal: AbortSignal },
): Promise<readonly PointText[]> {
  if (onConflict === 'overwrite') return batch;
  const present = await retrieve(
    client,
    collection,
    batch.map(({ id }) => id),
    { limit: limits.read, signal },
  );
  if (onConflict === 'fail') {
    const other = batch.find(
      ({ id, canonical }) => present.has(id) && present.get(id)?.canonical !== canonical,
    );
    if (other) {
      throw new InvalidInputError(
        `Point ${other.id} of collection "${collection}" exists with different content.`,
        {
          remedy: 'Restore with "on_conflict" keep or overwrite, or with mode replace.',
        },
      );
    }
  }
  return batch.filter(({ id }) => !present.has(id));
}

/** Retrieves the existing points among those with these IDs, by ID. */
export async function retrieve(
  client: QdrantClient,
  collection: string,
  ids: readonly string[],
  { limit, signal }: { limit: number; signal: AbortSignal },
): Promise<Map<string, PointText>> {
  const found = new Map<string, PointText>();
  for (const run of runsOf(ids, limit)) {
    for (const point of await retrieveRun(client, collection, run, signal)) found.set(point.id, point);
  }
  return found;
}

async function retrieveRun(
  client: QdrantClient,
  collection: string,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<PointText[]> {
  const text = await client.text('POST', collectionPath(collection, '/points'), {
    body: `{"ids":[${ids.join(',')}],"with_payload":true,"with_vector":true}`,
    signal,
  });
  const found: PointText[] = [];
  const json = new CompactJson(text);
  json.eachMember(0, (key) => {
    if (key !== '"result"') {
      json.value();
      return;
    }
    json.eachElement(() => found.push(readPoint(json)));
  });
  return found;
}
