import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Stack } from '../local/stack.ts';

const KINDS = { graph: 'neo4j', vectors: 'qdrant', kv: 'redis' } as const;
type Store = keyof typeof KINDS;
export const STORES = Object.keys(KINDS) as Store[];

/** The connections of a local stack's stores, in the format of the adapters' secrets. */
export function connectionsOf(stack: Stack) {
  return {
    graph: stack.neo4j,
    vectors: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
    kv: { url: stack.redis.url, password: stack.redis.password },
  };
}

/**
 * Creates the secrets of a local stack's stores, and returns the stores of a target as configured.
 *
 * @param scopes  by store; if omitted: the profile's
 */
export async function makeStores(stack: Stack, scopes: Partial<Record<Store, object>> = {}) {
  const client = new SecretsManagerClient({});
  const connections = connectionsOf(stack);
  for (const store of STORES) {
    const secret = { Name: `bench-${store}`, SecretString: JSON.stringify(connections[store]) };
    await client.send(new CreateSecretCommand(secret));
  }
  return Object.fromEntries(
    STORES.map((store) => {
      const scope = scopes[store];
      return [
        store,
        { kind: KINDS[store], secret: `bench-${store}`, ...(scope === undefined ? {} : { scope }) },
      ];
    }),
  );
}
