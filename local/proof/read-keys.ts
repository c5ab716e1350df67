import { isUtf8 } from 'node:buffer';
import type { Redis } from 'ioredis';
import { digestOf, type Ledger } from './ledger.ts';

/** Keys that are read together. */
const BATCH = 200;

/**
 * Reads every key, or those with a prefix, with type, value and absolute expiry. Returns the server's time after the
 * last key, in milliseconds.
 */
export async function readKeys(
  redis: Redis,
  ledger: Ledger,
  options: { keyPrefix?: string | undefined },
): Promise<number> {
  const pattern = `${(options.keyPrefix ?? '').replaceAll(/[\\*?[\]]/g, '\\$&')}*`;
  let cursor = '0';
  do {
    const answer = (await redis.callBuffer('SCAN', cursor, 'MATCH', pattern, 'COUNT', BATCH)) as [
      Buffer,
      Buffer[],
    ];
    cursor = answer[0].toString();
    await readBatch(redis, ledger, answer[1]);
  } while (cursor !== '0');
  const [seconds, microseconds] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000);
}

async function readBatch(redis: Redis, ledger: Ledger, keys: readonly Buffer[]): Promise<void> {
  const records = await Promise.all(
    keys.map(async (key) => {
      const type = await redis.type(key);
      const expiry = await redis.pexpiretime(key);
      const value = await readValue(redis, key, type);
      return { key, type, expiry, value };
    }),
  );
  for (const { key, type, expiry, value } of records) {
    // It expired or was deleted after the scan returned it.
    if (type === 'none' || expiry === -2 || value === undefined) continue;
    const name = textOf(key);
    await ledger.add({
      part: `keys ${namespaceOf(key)}`,
      key: name,
      fields: { type: digestOf(type), value, expiry: digestOf(String(expiry)) },
      ...(expiry >= 0 ? { expiresAt: expiry } : {}),
    });
  }
}

/** Digest of a value of any type; undefined if the key is gone. */
async function readValue(redis: Redis, key: Buffer, type: string): Promise<string | undefined> {
  const command = (...parts: string[]) =>
    redis.callBuffer(parts[0] ?? '', key, ...parts.slice(1)) as Promise<unknown>;
  switch (type) {
    case 'none':
      return undefined;
    case 'string': {
      const value = (await command('GET')) as Buffer | null;
      return value === null ? undefined : digestOf(value);
    }
    case 'list':
      return digestOf(...((await command('LRANGE', '0', '-1')) as Buffer[]));
    case 'set':
      return digestOf(...((await command('SMEMBERS')) as Buffer[]).sort(Buffer.compare));
    case 'zset':
      return digestOf(...((await command('ZRANGE', '0', '-1', 'WITHSCORES')) as Buffer[]));
    case 'hash':
      return digestOf(...pairs((await command('HGETALL')) as Buffer[]));
    case 'stream':
      return digestOf(await readStream(redis, key));
    default:
      throw new Error(`The proof can't read key "${textOf(key)}" of type "${type}".`);
  }
}

/** Field and value, preceded by the field's length, sorted. */
function pairs(flat: readonly Buffer[]): Buffer[] {
  const joined: Buffer[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const [field, value] = [flat[at] ?? Buffer.alloc(0), flat[at + 1] ?? Buffer.alloc(0)];
    joined.push(Buffer.concat([Buffer.from(`${field.length}:`), field, value]));
  }
  return joined.sort(Buffer.compare);
}

/** Entries, counters, and each group with its consumers and unacknowledged entries. */
async function readStream(redis: Redis, key: Buffer): Promise<string> {
  const ask = (command: string, ...parts: (string | Buffer)[]) => redis.callBuffer(command, ...parts);
  const info = fieldsOf(await ask('XINFO', 'STREAM', key));
  const groups: unknown[] = [];
  for (const group of (await ask('XINFO', 'GROUPS', key)) as unknown[]) {
    const name = bufferOf(group, 'name');
    // Idle times change by themselves, and are the third column of XPENDING.
    const pending = ((await ask('XPENDING', key, name, '-', '+', '1000000')) as unknown[][]).map((row) =>
      row.filter((_, column) => column !== 2),
    );
    const consumers = ((await ask('XINFO', 'CONSUMERS', key, name)) as unknown[]).map((one) =>
      bufferOf(one, 'name'),
    );
    groups.push([fieldsOf(group), pending, consumers]);
  }
  const counters = ['length', 'last-generated-id', 'max-deleted-entry-id', 'entries-added'].map(
    (name) => info[name],
  );
  return JSON.stringify(plain([await ask('XRANGE', key, '-', '+'), counters, groups]));
}

function fieldsOf(flat: unknown): Record<string, unknown> {
  const list = flat as unknown[];
  return Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[String(name), list[at + 1]]] : [])));
}

function bufferOf(flat: unknown, name: string): Buffer {
  return fieldsOf(flat)[name] as Buffer;
}

/** The same value with hexadecimal text in place of bytes. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('hex');
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}

function textOf(key: Buffer): string {
  return isUtf8(key) ? key.toString() : `0x${key.toString('hex')}`;
}

/** `nano_graphrag:full_docs:doc-1` belongs to `full_docs`. */
function namespaceOf(key: Buffer): string {
  const parts = key.toString('latin1').split(':');
  return parts.length > 2 ? (parts[1] ?? '') : 'others';
}
