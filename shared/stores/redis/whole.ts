import type { Redis } from 'ioredis';
import { bytesOf, type Command, integerOf, listOf, type RedisClient, type Reply } from './client.ts';
import { expiryCommand, expiryOf, fieldExpiryCommand, withExpiries } from './expiry.ts';
import { blocksOf, itemsOf } from './items.ts';
import type { Item, KeyType, StreamState } from './record.ts';
import type { ServerFacts } from './server.ts';
import { mostPendingOf, PendingFilter, streamCutOf } from './stream.ts';

/** Margin for entries and pending IDs added to a stream between querying their number and reading them. */
const STREAM_SLACK = 256;

/** The complete content of a key at one instant. */
export interface Whole {
  readonly expiresAt: number | null;
  readonly items: readonly Item[];
  readonly stream?: StreamState;
}

/** Why a key could not be read: it no longer exists, it has another type now, or it changed between two commands. */
export type Unread = 'gone' | 'retyped' | 'changed';

/** Reads a key as of one instant, regardless of concurrent writes. The server sends it in a single reply. */
export async function readWhole(
  client: RedisClient,
  facts: ServerFacts,
  node: Redis,
  name: Buffer,
  type: KeyType,
): Promise<Whole | Unread> {
  if (type === 'stream') return readWholeStream(client, facts, node, name);
  if (type === 'hash' && facts.hasFieldExpiry) return readHash(client, facts, node, name);
  const [group = []] = await client.transact(node, [
    [['TYPE', name], expiryCommand(facts, name), WHOLE[type](name)],
  ]);
  const expiresAt = expiryOf(facts, group[1]);
  if (expiresAt === undefined) return 'gone';
  if (String(group[0]) !== type) return 'retyped';
  if (type === 'string') return { expiresAt, items: blocksOf(bytesOf(group[2])) };
  return { expiresAt, items: itemsOf(type, listOf(group[2])) };
}

const WHOLE = {
  string: (name: Buffer): Command => ['GET', name],
  hash: (name: Buffer): Command => ['HGETALL', name],
  list: (name: Buffer): Command => ['LRANGE', name, 0, -1],
  set: (name: Buffer): Command => ['SMEMBERS', name],
  zset: (name: Buffer): Command => ['ZRANGE', name, 0, -1, 'WITHSCORES'],
} as const;

/**
 * Reads a hash whose fields may expire individually. Expiry times are requested by field name, so the names are read
 * first.
 */
async function readHash(
  client: RedisClient,
  facts: ServerFacts,
  node: Redis,
  name: Buffer,
): Promise<Whole | Unread> {
  const [keys] = await client.send(node, [['HKEYS', name]]);
  if (keys instanceof Error) return 'retyped';
  const names = listOf(keys).map(bytesOf);
  if (names.length === 0) return 'gone';
  const [group = []] = await client.transact(node, [
    [['TYPE', name], expiryCommand(facts, name), ['HGETALL', name], fieldExpiryCommand(name, names)],
  ]);
  const expiresAt = expiryOf(facts, group[1]);
  if (expiresAt === undefined) return 'gone';
  if (String(group[0]) !== 'hash') return 'retyped';
  const expiries = new Map(
    listOf(group[3]).map((expiry, index) => [names[index]?.toString('latin1'), expiry]),
  );
  const items = itemsOf('hash', listOf(group[2]));
  const ordered: Reply[] = [];
  for (const [field] of items) {
    const expiry = expiries.get(field?.toString('latin1'));
    if (expiry === undefined) return 'changed';
    ordered.push(expiry);
  }
  return { expiresAt, items: withExpiries(items, ordered) };
}

async function readWholeStream(
  client: RedisClient,
  facts: ServerFacts,
  node: Redis,
  name: Buffer,
): Promise<Whole | Unread> {
  const [length, groups] = await client.send(
    node,
    [
      ['XLEN', name],
      ['XINFO', 'GROUPS', name],
    ],
    isOtherKey,
  );
  if (length instanceof Error) return 'retyped';
  if (groups instanceof Error) return 'gone';
  const count = Math.max(integerOf(length), mostPendingOf(groups)) + STREAM_SLACK;
  const [group = []] = await client.transact(
    node,
    [[['TYPE', name], expiryCommand(facts, name), ['XINFO', 'STREAM', name, 'FULL', 'COUNT', count]]],
    isOtherKey,
  );
  const expiresAt = expiryOf(facts, group[1]);
  if (expiresAt === undefined) return 'gone';
  if (String(group[0]) !== 'stream') return 'retyped';
  const cut = streamCutOf(group[2] ?? null);
  if (!cut.hasAllPending || cut.entries.length < cut.length) return 'changed';
  const pending = new PendingFilter(cut.state);
  pending.see(cut.entries);
  return { expiresAt, items: cut.entries, stream: pending.state() };
}

/** The key no longer exists, or has another type. */
export function isOtherKey(error: Error): boolean {
  return /^(WRONGTYPE|ERR no such key)/.test(error.message);
}
