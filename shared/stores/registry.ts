import { InvalidInputError } from '../core/errors.ts';
import { isServed, roleOf, type StoreName } from '../core/store-names.ts';
import { configAdapter } from './config/adapter.ts';
import { filesAdapter } from './files/adapter.ts';
import { namedAdapter } from './named-adapter.ts';
import { neo4jAdapter } from './neo4j/adapter.ts';
import { postgresAdapter } from './postgres/adapter.ts';
import { qdrantAdapter } from './qdrant/adapter.ts';
import { redisAdapter } from './redis/adapter.ts';
import type { StoreAdapter } from './store.ts';

/** Every backend that ngbak knows. A new backend is one folder and one line here. */
export const ADAPTERS: readonly StoreAdapter[] = [
  neo4jAdapter,
  qdrantAdapter,
  redisAdapter,
  filesAdapter,
  postgresAdapter,
  configAdapter,
];

/** The adapter of a kind for a store. Undefined if there is none. */
export function adapterOf(
  kind: string | undefined,
  name: StoreName,
  adapters: readonly StoreAdapter[] = ADAPTERS,
): StoreAdapter | undefined {
  const adapter = adapters.find(({ facts }) => facts.kind === kind && facts.name === roleOf(name));
  return adapter && isServed(name) ? namedAdapter(adapter, name) : adapter;
}

/**
 * Returns the adapter of a kind for a store. Throws InvalidInputError, listing the kinds that the store can have.
 *
 * @param kind as in the configuration: `neo4j`, `qdrant`, `redis`, `files`, `postgres`
 * @param name the store that it serves
 */
export function findAdapter(kind: string, name: StoreName): StoreAdapter {
  const adapter = adapterOf(kind, name);
  if (adapter) return adapter;
  const kinds = ADAPTERS.filter((candidate) => candidate.name === roleOf(name)).map(({ kind }) => kind);
  throw new InvalidInputError(`There is no adapter "${kind}" for the store "${name}".`, {
    remedy: `Set "kind" of that store to ${kinds.map((known) => `"${known}"`).join(' or ')} in cdk.json, and deploy.`,
  });
}
