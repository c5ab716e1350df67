import { explicitAddress } from '../local/services/explicit.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { ServedStore } from '../shared/core/store-name.ts';
import { roleOf } from '../shared/core/store-names.ts';
import { type FoundNames, type Proposal, proposeProfile } from '../shared/profiles/propose.ts';
import { warningText } from '../shared/stores/describe-warning.ts';
import { filesAdapter } from '../shared/stores/files/adapter.ts';
import type { LegContext } from '../shared/stores/leg.ts';
import { namedAdapter } from '../shared/stores/named-adapter.ts';
import { neo4jAdapter } from '../shared/stores/neo4j/adapter.ts';
import { postgresAdapter } from '../shared/stores/postgres/adapter.ts';
import { qdrantAdapter } from '../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../shared/stores/redis/adapter.ts';
import type { Store, StoreAdapter } from '../shared/stores/store.ts';

/** Maximum number of counts shown for a store. */
const COUNTS_SHOWN_MAX = 8;
/** Timeout for reading the stores, in milliseconds. */
const TIMEOUT_MS = 30_000;

/**
 * Proposes the profile of the knowledge base in these stores. Reads names only. Throws InvalidInputError if there is none,
 * and the errors of the stores.
 */
export async function proposeByNames(named: readonly NamedStore[]): Promise<Proposal> {
  if (named.length === 0) {
    throw new InvalidInputError('No store is configured.', {
      remedy:
        'Set NEO4J_URI, QDRANT_URL, REDIS_URL or POSTGRES_URL, with their credentials, or give --files.',
    });
  }
  const stores = named.map((store) => openStore(store));
  const context = lookingOnly();
  try {
    const found = await Promise.all(
      stores.map(async (store) => [store.name, await store.names(context)] as const),
    );
    const byRole = Map.groupBy(found, ([name]) => roleOf(name));
    const names = [...byRole].map(([role, stores]) => [role, stores.flatMap(([, held]) => held)]);
    return proposeProfile(Object.fromEntries(names) as FoundNames);
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

/** The context of a command that only reads names and counts. */
export function lookingOnly(): LegContext {
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

/** A store that the environment names: its adapter, and the connection as the store's secret holds it. */
export interface NamedStore {
  readonly adapter: StoreAdapter;
  readonly connection: {
    readonly uri?: string;
    readonly url?: string;
    readonly location?: string;
    readonly [field: string]: string | boolean | object | undefined;
  };
  /** The scope of everything that it holds. Default: that of a target without one. */
  readonly everything?: object;
}

/**
 * The stores that NEO4J_URI, QDRANT_URL, REDIS_URL and POSTGRES_URL name, with their credentials; key-value data is in the files at
 * `location`, if it is given, and otherwise in Redis or PostgreSQL. With `kv_files=<location>`, the files are a further store
 * beside it; with both servers, PostgreSQL is one.
 */
export function namedStores(environment: NodeJS.ProcessEnv, location: string | undefined): NamedStore[] {
  const neo4j = explicitAddress('neo4j', environment);
  const qdrant = explicitAddress('qdrant', environment);
  const files = location === undefined ? undefined : filesOf(location);
  const isFirst = files?.name !== 'kv';
  const redis = isFirst ? explicitAddress('redis', environment) : undefined;
  const postgres = isFirst ? postgresOf(environment) : undefined;
  return [
    ...(neo4j ? [{ adapter: neo4jAdapter, connection: { ...neo4j } }] : []),
    ...(qdrant
      ? [
          {
            adapter: qdrantAdapter,
            connection: { url: qdrant.url, ...(qdrant.apiKey ? { api_key: qdrant.apiKey } : {}) },
          },
        ]
      : []),
    ...(redis
      ? [
          {
            adapter: redisAdapter,
            connection: { url: redis.url, ...(redis.password ? { password: redis.password } : {}) },
          },
        ]
      : []),
    ...(postgres
      ? [
          {
            adapter: redis ? namedAdapter(postgresAdapter, 'kv_postgres') : postgresAdapter,
            connection: postgres,
          },
        ]
      : []),
    ...(files
      ? [
          {
            adapter: namedAdapter(filesAdapter, files.name),
            connection: { location: files.location },
            everything: { include: ['**'], exclude: [] },
          },
        ]
      : []),
  ];
}

/** Splits `kv_files=s3://bucket/prefix` into the name of the store and its location; without a name, it is `kv`. */
function filesOf(text: string): { name: ServedStore; location: string } {
  const [, name, location] = /^(kv_[a-z0-9_]+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || location === undefined) return { name: 'kv', location: text };
  return { name: parseInput(ServedStore, name, 'The name of the store in --files'), location };
}

/** The connection as the secret holds it; with POSTGRES_IAM_REGION, tokens of IAM are its passwords. */
function postgresOf(environment: NodeJS.ProcessEnv): NamedStore['connection'] | undefined {
  const address = explicitAddress('postgres', environment);
  if (!address) return undefined;
  const { url, username, password, tls } = address;
  const region = environment.POSTGRES_IAM_REGION;
  return {
    url,
    username,
    ...(region ? { iam: { region } } : { password }),
    ...(tls ? {} : { tls: false }),
  };
}

/** A named store with this scope; by default, with everything that it holds. The caller closes it. */
export function openStore({ adapter, connection, everything = {} }: NamedStore, scope = everything): Store {
  return adapter.create(adapter.Connection.parse(connection), adapter.Scope.parse(scope), {
    target: 'doctor',
  });
}

/** A proposal as text: the profile, its evidence, and what is unknown. */
export function proposalText({ profile, parameters, reasons }: Proposal): string {
  const given = Object.entries(parameters).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const settings = given.length > 0 ? ` with ${given.join(', ')}` : '';
  return `"${profile}"${settings}, because of ${reasons.join('; ')}. The profile in cdk.json decides.`;
}
