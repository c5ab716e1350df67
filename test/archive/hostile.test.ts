import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { ArchiveLimits } from '../../shared/archive/limits.ts';
import { normalizeArchive } from '../../shared/archive/normalize.ts';
import { isSeekable } from '../../shared/archive/open.ts';
import { encodeSegment } from '../../shared/archive/segment.ts';
import { bufferSource } from '../../shared/archive/sources.ts';
import { verifyArchive } from '../../shared/archive/verify.ts';
import { buildArchive, collect, piecesOf } from './build.ts';
import { type Forgery, forge, paxEntry, rawArchive, rawEntry } from './forge.ts';

async function verified(bytes: Buffer, limits: Partial<ArchiveLimits> = {}): Promise<readonly string[]> {
  const source = bufferSource('hostile.ngbak', bytes);
  try {
    return (await verifyArchive(source, { cursor: null, timeLeft: () => 60_000, limits })).problems;
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

const first = <T>(items: T[]): T => items[0] as T;

describe('a seekable archive', () => {
  test.each(['gzip', 'zstd'] as const)('that is sound is found to be so (%s)', async (codec) => {
    expect(await verified(await forge({ codec }))).toEqual([]);
  });

  const forgeries: [string, Forgery, RegExp][] = [
    [
      'an entry twice',
      {
        contents: [
          { name: 'a', data: Buffer.from('1') },
          { name: 'a', data: Buffer.from('2') },
        ],
      },
      /"a" is there twice/,
    ],
    [
      'names that differ only in case',
      {
        contents: [
          { name: 'kv/a', data: Buffer.from('1') },
          { name: 'kv/A', data: Buffer.from('2') },
        ],
      },
      /twice/,
    ],
    [
      'names that differ only in Unicode form',
      {
        contents: [
          { name: 'é', data: Buffer.from('1') },
          { name: 'e\u0301', data: Buffer.from('2') },
        ],
      },
      /twice/,
    ],
    [
      'an entry called like the manifest',
      { contents: [{ name: 'Manifest.json', data: Buffer.from('1') }] },
      /twice/,
    ],
    [
      'an index entry that points outside',
      {
        index: (lines) => lines.map((line, at) => (at === 1 ? { ...line, length: line.length + 1e6 } : line)),
      },
      /"kv\/b.json" does not lie behind/,
    ],
    [
      'index entries that overlap',
      { index: (lines) => lines.map((line, at) => (at === 1 ? { ...line, offset: 0 } : line)) },
      /"kv\/b.json" does not lie behind/,
    ],
    ['an index that leaves an entry out', { index: (lines) => lines.slice(0, 1) }, /does not cover all/],
    ['an index that leaves the first entry out', { index: (lines) => lines.slice(1) }, /does not lie behind/],
    [
      'an index entry of another name than the tar header',
      { index: (lines) => lines.map((line) => ({ ...line, name: `${line.name}x` })) },
      /"graph\/a.jsonlx".*tar header/,
    ],
    [
      'an index entry of another size than the tar header',
      { index: (lines) => lines.map((line) => ({ ...line, size: line.size + 1 })) },
      /"graph\/a.jsonl".*tar header/,
    ],
    [
      'an index entry of another digest',
      {
        index: (lines) =>
          lines.map((line) => ({
            ...line,
            sha256: '0'.repeat(63) + (line.name === 'kv/b.json' ? '1' : '2'),
          })),
      },
      /"kv\/b.json".*SHA-256/,
    ],
    [
      'an index entry of another CRC',
      { index: (lines) => lines.map((line) => ({ ...line, crc32: 1 })) },
      /"graph\/a.jsonl".*CRC-32/,
    ],
    ['a negative offset', { indexText: (text) => text.replace('"offset":0', '"offset":-1') }, /no entry/],
    ['an overflowing size', { indexText: (text) => text.replace(/"size":\d+/, '"size":1e300') }, /no entry/],
    ['a fractional size', { indexText: (text) => text.replace(/"size":\d+/, '"size":1.5') }, /no entry/],
    ['an index that is no JSON', { indexText: (text) => `${text}garbage\n` }, /no entry/],
    [
      'an index with an endless line',
      { indexText: (text) => text + ' '.repeat(10_000) },
      /line of more than/,
    ],
    [
      'an index whose last line has no end',
      { indexText: (text) => text.slice(0, -1) },
      /without a line feed/,
    ],
    [
      'a parent path',
      { index: (lines) => lines.map((line) => ({ ...line, name: `../${line.name}` })) },
      /parent folder/,
    ],
    [
      'an absolute path',
      { index: (lines) => lines.map((line) => ({ ...line, name: `/${line.name}` })) },
      /absolute/,
    ],
    [
      'a path with a backslash',
      { index: (lines) => lines.map((line) => ({ ...line, name: `a\\${line.name}` })) },
      /backslash/,
    ],
    [
      'a drive letter',
      { index: (lines) => lines.map((line) => ({ ...line, name: `c:${line.name}` })) },
      /drive/,
    ],
    [
      'a control character in a name',
      { index: (lines) => lines.map((line) => ({ ...line, name: `\u001b[2J${line.name}` })) },
      /control character/,
    ],
    [
      'sums that leave an entry out',
      { sums: (text) => text.split('\n').slice(1).join('\n') },
      /SHA256SUMS and index.jsonl differ/,
    ],
    [
      'sums that are not sorted',
      { sums: (text) => `${text.trimEnd().split('\n').reverse().join('\n')}\n` },
      /not sorted/,
    ],
    [
      'sums that list an entry twice',
      { sums: (text) => `${text}${text.trimEnd().split('\n').at(-1)}\n` },
      /not sorted/,
    ],
    ['sums that are none', { sums: () => 'nothing\n' }, /no digest/],
    [
      'another checksum',
      { manifest: (manifest) => ({ ...manifest, checksum: '0'.repeat(64) }) },
      /checksum the manifest tells/,
    ],
    [
      'a manifest that tells of more entries',
      { manifest: (m) => ({ ...m, index: { ...(m.index as object), entries: 3 } }) },
      /not the one that the manifest tells of/,
    ],
    [
      'a manifest of a later major version',
      { manifest: (m) => ({ ...m, format_version: '2.3' }) },
      /format version 2.3; this ngbak .* reads version 1/,
    ],
    [
      'a manifest without a version',
      { manifest: ({ format_version, ...rest }) => rest },
      /names no format version/,
    ],
    ['a manifest that is a list', { manifestText: () => '[]' }, /not a JSON object/],
    [
      'a manifest that is nested too deep',
      { manifestText: () => `${'{"a":'.repeat(2000)}1${'}'.repeat(2000)}` },
      /nested deeper than 32/,
    ],
    ['a manifest that is no JSON', { manifestText: (text) => text.slice(1) }, /is not JSON/],
    [
      'a manifest with a backup id that leads elsewhere',
      { manifest: (m) => ({ ...m, backup_id: '../../x' }) },
      /backup_id/,
    ],
    [
      'an end that is not zero',
      { end: Buffer.concat([Buffer.alloc(512), Buffer.alloc(512, 1)]) },
      /two zero blocks/,
    ],
    ['an end that is too long', { end: Buffer.alloc(2048) }, /two zero blocks/],
    [
      'another file in place of the index',
      { footer: (f) => ({ ...f, index: f.sums, sums: f.index }) },
      /damaged/,
    ],
    [
      'a footer that points outside',
      { footer: (f) => ({ ...f, offset: f.offset + 1 }) },
      /its footer is that of/,
    ],
    ['a footer with an overflowing offset', { footer: (f) => ({ ...f, offset: 2 ** 52 }) }, /outside/],
    [
      'bytes before the first entry',
      { data: (data) => Buffer.concat([gzipSync('x'), data]) },
      /damaged|does not|"graph/,
    ],
  ];
  test.each(forgeries)('with %s is refused', async (_name, forgery, message) => {
    expect((await verified(await forge(forgery))).join('; ')).toMatch(message);
  });

  const limits: [Partial<ArchiveLimits>, RegExp][] = [
    [{ entries: 1 }, /entries/],
    [{ namesBytes: 20 }, /names of its entries have more than 20 bytes/],
    [{ nameBytes: 5 }, /bytes long; the limit is 5/],
    [{ entryBytes: 7 }, /exceeds the limits|limit is 7/],
    [{ totalBytes: 10 }, /limits/],
    [{ manifestBytes: 100 }, /limit is 100|more than 100/],
    [{ jsonDepth: 1 }, /deeper than 1/],
    [{ lineBytes: 20 }, /more than 20/],
    [{ ratio: 0.01, ratioFreeBytes: 0 }, /limit is 0.01 to 1/],
  ];
  test.each(limits)('beyond the limits %j is refused', async (limit, message) => {
    expect((await verified(await forge(), limit)).join('; ')).toMatch(message);
  });

  test.each([1, 9, 89, 90, 91, 4000])('with %d bytes behind its end is refused', async (count) => {
    const bytes = Buffer.concat([await forge(), Buffer.alloc(count)]);
    expect((await verified(bytes)).join()).toMatch(/footer/);
    await expect(collect(normalizeArchive(bufferSource('x', bytes)))).rejects.toThrow(/damaged/);
  });

  test('concatenated with another one is refused', async () => {
    const two = Buffer.concat([await forge(), await forge()]);
    expect((await verified(two)).join()).toMatch(/its footer is that of/);
    await expect(collect(normalizeArchive(bufferSource('x', two)))).rejects.toThrow(
      /behind the end of the tar/,
    );
  });

  test('that starts inside another file is refused', async () => {
    const archive = await forge();
    expect((await verified(Buffer.concat([archive.subarray(0, 100), archive]))).join()).toMatch(
      /its footer is that/,
    );
  });
});

describe('a file', () => {
  test.each([
    ['empty', Buffer.alloc(0)],
    ['of one byte', Buffer.from([0x1f])],
    ['of text', Buffer.from('hello world')],
    ['that is a ZIP', Buffer.from('PK\u0003\u0004 and so on')],
    ['that is a bare tar', Buffer.concat([rawEntry({ name: 'manifest.json' }), Buffer.alloc(1024)])],
  ])('%s is told to be no archive', async (_name, bytes) => {
    await expect(isSeekable(bufferSource('x', bytes))).rejects.toThrow('is no ngbak archive');
    await expect(collect(normalizeArchive(bufferSource('x', bytes)))).rejects.toThrow('is no ngbak archive');
  });
});

describe('an archive that is read front to back', () => {
  const size = (text: string) => Buffer.from(text.padEnd(12, '\0'), 'latin1');
  const negative = Buffer.alloc(12, 0xff);
  const overflow = Buffer.alloc(12, 0xff);
  overflow[0] = 0xbf;
  const long = (name: string) =>
    rawEntry({ name: '././@LongLink', type: 'L', data: Buffer.from(`${name}\0`) });
  const corpus: [string, Buffer[], RegExp][] = [
    ['a symbolic link', [rawEntry({ type: '2' })], /symbolic link/],
    ['a hard link', [rawEntry({ type: '1' })], /hard link/],
    ['a character device', [rawEntry({ type: '3' })], /character device/],
    ['a block device', [rawEntry({ type: '4' })], /block device/],
    ['a named pipe', [rawEntry({ type: '6' })], /named pipe/],
    ['a sparse file', [rawEntry({ type: 'S' })], /sparse/],
    ['a sparse file of PAX', [paxEntry({ 'GNU.sparse.major': '1' }), rawEntry({})], /sparse/],
    ['an unknown type', [rawEntry({ type: 'Z' })], /of type "Z"/],
    ['an absolute path', [rawEntry({ name: '/etc/passwd' })], /absolute/],
    ['a parent path', [rawEntry({ name: 'a/../../b' })], /parent/],
    ['a parent path behind ./', [rawEntry({ name: './../b' })], /parent/],
    ['a parent path in the prefix', [rawEntry({ name: 'b', prefix: '..' })], /parent/],
    ['a parent path in a GNU long name', [long('../b'), rawEntry({})], /parent/],
    ['a parent path in PAX', [paxEntry({ path: '../b' }), rawEntry({})], /parent/],
    [
      'a global PAX path',
      [rawEntry({ type: 'g', data: Buffer.from('10 path=x\n') }), rawEntry({})],
      /global/,
    ],
    ['a backslash', [rawEntry({ name: 'a\\b' })], /backslash/],
    ['a line feed in a name', [rawEntry({ name: 'a\nb' })], /control character/],
    ['a name that is not UTF-8', [rawEntry({ name: Buffer.from([0xff, 0xfe]) })], /not UTF-8/],
    ['an empty name', [rawEntry({ name: '' })], /is empty/],
    ['a name twice', [rawEntry({ name: 'a' }), rawEntry({ name: './a' })], /twice/],
    ['a negative size', [rawEntry({ size: negative })], /negative/],
    ['a size beyond 2^53', [rawEntry({ size: overflow })], /negative or out of bounds/],
    ['a size that is no number', [rawEntry({ size: size('12x') })], /not a number/],
    [
      'a size beyond the limit',
      [rawEntry({ size: Buffer.from([0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]) })],
      /the limit is/,
    ],
    [
      'a PAX size that overflows',
      [paxEntry({ size: '99999999999999999999' }), rawEntry({})],
      /out of bounds/,
    ],
    ['a negative PAX size', [paxEntry({ size: '-1' }), rawEntry({})], /out of bounds/],
    [
      'a PAX header without end',
      [rawEntry({ type: 'x', data: Buffer.from('99 path=a\n') }), rawEntry({})],
      /malformed/,
    ],
    ['a huge PAX header', [rawEntry({ type: 'x', size: size('00777777777') })], /extended header says/],
    ['a huge GNU long name', [rawEntry({ type: 'L', size: size('00777777777') })], /extended header says/],
    [
      'endless extended headers',
      [...Array.from({ length: 20 }, () => long('x')), rawEntry({})],
      /more than 8/,
    ],
    ['a wrong header checksum', [rawEntry({ badChecksum: true })], /wrong checksum/],
    ['a folder with content', [rawEntry({ type: '5', data: Buffer.from('x') })], /has content/],
    ['a lone zero block', [Buffer.alloc(512), rawEntry({})], /lone zero block/],
    ['a long name for nothing', [long('x')], /without a file/],
    ['no manifest', [rawEntry({})], /no manifest.json/],
    ['a huge manifest', [rawEntry({ name: 'manifest.json', size: size('00777777777') })], /the limit is/],
  ];
  test.each(corpus)('with %s is refused', async (_name, entries, message) => {
    await expect(collect(normalizeArchive(bufferSource('x', rawArchive(entries))))).rejects.toThrow(message);
  });

  test('is refused where more comes out of it than any backup holds, without using memory for it', async () => {
    const zeros = Buffer.alloc(8 * 1024 ** 2);
    const header = rawEntry({ name: 'kv/bomb.bin', size: size('00400000000') });
    // 64 MiB in frames of 8: about 15,000 to 1.
    const bomb = Buffer.concat([
      zstdCompressSync(header),
      ...Array.from({ length: 8 }, () => zstdCompressSync(zeros)),
    ]);
    await expect(
      collect(normalizeArchive(bufferSource('x', bomb), { limits: { ratioFreeBytes: 1024 ** 2 } })),
    ).rejects.toThrow(/limit is 1100 to 1/);
  });
});

describe('a writer', () => {
  test.each([
    ['a parent path', '../x', /parent/],
    ['an absolute path', '/x', /absolute/],
    ['a control character', 'a\u0000b', /control/],
    ['a lone surrogate', 'a\ud800', /UTF-8/],
    ['a name too long', 'x'.repeat(513), /limit is 512/],
  ])('refuses %s', async (_name, name, message) => {
    await expect(buildArchive([{ name, data: Buffer.from('x') }])).rejects.toThrow(message);
  });

  test('refuses two entries whose names fall together', async () => {
    const data = Buffer.from('x');
    await expect(
      buildArchive([
        { name: 'A', data },
        { name: 'a', data },
      ]),
    ).rejects.toThrow(/twice/);
  });

  const piece = { name: 'a', size: 4, offset: 0, length: 4, data: [Buffer.from('abcd')] };
  test.each([
    ['too few bytes', [{ ...piece, data: [Buffer.from('abc')] }], /holds 3 bytes/],
    ['too many bytes', [{ ...piece, data: [Buffer.from('abcde')] }], /holds more bytes/],
    [
      'a gap',
      [
        { ...piece, length: 2, data: [Buffer.from('ab')] },
        { ...piece, offset: 3, length: 1, data: [Buffer.from('d')] },
      ],
      /was to go on/,
    ],
    [
      'another entry before the end',
      [
        { ...piece, length: 2, data: [Buffer.from('ab')] },
        { ...piece, name: 'b' },
      ],
      /was to go on/,
    ],
    [
      'a start in the middle',
      [{ ...piece, offset: 2, length: 2, data: [Buffer.from('cd')] }],
      /was to go on/,
    ],
  ])('refuses pieces with %s', async (_name, pieces, message) => {
    const stream = (async function* () {
      yield* pieces;
    })();
    await expect(collect(encodeSegment(stream, { name: 's', codec: 'gzip' }, null))).rejects.toThrow(message);
  });

  test('tells an entry that was left unfinished', async () => {
    const { result } = await collect(encodeSegment(piecesOf([]), { name: 's', codec: 'gzip' }, null));
    expect(result).toMatchObject({ bytes: 0, entries: [], open: null });
    expect(first([result]).crc32).toBe(0);
  });
});

test('names that grow when they are folded are refused before they fill the memory', async () => {
  // One character of three bytes becomes eighteen (Unicode, NFKC).
  const name = (i: number) => `kv/${i}${'\ufdfa'.repeat(160)}`;
  const contents = Array.from({ length: 40 }, (_, i) => ({ name: name(i), data: Buffer.from('1') }));
  const namesBytes = contents.reduce((sum, entry) => sum + Buffer.byteLength(entry.name), 0) * 2;
  expect((await verified(await forge({ contents }), { namesBytes })).join()).toMatch(/names of its entries/);
});
