import type { Redis } from 'ioredis';
import type { LegContext } from '../leg.ts';
import type { LoadOptions } from '../restore-leg.ts';
import type { RedisClient } from './client.ts';
import { scanScope } from './keys.ts';
import type { KeyPart } from './record.ts';
import { type KeySpace, toBytes } from './scope.ts';
import { infoFields } from './server.ts';

/** What Redis needs for any key besides its name and its value, in bytes, at least. */
const KEY_OVERHEAD_BYTES = 56;
/** Numbers in collections take less than their digits. */
const ELEMENT_SHARE = 0.5;
/** Memory a restore takes in practice, as a multiple of the least that it can take. */
const USUAL_OVERHEAD = 2;
/** Most names tried for a key of a certain node: one of three masters has each third. */
const NAMES_TRIED = 100_000;

/** Counts the least memory that records can take on a server, in bytes. */
export class MemoryNeed {
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  addString(key: string, value: Buffer): void {
    this.#bytes += key.length + value.length + KEY_OVERHEAD_BYTES;
  }

  addPart({ key, type, offset, items }: KeyPart): void {
    if (offset === 0) this.#bytes += key.length + KEY_OVERHEAD_BYTES;
    const share = type === 'string' ? 1 : ELEMENT_SHARE;
    for (const item of items) for (const part of item) this.#bytes += part.length * share;
  }
}

/**
 * Why the server would not take writes now: it is a replica, its last save failed, it lacks replicas, or the user may not
 * write. Found out by a write that does nothing: a key that does not exist is deleted.
 */
export async function refusedWrites(client: RedisClient, space: KeySpace): Promise<string[]> {
  const refusals: string[] = [];
  for (const node of await client.nodes()) {
    const name = await nameOnNode(client, space, node);
    const [reply] = await client.send(node, [['UNLINK', name]], () => true);
    if (!(reply instanceof Error)) continue;
    const { message, remedy } = client.explain(reply);
    refusals.push(`${message} ${remedy}`);
  }
  return [...new Set(refusals)];
}

async function nameOnNode(client: RedisClient, space: KeySpace, node: Redis): Promise<Buffer> {
  for (let number = 0; number < NAMES_TRIED; number++) {
    const name = toBytes(`${space.temporary}check:${number}`);
    if (!client.isCluster || (await client.nodeOf(name)) === node) return name;
  }
  throw new Error('This node of the cluster holds no keys.');
}

/**
 * Whether the server's memory limit leaves no room for at least that many bytes. Keys that the restore deletes first make
 * room. Warns where the server would rather evict keys than refuse writes, and the room may be too small; a server without
 * a limit reports the memory of its machine, but not what is free of it.
 */
export async function missingMemory(
  client: RedisClient,
  space: KeySpace,
  needed: number,
  { mode }: LoadOptions,
  context: LegContext,
): Promise<string[]> {
  let limit = 0;
  let used = 0;
  let policy = 'noeviction';
  let machines = 0;
  let isLimited = true;
  const wanted = needed * USUAL_OVERHEAD;
  for (const node of await client.nodes()) {
    const info = infoFields(await client.call(node, 'INFO', 'memory'));
    const maximum = Number(info.maxmemory ?? 0);
    isLimited &&= maximum > 0;
    machines += Number(info.total_system_memory ?? 0);
    limit += maximum;
    used += Number(info.used_memory ?? 0);
    policy = info.maxmemory_policy ?? policy;
  }
  if (!isLimited) {
    context.room?.({ of: 'memory', needed: wanted, ...(machines > 0 ? { total: machines } : {}) });
    if (machines > 0 && needed > machines) {
      context.warn({
        code: 'machine-too-small',
        text: `The archive needs at least ${needed} bytes of memory, and the server's machine has ${machines}; use a larger one.`,
      });
    }
    return [];
  }
  const evicts = policy !== 'noeviction';
  let free = limit - used;
  if (free < wanted && mode === 'replace') {
    const cleared = await memoryOf(client, space, context);
    if (cleared === undefined) {
      context.room?.({ of: 'memory', needed: wanted, total: limit });
      return [];
    }
    free = Math.min(limit, free + cleared);
  }
  context.room?.({ of: 'memory', needed: wanted, free: Math.max(0, free) });
  if (free < needed) {
    const effect = evicts ? `, and would evict keys (maxmemory-policy ${policy})` : '';
    return [
      `the archive needs at least ${needed} bytes of memory, more than the ${Math.max(0, free)} bytes that are free of the server's maxmemory of ${limit} bytes${effect}`,
    ];
  }
  if (evicts && free < wanted) {
    context.warn({
      code: 'keys-may-be-evicted',
      text: `The server evicts keys when it reaches maxmemory (policy ${policy}), and the restore may take more memory than is free; raise maxmemory, or set "maxmemory-policy" to "noeviction" for the restore.`,
    });
  }
  return [];
}

/** Memory that the keys of a scope take, in bytes; undefined where the server does not tell, or time is up. */
async function memoryOf(
  client: RedisClient,
  space: KeySpace,
  context: LegContext,
): Promise<number | undefined> {
  let bytes = 0;
  for (const node of await client.nodes()) {
    for await (const page of scanScope(client, node, space)) {
      context.signal.throwIfAborted();
      const replies = await client.send(
        node,
        page.map(({ key }) => ['MEMORY', 'USAGE', toBytes(key)] as const),
        () => true,
      );
      for (const reply of replies) {
        if (reply instanceof Error) return undefined;
        if (typeof reply === 'number') bytes += reply;
      }
      if (context.timeLeft() <= 0) return undefined;
    }
  }
  return bytes;
}

/** How many keys the servers have evicted since they were started. */
export async function evictedKeys(client: RedisClient): Promise<number> {
  let evicted = 0;
  for (const node of await client.nodes())
    evicted += Number(infoFields(await client.call(node, 'INFO', 'stats')).evicted_keys ?? 0);
  return evicted;
}
