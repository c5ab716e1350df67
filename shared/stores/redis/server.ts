import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../core/errors.ts';
import { bytesOf, listOf, type RedisClient, type Reply } from './client.ts';

/** Properties and capabilities of a server that matter for backups. */
export interface ServerFacts {
  readonly version: string;
  /** `redis`, `valkey`, … */
  readonly edition: string;
  /** Whether it supports PEXPIRETIME, since Redis 7.0: the exact time at which a key expires. */
  readonly hasExpireTime: boolean;
  /** Whether it supports HPEXPIRETIME, since Redis 7.4 and Valkey 9.0: hash fields that expire. */
  readonly hasFieldExpiry: boolean;
  /** True if hash fields may expire, but no command reports when. */
  readonly hidesFieldExpiry: boolean;
  /** Offset of the server's clock from the local clock in ms; negative if it is behind, 0 if they agree. */
  readonly clockAheadMs: number;
}

/** Current time by the server's clock, which determines expiry, in ms since 1970. */
export function serverNow({ clockAheadMs }: ServerFacts): number {
  return Date.now() + clockAheadMs;
}

/** Clock differences below this value, in ms, are treated as zero: they may be due to the latency of a reply. */
const CLOCK_TOLERANCE_MS = 1_000;

/** Offset of the server's clock from the local clock, in ms. */
async function readClock(client: RedisClient, node: Redis): Promise<number> {
  const requestedAt = Date.now();
  const [seconds, microseconds] = listOf(await client.call(node, 'TIME')).map((part) =>
    Number(bytesOf(part)),
  );
  const here = (requestedAt + Date.now()) / 2;
  const ahead = Math.round((seconds ?? 0) * 1_000 + (microseconds ?? 0) / 1_000 - here);
  return Math.abs(ahead) < CLOCK_TOLERANCE_MS ? 0 : ahead;
}

/** Determines the properties of a server. Assumes that all masters of a cluster run the same version. */
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
