/** Damages archives in many places: in `npm test` in a sample that changes with the seed, at night in five times as many. */
import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Codec } from '../../shared/archive/format/codec.ts';
import { decodeFooter } from '../../shared/archive/format/footer.ts';
import { splitMembers } from '../../shared/archive/format/members.ts';
import type { IndexEntry } from '../../shared/archive/format/types.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { normalizeArchive } from '../../shared/archive/write/normalize.ts';
import { ByteReader } from '../../shared/core/byte-reader.ts';
import { NIGHTLY } from '../nightly.ts';
import { SEED } from '../seed.ts';
import { buildArchive, type Content, collect } from './build.ts';

/** Bit flips, for each codec: three of four over the whole file, the others behind the entries. */
const FLIPS = NIGHTLY ? 2500 : 500;
/** The number of them that are also read sequentially, as if the footer were missing. */
const FLIPS_IN_SEQUENCE = NIGHTLY ? 300 : 100;
/** Truncations in addition to those at the boundaries of members. */
const CUTS = NIGHTLY ? 500 : 100;
/** Distance of the bytes of each entry that are damaged. */
const STEP = NIGHTLY ? 37 : 149;

/** A linear congruential generator (Numerical Recipes). */
function* randoms(seed: number): Generator<number> {
  for (let state = seed >>> 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state / 2 ** 32;
  }
}

async function problemsOf(bytes: Buffer): Promise<readonly string[]> {
  try {
    return (await verifyArchive(bufferSource('d.ngbak', bytes), { cursor: null, timeLeft: () => 60_000 }))
      .problems;
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

/** The checksum of the contents, or undefined if reading sequentially finds an error. */
async function contentOf(bytes: Buffer): Promise<string | undefined> {
  try {
    return (await collect(normalizeArchive(bufferSource('d.ngbak', bytes)))).result.checksum;
  } catch {
    return undefined;
  }
}

describe.each<Codec>(['gzip', 'zstd'])('of a %s archive', (codec) => {
  const contents: Content[] = [
    { name: 'graph/nodes-00001.jsonl', data: Buffer.from('{"id":1,"name":"alpha"}\n'.repeat(300)) },
    { name: 'vectors/random.snapshot', data: randomBytes(6000) },
    { name: 'kv/empty.json', data: Buffer.alloc(0) },
    { name: 'kv/text_chunks.json', data: Buffer.from('{"a":{"content":"b"}}') },
  ];
  let whole: Buffer;
  let checksum: string;
  let entries: IndexEntry[];
  beforeAll(async () => {
    whole = await buildArchive(contents, { codec, memberBytes: 4096 });
    const archive = await openArchive(bufferSource('whole', whole));
    checksum = archive.manifest.checksum;
    entries = [];
    for await (const entry of archive.entries('')) entries.push(entry);
  });

  test(`every truncation is found, at each member boundary and ${CUTS} other places`, async () => {
    const footer = decodeFooter(whole, whole.length, 'whole');
    if (!footer) throw new Error('no footer');
    const cuts = new Set<number>([0, 1]);
    const reader = new ByteReader([whole]);
    let boundary = 0;
    const data =
      footer.offset + footer.index.length + footer.sums.length + footer.manifest.length + footer.end.length;
    for await (const member of splitMembers(codec, reader, data)) {
      boundary += member.length;
      cuts.add(boundary);
    }
    expect(boundary).toBe(data);
    const random = randoms(SEED + 7);
    const size = cuts.size + CUTS;
    while (cuts.size < size) cuts.add(Math.floor((random.next().value ?? 0) * whole.length));
    for (const cut of cuts) {
      const bytes = whole.subarray(0, cut);
      expect({ cut, problems: await problemsOf(bytes) }).not.toEqual({ cut, problems: [] });
      // Read sequentially, only archives that lost nothing but the footer may pass, with all of their content.
      const content = await contentOf(bytes);
      if (cut < data) expect({ cut, content }).toEqual({ cut, content: undefined });
      else expect([checksum, undefined]).toContain(content);
    }
  });

  test(`each of ${FLIPS} flipped bits is found, and the entry is named`, async () => {
    const random = randoms(SEED);
    const next = () => random.next().value ?? 0;
    const behind = Math.max(...entries.map(({ offset, length }) => offset + length));
    let sequential = 0;
    for (let flip = 0; flip < FLIPS; flip++) {
      const from = flip % 4 === 3 ? behind : 0;
      const at = from + Math.floor(next() * (whole.length - from));
      const bit = Math.floor(next() * 8);
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      const problems = await problemsOf(bytes);
      const entry = entries.find(({ offset, length }) => at >= offset && at < offset + length);
      expect({ at, bit, problems: problems.join() }).toEqual({
        at,
        bit,
        problems: expect.stringMatching(entry ? `"${entry.name}"` : /./),
      });
      if (flip < FLIPS_IN_SEQUENCE) {
        // Without an index, some bits are not covered by a checksum (a header's time, deflate's padding): the contents
        // read are complete and unchanged, or it is an error.
        const content = await contentOf(bytes);
        expect([checksum, undefined]).toContain(content);
        if (content === undefined) sequential++;
      }
    }
    expect(sequential).toBeGreaterThan(FLIPS_IN_SEQUENCE / 2);
  });

  test('a reader gets a complete entry, or an error that names the entry', async () => {
    const archive = await openArchive(bufferSource('whole', whole));
    for (const entry of entries) {
      for (let at = entry.offset; at < entry.offset + entry.length; at += STEP) {
        const bytes = Buffer.from(whole);
        bytes[at] = (bytes[at] ?? 0) ^ 0x10;
        const damaged = await openArchive(bufferSource('d.ngbak', bytes)).catch((error) => error);
        if (damaged instanceof Error) continue;
        const read = collect(damaged.open(entry));
        const content = await read.catch((error: Error) => error);
        if (content instanceof Error) expect(content.message).toContain(`"${entry.name}"`);
        else
          expect(content.bytes).toEqual(
            (await collect(archive.open(entry) as AsyncGenerator<Uint8Array>)).bytes,
          );
      }
    }
  });
});
