import { explicitAddress } from '../local/services/explicit.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { type FoundNames, type Proposal, proposeProfile } from '../shared/profiles/propose.ts';
import { warningText } from '../shared/stores/describe-warning.ts';
import { filesAdapter } from '../shared/stores/files/adapter.ts';
import type { LegContext } from '../shared/stores/leg.ts';
import { neo4jAdapter } from '../shared/stores/neo4j/adapter.ts';
import { qdrantAdapter } from '../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../shared/stores/redis/adapter.ts';
import type { Store } from '../shared/stores/store.ts';

/** Maximum number of counts shown for a store. */
const COUNTS_SHOWN_MAX = 8;
/** Timeout for reading the stores, in milliseconds. */
const TIMEOUT_MS = 30_000;

/**
 * Proposes the profile of the knowledge base in the stores that NEO4J_URI, QDRANT_URL and REDIS_URL name, or in the
 * files at `location`. Reads names only. Throws InvalidInputError if none is named, and the errors of the stores.
 */
export async function proposeByNames(
  environment: NodeJS.ProcessEnv,
  location: string | undefined,
): Promise<Proposal> {
  const stores = openStores(environment, location);
  if (stores.length === 0) {
    throw new InvalidInputError('No store is configured.', {
      remedy: 'Set NEO4J_URI, QDRANT_URL or REDIS_URL, with their credentials, or give --files.',
    });
  }
  const context = lookingOnly();
  try {
    const found = await Promise.all(
      stores.map(async (store) => [store.name, await store.names(context)] as const),
    );
    return proposeProfile(Object.fromEntries(found) as FoundNames);
  } finally {
    for (const store of stores) await store.close();
  }
}

/**
 * Connects to a store with its credentials, returns version and contents, and closes it. Throws the errors of the
 * store.
 */
export async function describeStore(store: Store): Promise<string> {
  try {
    const { kind, version, edition, counts, warnings } = await store.probe(lookingOnly());
    const held = Object.entries(counts).map(([name, count]) => `${name} ${count}`);
    const more = held.length > COUNTS_SHOWN_MAX ? [`and ${held.length - COUNTS_SHOWN_MAX} more`] : [];
    const contents = [...held.slice(0, COUNTS_SHOWN_MAX), ...more].join(', ') || 'empty';
    return [
      `${kind} ${version}${edition === undefined ? '' : ` (${edition})`}`,
      contents,
      ...warnings.map(warningText),
    ].join('; ');
  } finally {
    await store.close();
  }
}

function lookingOnly(): LegContext {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const nothing = () => undefined;
  return {
    jobId: 'doctor',
    timeLeft: () => TIMEOUT_MS,
    signal,
    progress: nothing,
    warn: nothing,
    log: nothing,
  };
}

/** The named stores, with unlimited scope; key-value data is either in files or in Redis. The caller closes them. */
export function openStores(environment: NodeJS.ProcessEnv, location: string | undefined): Store[] {
  const dependencies = { target: 'doctor' };
  const [neo4j, qdrant, redis] = [
    explicitAddress('neo4j', environment),
    explicitAddress('qdrant', environment),
    explicitAddress('redis', environment),
  ];
  const graph = neo4j && neo4jAdapter.create(neo4j, {}, dependencies);
  const vectors =
    qdrant &&
    qdrantAdapter.create(
      qdrantAdapter.Connection.parse({
        url: qdrant.url,
        ...(qdrant.apiKey ? { api_key: qdrant.apiKey } : {}),
      }),
      qdrantAdapter.Scope.parse({}),
      dependencies,
    );
  const keys =
    redis &&
    redisAdapter.create(
      redisAdapter.Connection.parse({
        url: redis.url,
        ...(redis.password ? { password: redis.password } : {}),
      }),
      redisAdapter.Scope.parse({}),
      dependencies,
    );
  const files =
    location === undefined
      ? keys
      : filesAdapter.create(
          filesAdapter.Connection.parse({ location }),
          filesAdapter.Scope.parse({}),
          dependencies,
        );
  return [graph, vectors, files].filter((store) => store !== undefined);
}

/** A proposal as text: the profile, its evidence, and what is unknown. */
export function proposalText({ profile, parameters, reasons }: Proposal): string {
  const given = Object.entries(parameters).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const settings = given.length > 0 ? ` with ${given.join(', ')}` : '';
  return `"${profile}"${settings}, because of ${reasons.join('; ')}. The profile in cdk.json decides.`;
}
