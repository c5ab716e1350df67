import { bytesOf, RedisReplyError, type Reply } from './client.ts';
import { canonicalScore, type Item, type KeyType, STRING_BLOCK_BYTES } from './record.ts';

/** The command for the length of a key, by type. */
export const LENGTH = {
  string: 'STRLEN',
  hash: 'HLEN',
  list: 'LLEN',
  set: 'SCARD',
  zset: 'ZCARD',
  stream: 'XLEN',
} as const;

export function isKeyType(type: string): type is KeyType {
  return Object.hasOwn(LENGTH, type);
}

/**
 * Converts replies of a complete or paged collection to items. Unordered types are sorted, so that archives can be
 * compared.
 */
export function itemsOf(type: KeyType, replies: readonly Reply[]): Item[] {
  const parts = replies.map(bytesOf);
  if (type === 'list') return parts.map((part): Item => [part]);
  if (type === 'set') return parts.map((part): Item => [part]).sort(byFirst);
  if (type !== 'hash' && type !== 'zset') {
    throw new RedisReplyError(`A ${type} was read as a collection.`, {
      remedy: 'Report this as a bug in ngbak.',
    });
  }
  const items: Item[] = [];
  for (let at = 0; at + 1 < parts.length; at += 2) {
    const first = bytesOf(parts[at]);
    const second = bytesOf(parts[at + 1]);
    items.push([first, type === 'zset' ? Buffer.from(canonicalScore(second.toString())) : second]);
  }
  return items.sort(byFirst);
}

function byFirst(left: Item, right: Item): number {
  return Buffer.compare(left[0] ?? Buffer.alloc(0), right[0] ?? Buffer.alloc(0));
}

/** A string as items: blocks of a fixed size, and the remainder. */
export function blocksOf(value: Buffer): Item[] {
  const blocks: Item[] = [];
  for (let at = 0; at < value.length; at += STRING_BLOCK_BYTES)
    blocks.push([value.subarray(at, at + STRING_BLOCK_BYTES)]);
  return blocks;
}
