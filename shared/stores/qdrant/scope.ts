import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { QdrantClient } from './client.ts';
import { type Alias, listAliases, listCollections } from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { isScratch, isTemporary } from './names.ts';

/** The collections in a scope that currently exist on the server. */
export interface ScopedCollections {
  /** Real names, sorted, with aliases resolved. Temporary collections of restores and drills are left out. */
  readonly names: readonly string[];
  /** Names in the scope that are neither a collection nor an alias on the server. */
  readonly missing: readonly string[];
  /** All aliases on the server. */
  readonly aliases: readonly Alias[];
}

/** Finds the collections in the scope. */
export async function findCollections(
  client: QdrantClient,
  scope: QdrantScope,
  signal: AbortSignal,
): Promise<ScopedCollections> {
  const [all, aliases] = await Promise.all([listCollections(client, signal), listAliases(client, signal)]);
  const present = new Set(all.filter((name) => !isTemporary(name)));
  if (!scope.collections) {
    return { names: [...present].filter((name) => !isScratch(name)).sort(), missing: [], aliases };
  }
  const names = new Set<string>();
  const missing: string[] = [];
  for (const wanted of scope.collections) {
    const real = present.has(wanted) ? wanted : aliases.find(({ alias }) => alias === wanted)?.collection;
    if (real === undefined) missing.push(wanted);
    else names.add(real);
  }
  return { names: [...names].sort(), missing, aliases };
}

/** Selects some collections of a scope: see `StoreAdapter.narrow`. */
export function narrowVectors(scope: QdrantScope, { collections }: Subset): QdrantScope {
  if (collections === undefined) return scope;
  const unknown = collections.find((name) => scope.collections?.includes(name) === false);
  if (unknown === undefined) return { ...scope, collections };
  throw new InvalidInputError(`The target's scope has no collection "${unknown}".`, {
    remedy: `Choose from: ${scope.collections?.join(', ')}.`,
  });
}

/** Describes the scope, for messages. */
export function describeScope({ collections, filter }: QdrantScope): string {
  const which = collections ? `collections ${collections.join(', ')}` : 'all collections';
  return filter ? `${which} where ${filter.key} is ${JSON.stringify(filter.value)}` : which;
}
