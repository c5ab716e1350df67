import { createHash } from 'node:crypto';
import calculateSlot from 'cluster-key-slot';
import type { Redis } from 'ioredis';
import { InvalidInputError } from '../../core/errors.ts';
import { type Argument, type Command, type RedisClient, RedisReplyError } from './client.ts';
import { type Item, type KeyPart, STRING_BLOCK_BYTES, type StreamGroup, type StreamState } from './record.ts';
import { type ByteString, type KeySpace, showKey, toBytes } from './scope.ts';
import { type ServerFacts, serverNow } from './server.ts';

/**
 * A placeholder field in a hash that is written in several parts: the server deletes a hash once all its fields have
 * expired. Removed when the hash is renamed to its final name.
 */
const PLACEHOLDER_FIELD = '__ngbak:incomplete';

/** Maximum number of pending IDs in one command. */
const CLAIM_IDS = 1_000;

/** How to treat an existing key: replace it or keep it. */
export type IfExists = 'replace' | 'keep';

/** The command that writes a complete string. With 'keep', its reply is null if the key exists. */
export function stringCommand(
  key: ByteString,
  value: Buffer,
  expiresAt: number | null,
  ifExists: IfExists,
  facts: ServerFacts,
): Command {
  const options: Argument[] = ifExists === 'keep' ? ['NX'] : [];
  // PXAT was introduced shortly before PEXPIRETIME; servers that lack the latter are assumed to lack both.
  if (expiresAt !== null && facts.hasExpireTime) options.push('PXAT', expiresAt);
  if (expiresAt !== null && !facts.hasExpireTime)
    options.push('PX', Math.max(1, expiresAt - serverNow(facts)));
  return ['SET', toBytes(key), value, ...options];
}

/** Writes keys that arrive in parts. Every call is idempotent. */
export class PartWriter {
  readonly #client: RedisClient;
  readonly #space: KeySpace;
  readonly #facts: ServerFacts;

  constructor(client: RedisClient, space: KeySpace, facts: ServerFacts) {
    this.#client = client;
    this.#space = space;
    this.#facts = facts;
  }

  /** The temporary name of a key that is written in several parts; in the same hash slot as the key. */
  temporaryOf(key: ByteString): ByteString {
    const name = `${this.#space.temporary}${createHash('sha256').update(key, 'latin1').digest('hex').slice(0, 32)}`;
    if (!this.#client.isCluster) return name;
    const slot = calculateSlot(toBytes(key));
    for (let number = 0; ; number++) {
      const candidate = `${name}:${number}`;
      if (calculateSlot(toBytes(candidate)) === slot) return candidate;
    }
  }

  /** Writes a key with a single part in one transaction. Returns false if it exists and must be kept. */
  async writeWhole(part: KeyPart, ifExists: IfExists): Promise<boolean> {
    const name = toBytes(part.key);
    const node = await this.#client.nodeOf(name);
    if (ifExists === 'keep' && (await this.exists(node, name))) return false;
    await this.#transact(node, part, [
      ['DEL', name],
      ...this.#itemCommands(name, part),
      ...(part.stream ? this.#streamStateCommands(name, part.stream) : []),
      ...(part.expiresAt === null ? [] : [['PEXPIREAT', name, part.expiresAt] as const]),
    ]);
    return true;
  }

