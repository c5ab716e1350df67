import { createHash } from 'node:crypto';
import type { EntryReader } from '../../archive/format/types.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { Place, Route, Scratch } from '../route.ts';
import { removeTemporary } from './clear.ts';
import type { QdrantClient } from './client.ts';
import { dropCollection, listCollections } from './collections.ts';
import { readCollections } from './config-entry.ts';
import type { QdrantConnection, QdrantScope } from './connection.ts';
import { isScratch, SCRATCH, temporaryPrefix } from './names.ts';
import { VectorsQuestion } from './smoke.ts';
import { routeCollections } from './view.ts';

/** Scratch names of vectors: separate collections, which only belong to scopes that name them. */
export const vectorsScratch: Scratch<QdrantScope> = {
  async route(
    archive: EntryReader,
    saved: QdrantScope | undefined,
    target: QdrantScope,
    id: string,
  ): Promise<Route<QdrantScope>> {
    const archived = await readCollections(archive);
    const collections = Object.fromEntries(archived.map(({ name }) => [name, scratchName(name, id)]));
    const request = { only: {}, rename: { collections }, sameProfile: true };
    // Only named collections: the target's own ones, which the archive may lack, must not be in the scope.
    const { collections: _, ...rest } = target;
    const route = await routeCollections(archive, saved, rest, request);
    const names = Object.values(collections);
    return {
      ...route,
      scope: { ...target, collections: names.length > 0 ? names : [scratchName('', id)] },
    };
  },

  question(question: unknown, _target: QdrantScope, { names }: Route<QdrantScope>): unknown {
    const parsed = VectorsQuestion.parse(question);
    const collection = Object.hasOwn(names, parsed.collection) ? names[parsed.collection] : undefined;
    return collection === undefined ? undefined : { ...parsed, collection };
  },
};

function scratchName(collection: string, id: string): string {
  const hash = createHash('sha256').update(collection).digest('hex').slice(0, 16);
  return `${SCRATCH}${id}.${hash}`;
}

/** Whether a point could belong to both scopes. Collections with scratch names belong only to scopes that name them. */
export function vectorsOverlap(
  one: Place<QdrantConnection, QdrantScope>,
  other: Place<QdrantConnection, QdrantScope>,
): boolean {
  if (addressOf(one.connection) !== addressOf(other.connection)) return false;
  const [left, right] = [one.scope.collections, other.scope.collections];
  if (left === undefined) return right === undefined || right.some((name) => !isScratch(name));
  if (right === undefined) return left.some((name) => !isScratch(name));
  const shared = left.some((name) => right.includes(name));
  const [a, b] = [one.scope.filter, other.scope.filter];
  // Different values of the same field select disjoint sets of points.
  return shared && !(a && b && a.key === b.key && a.value !== b.value);
}

function addressOf({ url }: QdrantConnection): string {
  const { hostname, port, pathname, protocol } = new URL(url);
  return `${hostname.toLowerCase()}:${port || (protocol === 'https:' ? 443 : 80)}${pathname.replace(/\/+$/, '')}`;
}

/** The collections in the scope, and the temporary collections of this job. */
export async function occupiedCollections(
  client: QdrantClient,
  { collections }: QdrantScope,
  { jobId, signal }: LegContext,
): Promise<readonly string[]> {
  const temporary = temporaryPrefix(jobId);
  const all = await listCollections(client, signal);
  return all
    .filter((name) =>
      collections === undefined ? !isScratch(name) : collections.includes(name) || name.startsWith(temporary),
    )
    .map((name) => `collection "${name}"`);
}

/** Removes them. */
export async function removeCollections(
  client: QdrantClient,
  { collections }: QdrantScope,
  context: LegContext,
): Promise<LegResult> {
  await removeTemporary(client, context);
  for (const name of await listCollections(client, context.signal)) {
    if (collections === undefined ? isScratch(name) : !collections.includes(name)) continue;
    await dropCollection(client, name, context.signal);
    if (context.timeLeft() <= 0) return { cursor: { removing: true }, tallies: {} };
  }
  return DONE;
}
