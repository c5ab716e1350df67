import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { RestoreLeg } from '../restore-leg.ts';
import type { QdrantClient } from './client.ts';
import { dropCollection, limitsOf, listCollections, readCollection } from './collections.ts';
import { readCollections } from './config-entry.ts';
import type { QdrantScope } from './connection.ts';
import { runsOf } from './limits.ts';
import { temporaryPrefix, uploadName } from './names.ts';
import { collectionPath } from './paths.ts';
import { countPoints, filterJson, type PointFilter, scrollIds } from './points.ts';
import { findCollections } from './scope.ts';
import { listSnapshots, removeSnapshot, removeSnapshots } from './snapshots.ts';

/** Number of points looked up for deletion per request, if the collection sets no limit. */
const DELETE_POINTS = 10_000;

/**
 * Makes room for the archive. Collections in the scope that the archive lacks are removed; the others stay in use until
 * the load replaces them atomically. If the scope has a filter, its points are deleted in bounded batches.
 */
export async function clearQdrant(
  client: QdrantClient,
  scope: QdrantScope,
  { archive, options, context }: RestoreLeg,
): Promise<LegResult> {
  if (options.mode === 'merge') return DONE;
  const { signal } = context;
  const { names } = await findCollections(client, scope, signal);
  if (scope.filter) {
    for (const name of names) {
      if (!(await clearPoints(client, name, scope.filter, context))) return { cursor: {}, tallies: {} };
    }
    return DONE;
  }
  const kept = new Set((await readCollections(archive)).map(({ name }) => name));
  for (const name of names) {
    if (kept.has(name)) continue;
    context.log('Removing a collection that the archive does not hold.', { collection: name });
    await dropCollection(client, name, signal);
    if (context.timeLeft() <= 0) return { cursor: {}, tallies: {} };
  }
  return DONE;
}

/** Returns true once no point matches the filter, and false if the time ran out before. */
async function clearPoints(
  client: QdrantClient,
  name: string,
  filter: PointFilter,
  { signal, timeLeft, progress }: LegContext,
): Promise<boolean> {
  const state = await readCollection(client, name, signal);
  if (!state) return true;
  const { read, condition } = limitsOf(state.view);
  const pages = scrollIds(client, name, {
    filter: filterJson(filter),
    limit: Math.min(read, DELETE_POINTS),
    signal,
  });
  let deleted = 0;
  for await (const page of pages) {
    for (const ids of runsOf(page, condition)) {
      // Both conditions, so that a point that was meanwhile rewritten outside of the filter is not deleted.
      const body = `{"filter":{"must":[{"has_id":[${ids.join(',')}]},${filterJson(filter)}]}}`;
      await client.call('POST', collectionPath(name, '/points/delete?wait=true'), { body, signal });
      deleted += ids.length;
      progress(`deleted:${name}`, deleted);
    }
    if (timeLeft() <= 0) return false;
  }
  return (await countPoints(client, name, filter, signal)) === 0;
}

/** Removes all temporary snapshots and collections of this job. Idempotent. */
export async function removeTemporary(client: QdrantClient, context: LegContext): Promise<void> {
  await removeSnapshots(client, context);
  const prefix = temporaryPrefix(context.jobId);
  const upload = uploadName(context.jobId);
  for (const name of await listCollections(client, context.signal)) {
    const snapshots = await listSnapshots(client, name, context.signal);
    if (snapshots.some((snapshot) => snapshot.name === upload)) {
      await removeSnapshot(client, name, upload, context.signal);
    }
    if (name.startsWith(prefix)) await dropCollection(client, name, context.signal);
  }
}
