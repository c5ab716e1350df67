import type { Redis } from 'ioredis';
import type { LegContext } from '../leg.ts';
import type { LoadOptions } from '../restore-leg.ts';
import type { RedisClient } from './client.ts';
import { scanScope } from './keys.ts';
import type { KeyPart } from './record.ts';
import { type KeySpace, toBytes } from './scope.ts';
import { infoFields } from './server.ts';

/** Minimum overhead of a key in Redis besides its name and value, in bytes. */
const KEY_OVERHEAD_BYTES = 56;
/** Numbers in collections take less memory than their digits. */
const ELEMENT_SHARE = 0.5;
/** Typical memory usage of a restore, as a multiple of the minimum. */
const USUAL_OVERHEAD = 2;
/** Maximum number of names tried to find a key on a given node: each of three masters holds a third of the slots. */
const NAMES_TRIED = 100_000;

/** Sums the minimum memory that records need on a server, in bytes. */
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
 * Checks whether the server accepts writes: it may be a replica, its last save may have failed, it may lack replicas,
 * or the user may lack permission. Tests this with a write that has no effect: it deletes a key that does not exist.
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
 * Checks whether the server's memory limit leaves room for at least that many bytes, including the room freed by the
 * keys that the restore deletes first. Warns if the server evicts keys instead of rejecting writes and the room may be
 * too small. A server without a limit reports the total memory of its machine, but not how much is free.
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

/** Memory used by the keys of a scope, in bytes; undefined if the server does not report it or the time is up. */
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

/** Number of keys that the servers have evicted since their start. */
export async function evictedKeys(client: RedisClient): Promise<number> {
  let evicted = 0;
  for (const node of await client.nodes())
    evicted += Number(infoFields(await client.call(node, 'INFO', 'stats')).evicted_keys ?? 0);
  return evicted;
}
