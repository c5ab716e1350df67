import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterAll, expect, test } from '@jest/globals';
import { encodeNamePart } from '../../shared/archive/format/names.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, planParts } from '../../shared/aws/plan-parts.ts';
import { combineCrc32 } from '../../shared/core/crc32.ts';
import { OBJECT_BYTES_MAX } from '../../shared/core/limits.ts';
import { resumableSha256 } from '../../shared/core/sha256.ts';
import { missing, testUnless } from '../conditions.ts';
import { fc } from '../fast-check.ts';
import { NIGHTLY } from '../nightly.ts';
import { buildArchive, readAll } from './build.ts';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'ngbak-properties-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Archives that are written, read and unpacked; different ones in each run. */
const ARCHIVES = NIGHTLY ? 1000 : 80;
/** Lists of sources for which a plan of parts is checked. */
const PLANS = NIGHTLY ? 500 : 100;
const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

const namePart = fc
  .string({ unit: fc.constantFrom(...'abcxyz0189._-%ü漢😀 '), minLength: 1, maxLength: 24 })
  .map((part) => (part.replaceAll('.', '').trim() === '' ? 'x' : part))
  .map((part) => part.normalize('NFC'));
const bytes = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 3000 }) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array()) },
  { weight: 2, arbitrary: fc.string({ maxLength: 400 }).map((text) => Buffer.from(text.repeat(40))) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 200_000 }).map((size) => Buffer.alloc(size, 'ab')) },
);
const contents = fc.uniqueArray(
  fc.record({
    name: fc
      .tuple(fc.constantFrom('graph', 'kv', 'vectors', 'config'), namePart, fc.option(namePart))
      .map(([store, part, more]) => (more === null ? `${store}/f-${part}` : `${store}/d-${part}/${more}`)),
    data: bytes,
  }),
  { maxLength: 8, selector: ({ name }) => name.normalize('NFKC').toLowerCase() },
);
const options = fc.record({
  codec: fc.constantFrom('gzip' as const, 'zstd' as const),
  level: fc.integer({ min: 1, max: 9 }),
  memberBytes: fc.integer({ min: 4096, max: 70_000 }),
  pieceBytes: fc.integer({ min: 1, max: 3000 }),
});

/**
 * Archives that GNU tar and sha256sum check at once: starting two programs for each would cost more than all the rest.
 */
const BATCH = 100;
const UNPACK = `
set -e
shopt -s nullglob
for place in */; do
  cd "$place"
  if [ -e p.tgz ]; then tar -xzf p.tgz; else tar --zstd -xf p.tzst; fi
  if [ -s SHA256SUMS ]; then sha256sum --strict -c --quiet SHA256SUMS; fi
  [ "$(sha256sum < SHA256SUMS)" = "$(cat checksum)  -" ] || { echo "checksum of $place" >&2; exit 1; }
  cd ..
  rm -r "$place"
done`;

async function unpackAll(): Promise<void> {
  const { stderr } = await run('bash', ['-c', UNPACK], { cwd: folder });
  expect(stderr).toBe('');
}

testUnless(
  missing('zstd'),
  `${ARCHIVES} archives: what is written is read, and GNU tar and sha256sum confirm it`,
  async () => {
    let number = 0;
    await fc.assert(
      fc.asyncProperty(contents, options, async (wanted, { pieceBytes, ...rest }) => {
        // Large contents in tiny pieces would take minutes without testing anything else.
        const largest = Math.max(1, ...wanted.map(({ data }) => data.length));
        const archive = await buildArchive(wanted, {
          ...rest,
          pieceBytes: Math.max(pieceBytes, largest / 10) | 0,
        });
        const source = bufferSource('p.ngbak', archive);
        expect((await verifyArchive(source, { cursor: null, timeLeft: () => 1 })).problems).toEqual([]);
        const opened = await openArchive(source);
        const names: string[] = [];
        for await (const { name } of opened.entries('')) names.push(name);
        expect(names).toEqual(wanted.map(({ name }) => name));
        for (const { name, data } of wanted) expect((await readAll(opened, name)).equals(data)).toBe(true);
        const place = join(folder, String(number++));
        await mkdir(place);
        await writeFile(join(place, rest.codec === 'gzip' ? 'p.tgz' : 'p.tzst'), archive);
        await writeFile(join(place, 'checksum'), opened.manifest.checksum);
        if (number % BATCH === 0) await unpackAll();
      }),
      { numRuns: ARCHIVES },
    );
    await unpackAll();
  },
);

