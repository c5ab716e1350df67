import type { Redis } from 'ioredis';
import type { Cursor, LegContext, LegResult } from '../leg.ts';
import type { Command, RedisClient } from './client.ts';
import { scanKeys, scanScope } from './keys.ts';
import { type ByteString, escapeGlob, type KeySpace, toBytes } from './scope.ts';

/**
 * Deletes every key of the scope, and no other. An interrupted leg starts over: deleted keys stay deleted, and SCAN
 * returns every key that exists throughout the scan.
 */
export async function clearKeys(
  client: RedisClient,
  space: KeySpace,
  context: LegContext,
): Promise<LegResult> {
  return deleteKeys(client, context, async function* (node) {
    for await (const page of scanScope(client, node, space)) yield page.map(({ key }) => toBytes(key));
  });
}

/**
 * Deletes keys that loads left under temporary names.
 *
 * @param keepOrigin  whether to keep the hash that states the origin of the keys; false if the keys are replaced by
 * others
 */
export async function clearTemporary(
  client: RedisClient,
  space: KeySpace,
  context: LegContext,
  { keepOrigin }: { keepOrigin: boolean },
): Promise<LegResult> {
  return deleteKeys(client, context, async function* (node) {
    for await (const page of scanTemporary(client, node, space)) {
      yield page.filter((name) => !(keepOrigin && name === space.origin)).map(toBytes);
    }
  });
}

/** The temporary names of a scope, except those of drills, which drills remove themselves. */
export async function* scanTemporary(
  client: RedisClient,
  node: Redis,
  space: KeySpace,
): AsyncGenerator<ByteString[]> {
  for await (const page of scanKeys(client, node, `${escapeGlob(space.temporary)}*`)) {
    yield page
      .map((key) => key.toString('latin1'))
      .filter((name) => name.startsWith(space.temporary) && !name.startsWith(space.drills));
  }
}

async function deleteKeys(
  client: RedisClient,
  context: LegContext,
  pagesOf: (node: Redis) => AsyncIterable<readonly Buffer[]>,
): Promise<LegResult> {
  let deleted = 0;
  for (const node of await client.nodes()) {
    for await (const doomed of pagesOf(node)) {
      context.signal.throwIfAborted();
      await unlink(client, node, doomed);
      deleted += doomed.length;
      if (doomed.length > 0) context.progress('keys deleted', deleted);
      if (context.timeLeft() <= 0) return { cursor: AGAIN, tallies: {} };
    }
  }
  return { cursor: null, tallies: {} };
}

/** There is no position to resume from: the next leg scans again from the start. */
const AGAIN: Cursor = { again: true };

async function unlink(client: RedisClient, node: Redis, keys: readonly Buffer[]): Promise<void> {
  if (keys.length === 0) return;
  // In a cluster, the keys of a node are in different hash slots, which a single command cannot span.
  const commands: Command[] = client.isCluster ? keys.map((key) => ['UNLINK', key]) : [['UNLINK', ...keys]];
  await client.sendAll(node, commands);
}
