import { createHash } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { addTallies, MultisetDigest, type Tally } from '../../shared/core/digest.ts';
import { fc } from '../fast-check.ts';

const record = fc.oneof(fc.string({ unit: 'grapheme' }), fc.uint8Array());

/** The digest according to its definition, implemented independently. */
function digestOf(records: readonly (string | Uint8Array)[]): string {
  let sum = 0n;
  for (const bytes of records) sum += BigInt(`0x${createHash('sha256').update(bytes).digest('hex')}`);
  return (sum % 2n ** 256n).toString(16).padStart(64, '0');
}

function tallyOf(records: readonly (string | Uint8Array)[]): Tally {
  const digest = new MultisetDigest();
  for (const bytes of records) digest.add(bytes);
  return { count: records.length, digest: digest.hex() };
}

test('the digest of records is the sum of their SHA-256 modulo 2^256, regardless of order and partition', () => {
  fc.assert(
    fc.property(fc.array(record, { maxLength: 40 }), fc.array(record, { maxLength: 40 }), (some, more) => {
      const whole = [...some, ...more];
      expect(tallyOf(whole).digest).toBe(digestOf(whole));
      expect(tallyOf(whole.toReversed())).toEqual(tallyOf(whole));
      expect(addTallies({ x: tallyOf(some) }, { x: tallyOf(more) })).toEqual({ x: tallyOf(whole) });
    }),
  );
  expect(tallyOf([]).digest).toBe('0'.repeat(64));
});

test('a record that occurs twice, or in place of another, changes the digest', () => {
  expect(tallyOf(['a', 'a']).digest).not.toBe(tallyOf(['a']).digest);
  expect(tallyOf(['a', 'b']).digest).not.toBe(tallyOf(['a', 'c']).digest);
});
