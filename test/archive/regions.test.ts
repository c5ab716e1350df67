import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { openArchive } from '../../shared/archive/read/open.ts';
import { describeRegions } from '../../shared/archive/read/regions.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import type { Json } from '../../shared/core/json.ts';
import { buildArchive, countingSource } from './build.ts';

const folderOf = (name: string) => name.split('/')[0];
const KiB = 1024;
const CONTENTS = [
  { name: 'graph/a', data: Buffer.from('first') },
  { name: 'graph/b', data: randomBytes(300 * KiB) },
  { name: 'vectors/a', data: randomBytes(500 * KiB) },
  { name: 'kv/a', data: Buffer.alloc(0) },
  { name: 'kv/b', data: Buffer.from('last') },
];

describe.each(['gzip', 'zstd'] as const)('with %s', (codec) => {
  test('the checksums of an archive and of its parts follow from index and footer', async () => {
    const bytes = await buildArchive(CONTENTS, { codec });
    const source = countingSource(bytes);
    const archive = await openArchive(source);
    const { groups, crc32: whole } = await describeRegions(source, archive, folderOf);
    expect(source.bytes).toBeLessThan(100 * KiB);
    expect(whole).toBe(crc32(bytes));
    expect([...groups.keys()]).toEqual(['graph', 'vectors', 'kv']);
    let position = 0;
    for (const { offset, length, crc32: crc } of groups.values()) {
      expect(offset).toBe(position);
      expect(crc).toBe(crc32(bytes.subarray(offset, offset + length)));
      position += length;
    }
    expect(position).toBe(archive.footer.offset);
  });

  test('the description of a part does not depend on its place, and changes with its entries', async () => {
    const describeKv = async (contents: typeof CONTENTS) => {
      const source = bufferSource('x.ngbak', await buildArchive(contents, { codec }));
      const { groups } = await describeRegions(source, await openArchive(source), folderOf);
      const { offset: _, ...kv } = groups.get('kv') ?? { offset: 0 };
      return kv;
    };
    const kv = await describeKv(CONTENTS);
    expect(await describeKv(CONTENTS.slice(2))).toEqual(kv);
    const renamed = CONTENTS.map(({ name, data }) => ({ name: name.replace('kv/b', 'kv/c'), data }));
    expect(await describeKv(renamed)).not.toEqual(kv);
  });
});

test('a part whose entries do not follow one another has no description', async () => {
  const [first, ...others] = CONTENTS;
  const source = bufferSource(
    'x.ngbak',
    await buildArchive([...others, ...(first ? [first] : [])].slice(1), {}),
  );
  const mixed = bufferSource(
    'y.ngbak',
    await buildArchive([...CONTENTS, { name: 'graph/c', data: Buffer.from('x') }]),
  );
  const namesOf = async (archive: typeof source) => [
    ...(await describeRegions(archive, await openArchive(archive), folderOf)).groups.keys(),
  ];
  expect(await namesOf(source)).toEqual(['vectors', 'kv', 'graph']);
  expect(await namesOf(mixed)).toEqual(['vectors', 'kv']);
});

describe('a check that leaves out a part', () => {
  /** All legs of a check without the vectors, and the bytes that it read. */
  async function check(bytes: Buffer, timeLeft: () => number) {
    const archive = bufferSource('x.ngbak', bytes);
    const { groups } = await describeRegions(archive, await openArchive(archive), folderOf);
    const vectors = groups.get('vectors');
    if (!vectors) throw new Error('no vectors');
    const source = countingSource(bytes);
    const checked: string[] = [];
    let legs = 0;
    for (let cursor: Json = null; ; ) {
      const result = await verifyArchive(source, {
        cursor,
        timeLeft,
        unread: [vectors],
        entry: (name) => checked.push(name),
      });
      legs++;
      cursor = result.cursor;
      if (cursor === null) return { ...result, checked, legs, read: source.bytes, vectors };
    }
  }

  test.each([
    ['in one leg', () => 60_000],
    ['in a leg for each entry', () => 0],
  ])('reads all others, and nothing of it, %s', async (_how, timeLeft) => {
    const bytes = await buildArchive(CONTENTS);
    const { problems, checked, legs, read, vectors } = await check(bytes, timeLeft);
    expect(problems).toEqual([]);
    expect(checked).toEqual(['graph/a', 'graph/b', 'kv/a', 'kv/b']);
    expect(legs).toBe(timeLeft() > 0 ? 1 : 4);
    if (legs === 1) expect(read).toBeLessThan(bytes.length - vectors.length + 300 * KiB);
  });

  test('finds damage in the others only', async () => {
    const bytes = await buildArchive(CONTENTS);
    const { vectors } = await check(bytes, () => 60_000);
    const damagedPart = Buffer.from(bytes);
    damagedPart.fill(0, vectors.offset + 1000, vectors.offset + 1100);
    expect((await check(damagedPart, () => 60_000)).problems).toEqual([]);
    const damagedOther = Buffer.from(bytes);
    damagedOther.fill(0, 1000, 1100);
    expect((await check(damagedOther, () => 60_000)).problems).toHaveLength(1);
  });
});
