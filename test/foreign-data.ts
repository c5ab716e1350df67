import { join } from 'node:path';
import { refuseFilledStores } from '../local/demo/empty.ts';
import { DemoFailedError } from '../local/demo/follow.ts';
import { LocalStackError } from '../local/errors.ts';
import { stacksFolder } from '../local/folders.ts';
import type { Addresses } from '../local/services/service.ts';
import { readState, stackNames } from '../local/state.ts';

/** Set to 1, it allows the tests to run on servers that hold data, and to delete all of it. */
const OVERWRITE = 'NGBAK_TEST_OVERWRITE';

/**
 * Refuses stores that hold anything: the tests clear whole databases, and NEO4J_URI in the environment may point to a
 * real knowledge base. Servers of this checkout's own local stacks are accepted. Throws LocalStackError.
 */
export async function refuseForeignData(
  stores: Pick<Addresses, 'neo4j' | 'qdrant' | 'redis'>,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<void> {
  const own = await ownAddresses(environment);
  const foreign = ![stores.neo4j.uri, stores.qdrant.url, stores.redis.url].every((address) =>
    own.has(address),
  );
  if (!foreign || environment[OVERWRITE] === '1') return;
  try {
    await refuseFilledStores({
      neo4j: stores.neo4j,
      qdrant: { url: stores.qdrant.url, api_key: stores.qdrant.apiKey },
      redis: stores.redis,
    });
  } catch (error) {
    if (!(error instanceof DemoFailedError)) throw error;
    throw new LocalStackError(`The tests would delete what is there. ${error.message}`, {
      remedy: `Unset NEO4J_URI, QDRANT_URL and REDIS_URL to have servers started; or set ${OVERWRITE}=1 if all may go.`,
    });
  }
}

/** The addresses of all servers that this checkout has started. */
async function ownAddresses(environment: NodeJS.ProcessEnv): Promise<Set<string>> {
  const own = new Set<string>();
  for (const name of await stackNames(environment)) {
    const { neo4j, qdrant, redis } =
      (await readState(join(stacksFolder(environment), name)))?.addresses ?? {};
    for (const address of [neo4j?.uri, qdrant?.url, redis?.url]) if (address !== undefined) own.add(address);
  }
  return own;
}