test('any range of an entry can be read, and is correct', async () => {
  const data = Buffer.alloc(50_000, 'seek me');
  const archive = await openArchive(
    bufferSource('p', await buildArchive([{ name: 'a/b', data }], { memberBytes: 4100, pieceBytes: 7001 })),
  );
  const entry = await archive.find('a/b');
  if (!entry) throw new Error('no entry');
  await fc.assert(
    fc.asyncProperty(fc.nat(data.length), fc.nat(data.length), async (one, other) => {
      const [from, to] = one < other ? [one, other] : [other, one];
      const parts: Uint8Array[] = [];
      for await (const part of archive.open(entry, { offset: from, length: to - from })) parts.push(part);
      expect(Buffer.concat(parts).equals(data.subarray(from, to))).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('a verification in several legs has the same result as one in a single leg, and its cursor stays small', async () => {
  const archive = await buildArchive(
    Array.from({ length: 40 }, (_, at) => ({ name: `kv/${at}`, data: Buffer.alloc(at * 100, at) })),
  );
  archive[50] = (archive[50] ?? 0) ^ 1;
  let cursor: Parameters<typeof verifyArchive>[1]['cursor'] = null;
  let legs = 0;
  let problems: readonly string[] = [];
  do {
    const result: Awaited<ReturnType<typeof verifyArchive>> = await verifyArchive(
      bufferSource('p', archive),
      { cursor, timeLeft: () => 0 },
    );
    cursor = JSON.parse(JSON.stringify(result.cursor));
    problems = result.problems;
    expect(JSON.stringify(cursor).length).toBeLessThan(8192);
    legs++;
  } while (cursor !== null);
  expect(legs).toBe(40);
  expect(problems).toEqual(
    (await verifyArchive(bufferSource('p', archive), { cursor: null, timeLeft: () => 1 })).problems,
  );
  expect(problems).toHaveLength(1);
});

test('the plan of parts for any size, from 1 byte to the largest S3 object, conforms to the limits of S3', () => {
  const size = fc.oneof(
    fc.integer({ min: 1, max: 6 * MiB }),
    fc.integer({ min: 1, max: 2 * GiB }),
    fc.integer({ min: 1, max: 17 * GiB }),
    fc.constantFrom(
      PART_BYTES_MIN - 1,
      PART_BYTES_MIN,
      PART_BYTES_MIN + 1,
      PART_BYTES_MAX - 1,
      PART_BYTES_MAX,
      PART_BYTES_MAX + 1,
    ),
  );
  const sizes = fc.oneof(
    fc.array(size, { minLength: 1, maxLength: 200 }),
    // Many segments of the same size: up to 12,000, up to the limit.
    fc
      .tuple(size, fc.integer({ min: 1, max: 12_000 }), fc.integer({ min: 1, max: 4 * MiB }))
      .map(([each, count, tail]) => [
        ...Array.from({ length: Math.min(count, Math.floor((OBJECT_BYTES_MAX - tail) / each)) }, () => each),
        tail,
      ]),
    // One segment of any size.
    fc
      .tuple(fc.integer({ min: 1, max: 100 }), fc.nat(1000))
      .map(([share, less]) => [Math.max(1, Math.floor((OBJECT_BYTES_MAX * share) / 100) - less)]),
  );
  fc.assert(
    fc.property(sizes, (sources) => {
      const plan = planParts(sources);
      expect(plan.length).toBeLessThanOrEqual(PARTS_MAX);
      let source = 0;
      let from = 0;
      for (const [at, part] of plan.entries()) {
        if (part.number !== at + 1) throw new Error(`part ${part.number} in place ${at + 1}`);
        if (part.length > PART_BYTES_MAX) throw new Error(`part of ${part.length}`);
        if (at < plan.length - 1 && part.length < PART_BYTES_MIN) throw new Error(`part of ${part.length}`);
        let sum = 0;
        for (const range of part.ranges) {
          if (range.source !== source || range.from !== from || range.length < 1) throw new Error('a gap');
          sum += range.length;
          from += range.length;
          if (from === sources[source]) {
            source++;
            from = 0;
          }
        }
        if (sum !== part.length) throw new Error('a part of another length');
      }
      expect(source).toBe(sources.length);
    }),
    { numRuns: PLANS },
  );
  expect(() => planParts([OBJECT_BYTES_MAX, 1])).toThrow('48.8 TiB');
  expect(planParts([OBJECT_BYTES_MAX - 1, 1])).toHaveLength(PARTS_MAX);
});

test('the CRC-32 of a whole can be computed from the CRC-32 values of its parts', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 5000 }), fc.uint8Array({ maxLength: 5000 }), (one, other) => {
      expect(combineCrc32(crc32(one), crc32(other), other.length)).toBe(crc32(Buffer.concat([one, other])));
    }),
    { numRuns: 500 },
  );
  // Far beyond 2^32 bytes: consecutive zeros, by doubling and by the whole length at once.
  let crc = crc32(Buffer.from('x'));
  let zeros = crc32(Buffer.alloc(1));
  for (let power = 0; power < 40; power++) zeros = combineCrc32(zeros, zeros, 2 ** power);
  crc = combineCrc32(crc, zeros, 2 ** 40);
  const halves = combineCrc32(combineCrc32(crc32(Buffer.from('x')), 0, 0), zeros, 2 ** 40);
  expect(halves).toBe(crc);
});

test('a digest that is saved and resumed is the same, and holds no data at the end of a block', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }), async (chunks) => {
      let hash = await resumableSha256();
      for (const chunk of chunks) {
        hash.update(chunk);
        hash = await resumableSha256(hash.save());
      }
      expect(hash.digest()).toBe(createHash('sha256').update(Buffer.concat(chunks)).digest('hex'));
    }),
    { numRuns: 200 },
  );
  const hash = await resumableSha256();
  hash.update(Buffer.alloc(30, 'secret'));
  hash.update(Buffer.alloc(34, 'secret'));
  expect(Buffer.from(hash.save(), 'base64').toString('latin1')).not.toContain('secret');
});

test('collection names map to distinct file names, and back', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), { minLength: 2, maxLength: 6 }),
      (names) => {
        const encoded = names.map(encodeNamePart);
        for (const [at, part] of encoded.entries()) {
          expect(part).toMatch(/^(?:[a-z0-9_-]|%[0-9a-f]{2})(?:[a-z0-9._-]|%[0-9a-f]{2})*$/);
          expect(decodeURIComponent(part)).toBe(names[at]);
        }
        expect(new Set(encoded.map((part) => part.toLowerCase())).size).toBe(new Set(names).size);
      },
    ),
    { numRuns: 300 },
  );
});
