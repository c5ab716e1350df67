import { blocksOf } from './items.ts';
import type { LargeOptions } from './large.ts';
import type { KeyReader } from './read.ts';
import type { SmallReading } from './reading.ts';
import { ContentDigest, type KeyType, type StreamState } from './record.ts';
import type { ByteString } from './scope.ts';

/** A key's content for comparison: the bytes of a short string, otherwise type and digest. */
export type Content = { readonly expiresAt: number | null } & (
  | { readonly kind: 'string'; readonly value: Buffer }
  | {
      readonly kind: 'digest';
      readonly type: KeyType;
      readonly digest: string;
      readonly stream?: StreamState;
    }
);

/**
 * Reads a key for comparison; undefined if it does not exist.
 *
 * @param asBlocks represent strings of any length by the digest of their blocks
 */
export async function contentOf(
  reader: KeyReader,
  key: ByteString,
  asBlocks: boolean,
  options: LargeOptions = { as: 'proven' },
): Promise<Content | undefined> {
  for await (const reading of reader.read([key])) {
    if (reading.kind !== 'large') return smallContent(reading, asBlocks);
    for await (const step of reader.readLarge(key, reading.type, null, options)) {
      if ('kind' in step) return smallContent(step, asBlocks);
      if (!step.part.last) continue;
      const { type, expiresAt, stream } = step.part;
      return { kind: 'digest', type, digest: step.digest, expiresAt, ...(stream ? { stream } : {}) };
    }
  }
  return undefined;
}

function smallContent(reading: SmallReading, asBlocks: boolean): Content {
  if (reading.kind === 'string') {
    const { value, expiresAt } = reading;
    if (!asBlocks) return { kind: 'string', value, expiresAt };
    const digest = new ContentDigest('string');
    digest.add(blocksOf(value));
    return { kind: 'digest', type: 'string', digest: digest.hex(), expiresAt };
  }
  const { type, items, expiresAt, stream } = reading.part;
  const digest = new ContentDigest(type);
  digest.add(items);
  return { kind: 'digest', type, digest: digest.hex(), expiresAt, ...(stream ? { stream } : {}) };
}
