import { createHash } from 'node:crypto';
import { MultisetDigest } from '../../core/digest.ts';
import type { ByteString } from './scope.ts';

/** The key types that the portable format supports. */
export const KEY_TYPES = ['string', 'hash', 'list', 'set', 'zset', 'stream'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

/** Strings longer than this are handled in blocks of this size, in bytes. Part of the format: digests depend on it. */
export const STRING_BLOCK_BYTES = 1024 ** 2;

/**
 * One element of a key's content, by type: string: `[block]`; list and set: `[element]`; sorted set: `[member, score]`;
 * hash: `[field, value]` or `[field, value, expiry in ms]`; stream: `[id, field, value, …]`.
 */
export type Item = readonly Buffer[];

/** State of a stream besides its entries. Names are byte strings, IDs are `<ms>-<sequence>`. */
export interface StreamState {
  readonly last_id: string;
  readonly max_deleted_id?: string;
  readonly entries_added?: number;
  readonly groups: readonly StreamGroup[];
}

export interface StreamGroup {
  readonly name: ByteString;
  readonly last_id: string;
  /** Absent if the server does not report it. */
  readonly entries_read?: number;
  readonly consumers: readonly ByteString[];
  /** Delivered and not acknowledged: ID, consumer, delivery time in ms, number of deliveries. */
  readonly pending: readonly (readonly [id: string, consumer: ByteString, time: number, count: number])[];
}

/** A part of a key's content; small keys have a single part. */
export interface KeyPart {
  readonly key: ByteString;
  readonly type: KeyType;
  /** When the key expires, in ms since 1970; null for never. */
  readonly expiresAt: number | null;
  /** Number of items in earlier parts of this key. A part with offset 0 restarts the key and discards earlier parts. */
  readonly offset: number;
  readonly last: boolean;
  readonly items: readonly Item[];
  /** Only with the last part of a stream. */
  readonly stream?: StreamState;
}

/** Digest of one key's content, updated item by item in batches of any size. Its state has 64 hexadecimal digits. */
export class ContentDigest {
  readonly #ordered: boolean;
  #state: string;

  constructor(type: KeyType, state = '0'.repeat(64)) {
    this.#ordered = type === 'string' || type === 'list' || type === 'stream';
    this.#state = state;
  }

  /** Adds items, in order if the type is ordered. */
  add(items: Iterable<Item>): void {
    if (this.#ordered) {
      for (const item of items) {
        const hash = createHash('sha256').update(this.#state);
        for (const part of framed(item)) hash.update(part);
        this.#state = hash.digest('hex');
      }
      return;
    }
    const digest = new MultisetDigest();
    digest.merge(this.#state);
    for (const item of items) digest.add(Buffer.concat(framed(item)));
    this.#state = digest.hex();
  }

  hex(): string {
    return this.#state;
  }
}

/** Prefixes each part with its length, so that different lists never produce the same bytes. */
function framed(item: Item): Buffer[] {
  const parts: Buffer[] = [];
  for (const part of item) parts.push(Buffer.from(`${part.length}:`), part);
  return parts;
}

const NO_MEMORY = Buffer.alloc(0);

/**
 * Canonical form of a short string key, for tallies: `string`, key, expiry and value, each prefixed with its length.
 * For longer strings and other types the form contains a {@link ContentDigest}: see {@link canonicalKey}.
 *
 * @param memory  buffer to write to if it is large enough
 */
export function canonicalString(
  key: ByteString,
  value: Buffer,
  expiresAt: number | null,
  memory: Buffer = NO_MEMORY,
): Buffer {
  const expiry = expiresAt === null ? '' : String(expiresAt);
  const head = `6:string${key.length}:${key}${expiry.length}:${expiry}${value.length}:`;
  const length = head.length + value.length;
  const record = length <= memory.length ? memory.subarray(0, length) : Buffer.allocUnsafe(length);
  record.write(head, 'latin1');
  record.set(value, head.length);
  return record;
}

/** Canonical form of all other keys. */
export function canonicalKey(
  key: ByteString,
  type: KeyType,
  content: ContentDigest,
  expiresAt: number | null,
  stream?: StreamState,
): Buffer {
  return Buffer.concat(
    framed([
      Buffer.from(type),
      Buffer.from(key, 'latin1'),
      Buffer.from(expiresAt === null ? '' : String(expiresAt)),
      Buffer.from(content.hex()),
      ...(stream ? [canonicalStream(stream)] : []),
    ]),
  );
}

/** Delivery times are omitted: servers report them as an age, some of them relative to an outdated clock. */
function canonicalStream(stream: StreamState): Buffer {
  const groups = stream.groups.map(({ pending, ...group }) => ({
    ...group,
    pending: pending.map(([id, consumer, , count]) => [id, consumer, count]),
  }));
  const { last_id, max_deleted_id, entries_added } = stream;
  return Buffer.from(JSON.stringify([last_id, max_deleted_id, entries_added, groups]), 'latin1');
}

/**
 * A sorted set's score in one notation, whatever the server's version prints: the shortest decimal that parses to the
 * same double, `inf`, `-inf` or `-0`.
 */
export function canonicalScore(text: string): string {
  if (/^[+]?inf(inity)?$/i.test(text)) return 'inf';
  if (/^-inf(inity)?$/i.test(text)) return '-inf';
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new RangeError('is not a score');
  return Object.is(value, -0) ? '-0' : String(value);
}
