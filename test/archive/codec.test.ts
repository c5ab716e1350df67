/** How a gzip member is compressed depends on a sample of it; every result decompresses to the same bytes. */
import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { compressMember, decompressMember } from '../../shared/archive/format/codec.ts';

const BYTES = 1024 ** 2;
/** The extra field with the member's length. */
const HEADER_BYTES = 10;

/** Components of unit vectors, in which a compressor finds no repetitions. */
function vectors(): Buffer {
  const values = Float32Array.from(
    { length: BYTES / 4 },
    (_, at) => Math.sin(at * at * 0.7) * Math.cos(at) * 0.1,
  );
  return Buffer.from(values.buffer);
}

const prose = Buffer.from(
  'a graph of entities, and the chunks that mention them; '.repeat(BYTES / 50),
).subarray(0, BYTES);

test.each([
  ['random bytes are stored', randomBytes(BYTES), { level: 0 }],
  ['vectors are as small as with the search for repetitions', vectors(), { level: 6 }],
  ['text is compressed at the given level', prose, { level: 6 }],
  [
    'half vectors, half text',
    Buffer.concat([vectors().subarray(BYTES / 2), prose.subarray(BYTES / 2)]),
    { level: 6 },
  ],
  ['a few bytes', Buffer.from('{"id":1}\n'), { level: 6 }],
])('%s', async (_name, plain, options) => {
  const member = await compressMember('gzip', 6, plain);
  expect(member.length - HEADER_BYTES).toBeLessThanOrEqual(gzipSync(plain, options).length * 1.01);
  expect((await decompressMember('gzip', member)).equals(plain)).toBe(true);
});
