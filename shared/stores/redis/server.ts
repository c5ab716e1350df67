import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../core/errors.ts';
import { bytesOf, listOf, type RedisClient, type Reply } from './client.ts';

/** What a server is and can do, as far as backups care. */
export interface ServerFacts {
  readonly version: string;
  /** `redis`, `valkey`, … */
  readonly edition: string;
  /** PEXPIRETIME, since Redis 7.0: the exact time at which a key expires. */
  readonly hasExpireTime: boolean;
  /** HPEXPIRETIME, since Redis 7.4 and Valkey 9.0: fields of hashes that expire. */
  readonly hasFieldExpiry: boolean;
  /** True where fields of hashes may expire, but no command tells when. */
  readonly hidesFieldExpiry: boolean;
  /** How far the server's clock is ahead of ours, in ms; negative where it is behind, 0 where they agree. */
  readonly clockAheadMs: number;
}

/** The time by the server's clock, which decides what has expired, in ms since 1970. */
export function serverNow({ clockAheadMs }: ServerFacts): number {
  return Date.now() + clockAheadMs;
}

/** Clocks that differ by less than this, in ms, agree: it may be the time that a reply took. */
const CLOCK_TOLERANCE_MS = 1_000;

/** How far the clock of a server is ahead of ours, in ms. */
async function readClock(client: RedisClient, node: Redis): Promise<number> {
  const requestedAt = Date.now();
  const [seconds, microseconds] = listOf(await client.call(node, 'TIME')).map((part) =>
    Number(bytesOf(part)),
  );
  const here = (requestedAt + Date.now()) / 2;
  const ahead = Math.round((seconds ?? 0) * 1_000 + (microseconds ?? 0) / 1_000 - here);
  return Math.abs(ahead) < CLOCK_TOLERANCE_MS ? 0 : ahead;
}

/** Asks the server what it is. Every master of a cluster is taken to be of the same version. */
export async function readFacts(client: RedisClient): Promise<ServerFacts> {
  const [node] = await client.nodes();
  if (!node) throw new Error('Cannot connect to a cluster without masters.');
  const info = infoFields(await client.call(node, 'INFO', 'server'));
  if ((info.server_mode ?? info.redis_mode) === 'cluster' && !client.isCluster) {
    throw new InvalidInputError(`${client.name} is a node of a cluster, and holds only some of the keys.`, {
      remedy: 'Set "cluster": true in the secret of the store.',
    });
  }
  const commands = listOf(
    await client.call(node, 'COMMAND', 'INFO', 'PEXPIRETIME', 'HPEXPIRETIME', 'HEXPIRE'),
  );
  return {
    version: info.valkey_version ?? info.redis_version ?? 'unknown',
    edition: info.server_name ?? 'redis',
    hasExpireTime: isKnown(commands[0]),
    hasFieldExpiry: isKnown(commands[1]),
    hidesFieldExpiry: !isKnown(commands[1]) && isKnown(commands[2]),
    clockAheadMs: await readClock(client, node),
  };
}

function isKnown(reply: Reply | undefined): boolean {
  return Array.isArray(reply) && reply.length > 0;
}

/** `name:value` lines of INFO. */
export function infoFields(reply: Reply): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const line of bytesOf(reply).toString('utf8').split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && !line.startsWith('#')) fields[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return fields;
}
