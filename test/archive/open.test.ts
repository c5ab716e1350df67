import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { isSeekable, openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { buildArchive, collect, countingSource, DRAFT, readAll } from './build.ts';

describe('reads no more than needed', () => {
  test('reading the manifest of an archive takes at most two requests, and an entry one more', async () => {
    // An index of 400 KiB and a manifest of more than 64 KiB: neither is contained in the first read.
    const contents = Array.from({ length: 3000 }, (_, at) => ({
      name: `kv/${at}-${randomBytes(30).toString('hex')}.json`,
      data: randomBytes(100),
    }));
    const draft = { ...DRAFT, tags: Array.from({ length: 2000 }, () => randomBytes(50).toString('hex')) };
    const source = countingSource(await buildArchive(contents, { draft }));
    const archive = await openArchive(source);
    expect(source.reads).toBeLessThanOrEqual(2);
    source.reads = 0;
    const [wanted] = contents.slice(1500);
    const entry = await archive.find(wanted?.name ?? '');
    // The index is read once and cached.
    expect(source.reads).toBe(1);
    source.reads = 0;
    if (!entry) throw new Error('no entry');
    await collect(archive.open(entry) as AsyncGenerator<Uint8Array>);
    expect(source.reads).toBe(1);
  });

  test('a small entry next to a large one is read without the large one', async () => {
    const source = countingSource(
      await buildArchive([
        { name: 'vectors/large.snapshot', data: randomBytes(20_000_000) },
        { name: 'kv/small.json', data: Buffer.from('{}') },
      ]),
    );
    const archive = await openArchive(source);
    expect((await readAll(archive, 'kv/small.json')).toString()).toBe('{}');
    expect(source.bytes).toBeLessThan(source.size * 0.005);
  });
});

test('a large entry is verified over several legs, and damage in a later leg is found', async () => {
  const data = randomBytes(3_000_000);
  const bytes = await buildArchive([{ name: 'vectors/large.snapshot', data }], { memberBytes: 65_536 });
  async function verifyInLegs(archive: Buffer) {
    let cursor: Parameters<typeof verifyArchive>[1]['cursor'] = null;
    let legs = 0;
    for (;;) {
      const source = bufferSource('large.ngbak', archive);
      const result: Awaited<ReturnType<typeof verifyArchive>> = await verifyArchive(source, {
        cursor,
        timeLeft: () => 0,
        resumeAbove: 1_000_000,
      });
      legs++;
      if (result.cursor === null) return { legs, problems: result.problems };
      // The workflow state must not contain a byte of data.
      const travelled = JSON.stringify(result.cursor);
      expect(travelled.length).toBeLessThan(8192);
      cursor = JSON.parse(travelled);
    }
  }
  expect(await verifyInLegs(bytes)).toEqual({ legs: 46, problems: [] });
  const damaged = Buffer.from(bytes);
  damaged[2_000_000] = (damaged[2_000_000] ?? 0) ^ 1;
  expect((await verifyInLegs(damaged)).problems.join()).toContain('"vectors/large.snapshot"');
});

test('an archive without entries is valid', async () => {
  const bytes = await buildArchive([]);
  expect(await isSeekable(bufferSource('empty', bytes))).toBe(true);
  expect(
    (await verifyArchive(bufferSource('empty', bytes), { cursor: null, timeLeft: () => 1 })).problems,
  ).toEqual([]);
});

test('the same data produces the same bytes, and the same checksum with either codec', async () => {
  const contents = [
    { name: 'kv/a.json', data: Buffer.from('{"a":1}') },
    { name: 'graph/b', data: randomBytes(5000) },
  ];
  const one = await buildArchive(contents);
  expect((await buildArchive(contents)).equals(one)).toBe(true);
  const checksum = async (bytes: Buffer) => (await openArchive(bufferSource('x', bytes))).manifest.checksum;
  for (const codec of ['gzip', 'zstd'] as const) {
    expect(await checksum(await buildArchive(contents, { codec, level: 1, memberBytes: 4096 }))).toBe(
      await checksum(one),
    );
  }
});
