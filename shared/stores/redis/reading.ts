import type { KeyPart, KeyType } from './record.ts';
import type { ByteString } from './scope.ts';

/** Maximum number of value bytes per request. */
export const VALUES_BYTES = 2 * 1024 ** 2;
/** Strings up to this many bytes are read as a whole; longer ones in blocks. */
export const WHOLE_STRING_BYTES = 8 * 1024 ** 2;
/**
 * Maximum number of attempts to read a key that is deleted and recreated, possibly with another type, between two
 * commands.
 */
export const CHANGED_TRIES = 20;

/** Content of a key: a string, a small collection, or a large key that must be read part by part. */
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

/** The key of a reading. */
export function keyOf(reading: KeyReading): ByteString {
  return reading.kind === 'whole' ? reading.part.key : reading.key;
}
