import type { KeyPart, KeyType } from './record.ts';
import type { ByteString } from './scope.ts';

/** Most bytes of values asked for in one go. */
export const VALUES_BYTES = 2 * 1024 ** 2;
/** Strings up to this many bytes are read whole; longer ones in blocks. */
export const WHOLE_STRING_BYTES = 8 * 1024 ** 2;
/** Times that a key is looked at because it was deleted and made again, as another type perhaps, between two commands. */
export const CHANGED_TRIES = 20;

/** What a key holds: a string, a small collection, or something that has to be read part by part. */
export type KeyReading =
  | {
      readonly kind: 'string';
      readonly key: ByteString;
      readonly value: Buffer;
      readonly expiresAt: number | null;
    }
  | { readonly kind: 'whole'; readonly part: KeyPart }
  | { readonly kind: 'large'; readonly key: ByteString; readonly type: KeyType };
export type SmallReading = Exclude<KeyReading, { kind: 'large' }>;

/** The key that was read. */
export function keyOf(reading: KeyReading): ByteString {
  return reading.kind === 'whole' ? reading.part.key : reading.key;
}
