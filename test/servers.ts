import { explicitAddress } from '../local/services/explicit.ts';
import type { Addresses, ServiceName } from '../local/services/service.ts';

function address<S extends ServiceName>(service: S, variable: string): Addresses[S] {
  const found = explicitAddress(service, process.env);
  if (found) return found;
  throw new Error(
    `${variable} is not set. Run the tests by \`npm test -- <jest arguments>\`, which starts the servers; or set it yourself.`,
  );
}

/**
 * The real servers of the tests, from the environment that test/run.ts sets. All test files share them: use unique
 * names. Reading the address of a missing server throws an error that explains how to get one.
 */
export const servers = {
  get neo4j() {
    return address('neo4j', 'NEO4J_URI');
  },
  get qdrant() {
    return address('qdrant', 'QDRANT_URL');
  },
  get redis() {
    return address('redis', 'REDIS_URL');
  },
  get aws() {
    return address('aws', 'AWS_ENDPOINT_URL');
  },
};
