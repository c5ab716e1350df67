import { zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { isSeekable } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { encodeSegment } from '../../shared/archive/write/segment.ts';
import type { ArchiveLimits } from '../../shared/core/limits.ts';
import { buildArchive, collect, piecesOf } from './build.ts';
import { FORGERIES, hostileArchives, TARS } from './corpus.ts';
import { forge, rawArchive, rawEntry } from './forge.ts';

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
  test.each(['gzip', 'zstd'] as const)('that is valid is accepted (%s)', async (codec) => {
    expect(await verified(await forge({ codec }))).toEqual([]);
  });

  test.each([...FORGERIES])('with %s is refused', async (_name, forgery, message) => {
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

  test.each([1, 9, 89, 90, 91, 4000])('with %d bytes after its end is refused', async (count) => {
    const bytes = Buffer.concat([await forge(), Buffer.alloc(count)]);
    expect((await verified(bytes)).join()).toMatch(/footer/);
    await expect(collect(normalizeArchive(bufferSource('x', bytes)))).rejects.toThrow(/damaged/);
  });

  test('concatenated with another one is refused', async () => {
    const two = Buffer.concat([await forge(), await forge()]);
    expect((await verified(two)).join()).toMatch(/its footer describes/);
    await expect(collect(normalizeArchive(bufferSource('x', two)))).rejects.toThrow(
      /after the end of the tar/,
    );
  });

  test('that starts within another file is refused', async () => {
    const archive = await forge();
    expect((await verified(Buffer.concat([archive.subarray(0, 100), archive]))).join()).toMatch(
      /its footer describes/,
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
  ])('%s is reported as not an archive', async (_name, bytes) => {
    await expect(isSeekable(bufferSource('x', bytes))).rejects.toThrow('is not an ngbak archive');
    await expect(collect(normalizeArchive(bufferSource('x', bytes)))).rejects.toThrow(
      'is not an ngbak archive',
    );
  });
});

describe('an archive that is read sequentially', () => {
  test.each([...TARS])('with %s is refused', async (_name, entries, message) => {
    await expect(collect(normalizeArchive(bufferSource('x', rawArchive(entries))))).rejects.toThrow(message);
  });

  test('is refused if it expands to more than any backup holds, without using memory for it', async () => {
    const zeros = Buffer.alloc(8 * 1024 ** 2);
    const header = rawEntry({ name: 'kv/bomb.bin', size: Buffer.from('00400000000\0') });
    // 64 MiB in frames of 8 MiB: about 15,000 to 1.
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

  test('refuses two entries whose names collide', async () => {
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
      /was expected to continue/,
    ],
    [
      'another entry before the end',
      [
        { ...piece, length: 2, data: [Buffer.from('ab')] },
        { ...piece, name: 'b' },
      ],
      /was expected to continue/,
    ],
    [
      'a start in the middle',
      [{ ...piece, offset: 2, length: 2, data: [Buffer.from('cd')] }],
      /was expected to continue/,
    ],
  ])('refuses pieces with %s', async (_name, pieces, message) => {
    const stream = (async function* () {
      yield* pieces;
    })();
    await expect(collect(encodeSegment(stream, { name: 's', codec: 'gzip' }, null))).rejects.toThrow(message);
  });

  test('reports an unfinished entry', async () => {
    const { result } = await collect(encodeSegment(piecesOf([]), { name: 's', codec: 'gzip' }, null));
    expect(result).toMatchObject({ bytes: 0, entries: [], open: null });
    expect(first([result]).crc32).toBe(0);
  });
});

test('names that grow when case-folded are refused before they fill the memory', async () => {
  // One character of three bytes expands to eighteen (Unicode, NFKC).
  const name = (i: number) => `kv/${i}${'\ufdfa'.repeat(160)}`;
  const contents = Array.from({ length: 40 }, (_, i) => ({ name: name(i), data: Buffer.from('1') }));
  const namesBytes = contents.reduce((sum, entry) => sum + Buffer.byteLength(entry.name), 0) * 2;
  expect((await verified(await forge({ contents }), { namesBytes })).join()).toMatch(/names of its entries/);
});

test('each archive of the corpus from write-corpus.ts has a name and a reason, and none is accepted', async () => {
  const names = new Set<string>();
  for await (const { name, bytes } of hostileArchives()) {
    expect(names.has(name)).toBe(false);
    names.add(name);
    const accepted = (await verified(bytes)).length === 0;
    expect([name, accepted]).toEqual([name, false]);
  }
  expect(names.size).toBe(FORGERIES.length + TARS.length);
});
