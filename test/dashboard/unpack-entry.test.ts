import { createHash, randomBytes } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { DamagedEntryError, unpackEntry } from '../../dashboard/backup/unpack-entry.ts';
import { encodeTarHeader, paddingOf } from '../../shared/archive/format/tar.ts';

/** An entry as stored in an archive: header, content and padding, split into compressed members. */
function pack(name: string, content: Buffer, codec: 'gzip' | 'zstd', memberBytes = 10_000) {
  const whole = Buffer.concat([
    encodeTarHeader(name, content.length),
    content,
    Buffer.alloc(paddingOf(content.length)),
  ]);
  const members: Buffer[] = [];
  for (let at = 0; at < whole.length; at += memberBytes) {
    const piece = whole.subarray(at, at + memberBytes);
    members.push(codec === 'gzip' ? gzipSync(piece) : zstdCompressSync(piece));
  }
  return {
    entry: { name, size: content.length, sha256: createHash('sha256').update(content).digest('hex') },
    packed: new Uint8Array(Buffer.concat(members)),
  };
}

describe.each(['gzip', 'zstd'] as const)('an entry in %s', (codec) => {
  test.each([
    ['nothing', 0],
    ['a byte', 1],
    ['exactly one block', 512],
    ['one member', 5000],
    ['many members', 95_000],
  ])('of %s is unpacked unchanged', async (_, bytes) => {
    const content = Buffer.concat([randomBytes(bytes >> 1), Buffer.alloc(bytes - (bytes >> 1), 'x')]);
    const { entry, packed } = pack('kv/docs.json', content, codec);
    expect(Buffer.from(await unpackEntry(entry, packed)).equals(content)).toBe(true);
  });

  test('with a name that needs a longer header is unpacked unchanged', async () => {
    const content = Buffer.from('{"a": 1}');
    const { entry, packed } = pack(`kv/${'é'.repeat(120)}.json`, content, codec);
    expect(Buffer.from(await unpackEntry(entry, packed)).equals(content)).toBe(true);
  });

  test('that does not match the index is rejected by name', async () => {
    const { entry, packed } = pack('kv/docs.json', randomBytes(30_000), codec);
    const changed = { ...entry, sha256: '0'.repeat(64) };
    await expect(unpackEntry(changed, packed)).rejects.toThrow('kv/docs.json does not match the SHA-256');
    await expect(unpackEntry({ ...entry, size: 100 }, packed)).rejects.toThrow(DamagedEntryError);
    await expect(unpackEntry({ ...entry, size: 60_000 }, packed)).rejects.toThrow('is smaller');
    await expect(unpackEntry(entry, packed.subarray(0, 9000))).rejects.toThrow(DamagedEntryError);
    await expect(unpackEntry(entry, new Uint8Array(100))).rejects.toThrow(DamagedEntryError);
  });

  test('that unpacks to far more than the index states is not retained', async () => {
    const bomb = pack('kv/docs.json', Buffer.alloc(200 * 1024 ** 2), codec, 50 * 1024 ** 2);
    await expect(unpackEntry({ ...bomb.entry, size: 1000 }, bomb.packed)).rejects.toThrow(
      'is larger than its index entry',
    );
  });
});
