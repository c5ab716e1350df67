import { InvalidInputError } from '../../shared/core/errors.ts';
import { LocalStackError } from '../errors.ts';
import { waitUntil } from '../health.ts';
import { checkAws, emulatorAddress } from './aws.ts';
import { checkNeo4j } from './neo4j.ts';
import { checkPostgres } from './postgres.ts';
import { checkQdrant } from './qdrant.ts';
import { checkRedis } from './redis.ts';
import type { Addresses, ServiceContext, ServiceName } from './service.ts';

/** Timeout for servers that are not started here, in milliseconds. */
const DEADLINE_MS = 15_000;

/** The address of a running service from the environment; undefined if the environment has none. */
const FROM_ENVIRONMENT: { [S in ServiceName]: (environment: NodeJS.ProcessEnv) => Addresses[S] | undefined } =
  {
    neo4j({ NEO4J_URI, NEO4J_USERNAME = 'neo4j', NEO4J_PASSWORD }) {
      if (!NEO4J_URI) return undefined;
      if (NEO4J_PASSWORD === undefined) {
        throw new LocalStackError('NEO4J_URI is set and NEO4J_PASSWORD is not.', {
          remedy: 'Set both, or neither to have a server started.',
        });
      }
      return { uri: NEO4J_URI, username: NEO4J_USERNAME, password: NEO4J_PASSWORD };
    },
    qdrant: ({ QDRANT_URL, QDRANT_API_KEY = '' }) =>
      QDRANT_URL ? { url: QDRANT_URL.replace(/\/+$/, ''), apiKey: QDRANT_API_KEY } : undefined,
    redis: ({ REDIS_URL, REDIS_PASSWORD }) =>
      REDIS_URL ? splitRedisUrl(REDIS_URL, REDIS_PASSWORD) : undefined,
    postgres: ({ POSTGRES_URL, POSTGRES_PASSWORD }) =>
      POSTGRES_URL ? splitPostgresUrl(POSTGRES_URL, POSTGRES_PASSWORD) : undefined,
    aws: ({ AWS_ENDPOINT_URL }) =>
      AWS_ENDPOINT_URL ? emulatorAddress(AWS_ENDPOINT_URL.replace(/\/+$/, '')) : undefined,
  };

const CHECKS: { [S in ServiceName]: (address: Addresses[S]) => Promise<void> } = {
  neo4j: checkNeo4j,
  qdrant: checkQdrant,
  redis: checkRedis,
  postgres: checkPostgres,
  aws: checkAws,
};

/** The address of a service from the environment, unchecked. Throws LocalStackError if it is incomplete. */
export function explicitAddress<S extends ServiceName>(
  service: S,
  environment: NodeJS.ProcessEnv,
): Addresses[S] | undefined {
  return FROM_ENVIRONMENT[service](environment);
}

/** Throws unless the service answers at this address. */
export function checkService<S extends ServiceName>(service: S, address: Addresses[S]): Promise<void> {
  return CHECKS[service](address);
}

/** Waits for a service that was not started here. Throws LocalStackError. */
export async function awaitExplicit<S extends ServiceName>(
  service: S,
  address: Addresses[S],
  context: ServiceContext,
): Promise<void> {
  await waitUntil(`The ${service} of the environment`, () => checkService(service, address), {
    deadlineMs: DEADLINE_MS,
    signal: context.signal,
    remedy: 'Correct address and credentials in the environment, or unset them to have a server started.',
  });
}

/** Removes the password from a Redis URL, so that the URL can be shown. */
export function splitRedisUrl(text: string, password = ''): Addresses['redis'] {
  const url = new URL(text);
  const inside = decodeURIComponent(url.password);
  url.password = '';
  return { url: url.toString().replace(/\/$/, ''), password: inside || password };
}

/**
 * Splits `postgresql://user:password@host:5432/database?sslmode=disable` into the fields of an address. Throws
 * InvalidInputError.
 */
function splitPostgresUrl(text: string, password = ''): Addresses['postgres'] {
  if (!URL.canParse(text)) {
    throw new InvalidInputError('POSTGRES_URL is not a URL.', {
      remedy: 'Write it like postgresql://user@host:5432/database, with the password in POSTGRES_PASSWORD.',
    });
  }
  const url = new URL(text);
  return {
    url: `postgresql://${url.host}${url.pathname}`,
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password) || password,
    tls: url.searchParams.get('sslmode') !== 'disable',
  };
}

/** The value of POSTGRES_URL for an address, without the password. */
export function postgresUrl({ url, username, tls }: Addresses['postgres']): string {
  const withUser = url.replace('//', `//${encodeURIComponent(username)}@`);
  return tls ? withUser : `${withUser}?sslmode=disable`;
}