  /**
   * Writes one of several parts of a key under its temporary name; after the last part, renames it to its final name.
   * Returns 'written' after the last part, 'kept' if the key exists and must be kept, otherwise 'more'.
   */
  async writePart(part: KeyPart, ifExists: IfExists): Promise<'more' | 'written' | 'kept'> {
    const name = toBytes(part.key);
    const temporary = toBytes(this.temporaryOf(part.key));
    const node = await this.#client.nodeOf(name);
    if (part.offset > 0 && !(await this.exists(node, temporary))) {
      // This leg is a repetition, and its first run already completed the key.
      if (await this.exists(node, name)) return part.last ? 'written' : 'more';
      throw new RedisReplyError(
        `Earlier parts of "${showKey(part.key)}" no longer exist on ${this.#client.name}.`,
        {
          remedy: 'Make sure that nothing else deletes keys during a restore, and restore again.',
        },
      );
    }
    const stateCommands: Command[] =
      part.last && part.stream ? this.#streamStateCommands(temporary, part.stream) : [];
    const adding = [...this.#itemCommands(temporary, part), ...stateCommands];
    const emptying: Command[] =
      part.offset > 0
        ? this.#trimCommands(temporary, part)
        : [
            ['DEL', temporary],
            ...(part.type === 'hash' ? [['HSET', temporary, PLACEHOLDER_FIELD, ''] as const] : []),
          ];
    await this.#transact(node, part, [...emptying, ...adding]);
    if (!part.last) return 'more';
    if (ifExists === 'keep' && (await this.exists(node, name))) {
      await this.#client.call(node, 'UNLINK', temporary);
      return 'kept';
    }
    await this.#transact(node, part, [
      ['DEL', name],
      ...(part.expiresAt === null ? [] : [['PEXPIREAT', temporary, part.expiresAt] as const]),
      ...(part.type === 'hash' ? [['HDEL', temporary, PLACEHOLDER_FIELD] as const] : []),
      ['RENAME', temporary, name],
    ]);
    return 'written';
  }

  async exists(node: Redis, name: Buffer): Promise<boolean> {
    return (await this.#client.call(node, 'EXISTS', name)) === 1;
  }

  async #transact(node: Redis, part: KeyPart, commands: readonly Command[]): Promise<void> {
    const what = `the ${part.type} "${showKey(part.key)}"`;
    const tolerates = (error: Error) => alreadyExists(error, part) || isGone(error, part);
    await this.#client.transact(node, [commands], tolerates, what);
  }

  /**
   * Undoes an earlier, interrupted attempt to write the same part, for types where adding again would duplicate items.
   */
  #trimCommands(name: Buffer, { type, offset }: KeyPart): Command[] {
    return type === 'list' ? [['LTRIM', name, 0, offset - 1]] : [];
  }

  #itemCommands(name: Buffer, { key, type, items, offset }: KeyPart): Command[] {
    const flat = items.flat();
    switch (type) {
      case 'string':
        return flat.length === 1 && offset === 0
          ? [['SET', name, flat[0] as Buffer]]
          : [['SETRANGE', name, offset * STRING_BLOCK_BYTES, Buffer.concat(flat)]];
      case 'list':
        return flat.length === 0 ? [] : [['RPUSH', name, ...flat]];
      case 'set':
        return flat.length === 0 ? [] : [['SADD', name, ...flat]];
      case 'zset':
        return flat.length === 0
          ? []
          : [['ZADD', name, ...items.flatMap(([member, score]) => [score as Buffer, member as Buffer])]];
      case 'hash':
        return this.#fieldCommands(name, key, items);
      case 'stream':
        return [
          // The only way to create an empty stream: create it with a group, and destroy the group.
          ...(offset === 0
            ? [
                ['XGROUP', 'CREATE', name, '__ngbak', '0', 'MKSTREAM'] as const,
                ['XGROUP', 'DESTROY', name, '__ngbak'] as const,
              ]
            : []),
          ...items.map(([id, ...fields]): Command => ['XADD', name, id as Buffer, ...fields]),
        ];
    }
  }

  #fieldCommands(name: Buffer, key: ByteString, items: readonly Item[]): Command[] {
    const now = serverNow(this.#facts);
    const alive = items.filter(([, , expiry]) => expiry === undefined || Number(expiry) > now);
    if (alive.length === 0) return [];
    const expiring = alive.filter(([, , expiry]) => expiry !== undefined);
    if (expiring.length > 0 && !this.#facts.hasFieldExpiry) {
      throw new InvalidInputError(
        `Fields of the hash "${showKey(key)}" expire, which ${this.#client.name} (version ${this.#facts.version}) can't do.`,
        { remedy: 'Restore to Redis 7.4 or later, or Valkey 9 or later.' },
      );
    }
    return [
      ['HSET', name, ...alive.flatMap(([field, value]) => [field as Buffer, value as Buffer])],
      ...expiring.map(
        ([field, , expiry]): Command => ['HPEXPIREAT', name, Number(expiry), 'FIELDS', 1, field as Buffer],
      ),
    ];
  }

  /** Commands that set the state of a stream after its entries are written. */
  #streamStateCommands(name: Buffer, stream: StreamState): Command[] {
    const hasCounters = this.#facts.hasExpireTime;
    const counters: Argument[] =
      hasCounters && stream.entries_added !== undefined
        ? ['ENTRIESADDED', stream.entries_added, 'MAXDELETEDID', stream.max_deleted_id ?? '0-0']
        : [];
    return [
      ...(stream.last_id === '0-0' ? [] : [['XSETID', name, stream.last_id, ...counters] as Command]),
      ...stream.groups.flatMap((group): Command[] => {
        const groupName = toBytes(group.name);
        const read: Argument[] =
          hasCounters && group.entries_read !== undefined ? ['ENTRIESREAD', group.entries_read] : [];
        return [
          ['XGROUP', 'CREATE', name, groupName, group.last_id, ...read],
          ...group.consumers.map(
            (consumer): Command => ['XGROUP', 'CREATECONSUMER', name, groupName, toBytes(consumer)],
          ),
          ...claimCommands(name, groupName, group.pending),
        ];
      }),
    ];
  }
}

/**
 * Commands that make IDs pending: one for all that a consumer received in the same millisecond and equally often, up to
 * a limit. The reply to one XREADGROUP spans few milliseconds.
 */
function claimCommands(name: Buffer, group: Buffer, pending: StreamGroup['pending']): Command[] {
  const commands: Command[] = [];
  const deliveries = new Map<string, { readonly ids: string[]; readonly command: () => void }>();
  for (const [id, consumer, time, count] of pending) {
    const key = `${time} ${count} ${consumer}`;
    let delivery = deliveries.get(key);
    if (!delivery) {
      const ids: string[] = [];
      const command = () => {
        const options: Argument[] = ['TIME', time, 'RETRYCOUNT', count, 'FORCE', 'JUSTID'];
        commands.push(['XCLAIM', name, group, toBytes(consumer), 0, ...ids, ...options]);
      };
      delivery = { ids, command };
      deliveries.set(key, delivery);
    }
    if (delivery.ids.push(id) < CLAIM_IDS) continue;
    delivery.command();
    deliveries.delete(key);
  }
  for (const { command } of deliveries.values()) command();
  return commands;
}

/** True if all fields of a hash have expired in the meantime. */
function isGone(error: Error, { type, last }: KeyPart): boolean {
  return type === 'hash' && last && /no such key/.test(error.message);
}

/** True for stream entries and groups that an interrupted attempt to write the same part already created. */
function alreadyExists(error: Error, { type, offset }: KeyPart): boolean {
  return type === 'stream' && offset > 0 && /equal or smaller|^BUSYGROUP/.test(error.message);
}
