import { InvalidInputError } from '../../core/errors.ts';
import type { Subset } from '../../core/subset.ts';
import type { QdrantClient } from './client.ts';
import { type Alias, listAliases, listCollections } from './collections.ts';
import type { QdrantScope } from './connection.ts';
import { isScratch, isTemporary } from './names.ts';

/** The collections of a scope, as they are on the server now. */
export interface ScopedCollections {
  /** Real names, sorted; aliases are followed. Collections that a restore or drill of ours is building are left out. */
  readonly names: readonly string[];
  /** What the scope names and the server has not, neither as collection nor as alias. */
  readonly missing: readonly string[];
  /** All aliases of the server. */
  readonly aliases: readonly Alias[];
}

/** Finds the collections that belong to the scope. */
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

/** Some collections of a scope: see `StoreAdapter.narrow`. */
export function narrowVectors(scope: QdrantScope, { collections }: Subset): QdrantScope {
  if (collections === undefined) return scope;
  const unknown = collections.find((name) => scope.collections?.includes(name) === false);
  if (unknown === undefined) return { ...scope, collections };
  throw new InvalidInputError(`The target's scope has no collection "${unknown}".`, {
    remedy: `Choose from: ${scope.collections?.join(', ')}.`,
  });
}

/** The scope in words, for messages. */
export function describeScope({ collections, filter }: QdrantScope): string {
  const which = collections ? `collections ${collections.join(', ')}` : 'all collections';
  return filter ? `${which} where ${filter.key} is ${JSON.stringify(filter.value)}` : which;
}
