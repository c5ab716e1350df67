import { randomBytes } from 'node:crypto';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { EntryPiece } from '../../shared/archive/format/types.ts';
import { openArchive } from '../../shared/archive/read/open.ts';
import { s3Source } from '../../shared/archive/read/sources.ts';
import { verifyArchive } from '../../shared/archive/read/verify.ts';
import { carryEntries, findRegion } from '../../shared/archive/write/carry.ts';
import { abortComposition, composeArchive } from '../../shared/archive/write/compose.ts';
import type { Composition } from '../../shared/archive/write/composition.ts';
import { SegmentCarry } from '../../shared/archive/write/segment.ts';
import { uploadSegment } from '../../shared/archive/write/segment-store.ts';
import { DRAFT, piecesOf, readAll } from './build.ts';
import { describeS3Servers, type S3Server } from './s3-servers.ts';

const MiB = 1024 ** 2;
/** Accepts the entries below a prefix, with the references that were saved beside them. */
const below = (prefix: string) => (name: string) =>
  name.startsWith(prefix) || name.startsWith(`references/${prefix}`);

describeS3Servers('on $name', ({ name, start }) => {
  let server: S3Server;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());

  async function place() {
    const { s3, bucket } = await server.bucket();
    const composition = (rest: Partial<Composition> = {}): Composition => ({
      s3,
      bucket,
      segments: 'staging/job/segments/',
      work: 'staging/job/compose/',
      key: 'backups/b.ngbak',
      owner: 'job',
      codec: 'gzip',
      manifest: DRAFT,
      cursor: null,
      timeLeft: () => 60_000,
      signal: new AbortController().signal,
      ...rest,
    });
    const segment = async (
      name: string,
      pieces: AsyncIterable<EntryPiece>,
      carry: SegmentCarry | null = null,
    ) => {
      const sent = await uploadSegment({
        s3,
        bucket,
        prefix: 'staging/job/segments/',
        name,
        pieces,
        carry,
        codec: 'gzip',
        tallies: () => ({ graph: { nodes: { count: 1, digest: '0'.repeat(64) } } }),
      });
      return SegmentCarry.nullable().parse(JSON.parse(JSON.stringify(sent.carry)));
    };
    const listed = async (prefix: string) =>
      ((await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }))).Contents ?? []).map(
        ({ Key }) => Key,
      );
    const uploads = async () =>
      (await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads?.length ?? 0;
    return { s3, bucket, composition, segment, listed, uploads };
  }

  test('small and large segments, and an entry across three of them, are composed into one complete archive', async () => {
    const { s3, bucket, composition, segment, uploads } = await place();
    const large = randomBytes(13 * MiB + 77);
    const small = Buffer.from('{"a":1}');
    await segment('0000-graph-000000', piecesOf([{ name: 'graph/a.jsonl', data: small }]));
    const all = piecesOf([{ name: 'vectors/x.snapshot', data: large }], 5 * MiB);
    let carry: SegmentCarry | null = null;
    for (let leg = 0; leg < 3; leg++) {
      const { value } = await all.next();
      carry = await segment(
        `0001-vectors-00000${leg}`,
        (async function* () {
          yield value as EntryPiece;
        })(),
        carry,
      );
    }
    expect(carry).toBeNull();
    await segment(
      '0002-kv-000000',
      piecesOf([
        { name: 'kv/a.json', data: small },
        { name: 'kv/b.json', data: large.subarray(0, 99) },
      ]),
    );
    let cursor: Composition['cursor'] = null;
    let legs = 0;
    let archive: Awaited<ReturnType<typeof composeArchive>>['archive'];
    do {
      const result: Awaited<ReturnType<typeof composeArchive>> = await composeArchive(
        composition({ cursor, timeLeft: () => 0, fileName: 'backup_20260101_030000.ngbak' }),
      );
      cursor = JSON.parse(JSON.stringify(result.cursor));
      archive = result.archive;
      legs++;
    } while (cursor !== null);
    expect(legs).toBeGreaterThan(1);
    expect(archive?.versionId).toBeDefined();
    // The same metadata for every link to the object, also one that was presigned elsewhere.
    expect(await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: 'backups/b.ngbak' }))).toMatchObject({
      ContentType: 'application/gzip',
      ContentDisposition: 'attachment; filename="backup_20260101_030000.ngbak"',
    });
    const source = await s3Source(s3, bucket, 'backups/b.ngbak', archive?.versionId);
    expect(source.size).toBe(archive?.size);
    expect(await verifyArchive(source, { cursor: null, timeLeft: () => 60_000 })).toEqual({
      cursor: null,
      problems: [],
    });
    const opened = await openArchive(source);
    expect(opened.manifest.index.entries).toBe(4);
    const entry = await opened.find('vectors/x.snapshot');
    if (!entry) throw new Error('no entry');
    const parts: Uint8Array[] = [];
    for await (const chunk of opened.open(entry)) parts.push(chunk);
    expect(Buffer.concat(parts).equals(large)).toBe(true);
    expect(await uploads()).toBe(0);
    // A leg that is repeated after the end finds its own archive; another owner does not.
    const again = await composeArchive(composition({ cursor: { upload_id: 'gone' } })).catch(
      (error) => error,
    );
    expect(again.archive ?? again).toEqual(archive);
    await expect(composeArchive(composition({ owner: 'other' }))).rejects.toThrow('already another archive');
    expect(await uploads()).toBe(0);
    // A leg that is repeated from the start does, too, and it leaves no second upload.
    const restarted = await composeArchive(composition());
    expect(restarted.archive?.crc32).toBe(archive?.crc32);
    expect(await uploads()).toBe(0);
    await abortComposition(composition());
  });

  test('an archive smaller than one part is composed too', async () => {
    const { s3, bucket, composition, segment } = await place();
    await segment('0000-graph-000000', piecesOf([{ name: 'graph/a.jsonl', data: Buffer.from('x') }]));
    const { archive } = await composeArchive(composition());
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'backups/b.ngbak' }));
    expect((await Body?.transformToByteArray())?.length).toBe(archive?.size);
  });

  test('a backup without entries is composed into a valid archive', async () => {
    const { s3, bucket, composition } = await place();
    const { archive } = await composeArchive(composition());
    expect(archive?.manifest.index.entries).toBe(0);
    const source = await s3Source(s3, bucket, 'backups/b.ngbak');
    expect((await verifyArchive(source, { cursor: null, timeLeft: () => 1 })).problems).toEqual([]);
  });

  test('a leg without output leaves nothing, and removes what an interrupted attempt left', async () => {
    const { segment, listed } = await place();
    await segment('0000-graph-000000', piecesOf([{ name: 'graph/a.jsonl', data: Buffer.from('x') }]));
    expect(await listed('staging/')).toHaveLength(2);
    await segment('0000-graph-000000', piecesOf([]));
    expect(await listed('staging/')).toEqual([]);
  });

  test('a missing or foreign segment is an error, not a smaller archive', async () => {
    const { composition, segment } = await place();
    const all = piecesOf([{ name: 'vectors/x.snapshot', data: randomBytes(300) }], 100);
    const one = async function* () {
      yield (await all.next()).value as EntryPiece;
    };
    const carry = await segment('0001-v-000000', one());
    await expect(composeArchive(composition())).rejects.toThrow('ends within "vectors/x.snapshot"');
    await segment('0001-v-000002', one(), carry);
    await segment('0001-v-000003', piecesOf([{ name: 'z', data: Buffer.from('z') }]));
    await expect(composeArchive(composition())).rejects.toThrow('does not continue with');
  });

  test('an exporter that fails leaves no upload and no object', async () => {
    const { segment, listed, uploads } = await place();
    const failing = (async function* () {
      yield* piecesOf([{ name: 'a', data: randomBytes(20 * MiB) }]);
      throw new Error('server gone');
    })();
    await expect(segment('0000-graph-000000', failing)).rejects.toThrow('server gone');
    expect(await uploads()).toBe(0);
    expect(await listed('')).toEqual([]);
  });

  // versitygw states the CRC-32 of the whole source for a part that is copied from a range of it, so that no archive with
  // such a part can be completed there.
  const copiesRanges = name !== 'versitygw';
  if (copiesRanges)
    test('entries of an earlier archive are copied into a new one, which is complete without the earlier one', async () => {
      const { s3, bucket, composition, segment } = await place();
      const large = randomBytes(12 * MiB);
      const texts = Array.from({ length: 7 }, (_, i) => ({
        name: `kv/${i}.json`,
        data: Buffer.from(`{"i":${i}}`),
      }));
      await segment('0000-graph-000000', piecesOf([{ name: 'graph/a.jsonl', data: Buffer.from('{"a":1}') }]));
      await segment(
        '0001-vectors-000000',
        piecesOf([
          { name: 'vectors/x.snapshot', data: large },
          { name: 'references/vectors/x-00001.jsonl', data: Buffer.from('{}') },
          { name: 'vectors/x.config.json', data: Buffer.from('{}') },
        ]),
      );
      await segment('0002-kv-000000', piecesOf(texts));
      const { archive: first } = await composeArchive(composition());
      const source = await s3Source(s3, bucket, 'backups/b.ngbak', first?.versionId);
      const head = await s3.send(
        new HeadObjectCommand({ Bucket: bucket, Key: 'backups/b.ngbak', VersionId: first?.versionId }),
      );
      // The key has another object now: exactly the version of the earlier archive is copied.
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'backups/b.ngbak', Body: randomBytes(999) }));
      const opened = await openArchive(source);
      const object = {
        key: 'backups/b.ngbak',
        version_id: first?.versionId ?? '',
        etag: head.ETag ?? '',
        bytes: source.size,
      };
      const next = composition({
        segments: 'staging/next/segments/',
        work: 'staging/next/compose/',
        key: 'backups/c.ngbak',
      });
      const carry = async (name: string, prefix: string, from = object) => {
        const region = await findRegion(source, opened, below(prefix));
        if (!region) throw new Error('no region');
        const { signal, segments } = next;
        const carrying = { s3, bucket, segments, name, source, archive: opened, object: from, signal };
        await carryEntries(carrying, below(prefix), region);
        return region;
      };
      await carry('0001-vectors-carried', 'vectors/');
      expect((await carry('0002-kv-carried', 'kv/')).entries).toBe(7);
      expect(await findRegion(source, opened, below('config/'))).toBeUndefined();
      await uploadSegment({
        ...{
          s3,
          bucket,
          prefix: next.segments,
          name: '0000-graph-000000',
          carry: null,
          codec: 'gzip' as const,
        },
        pieces: piecesOf([{ name: 'graph/b.jsonl', data: Buffer.from('{"b":1}') }]),
        tallies: () => ({}),
      });
      let result = await composeArchive({ ...next, timeLeft: () => 0 });
      while (result.cursor !== null) {
        result = await composeArchive({ ...next, timeLeft: () => 0, cursor: result.cursor });
      }
      for (const VersionId of [first?.versionId, undefined]) {
        await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'backups/b.ngbak', VersionId }));
      }
      const complete = await s3Source(s3, bucket, 'backups/c.ngbak');
      expect((await verifyArchive(complete, { cursor: null, timeLeft: () => 60_000 })).problems).toEqual([]);
      const composed = await openArchive(complete);
      expect(composed.manifest.index.entries).toBe(11);
      expect((await readAll(composed, 'vectors/x.snapshot')).equals(large)).toBe(true);
      expect(String(await readAll(composed, 'kv/6.json'))).toBe('{"i":6}');
    });

  test('an earlier archive that is another object by now is not copied from', async () => {
    const { s3, bucket, composition, segment } = await place();
    await segment('0000-kv-000000', piecesOf([{ name: 'kv/a.bin', data: randomBytes(6 * MiB) }]));
    await composeArchive(composition());
    const source = await s3Source(s3, bucket, 'backups/b.ngbak');
    const archive = await openArchive(source);
    const region = await findRegion(source, archive, below('kv/'));
    if (!region) throw new Error('no region');
    const next = composition({
      segments: 'staging/next/segments/',
      work: 'staging/next/compose/',
      key: 'backups/c.ngbak',
    });
    const object = { key: 'backups/b.ngbak', etag: `"${'0'.repeat(32)}"`, bytes: source.size };
    const { signal, segments } = next;
    const carrying = { s3, bucket, segments, name: '0000-kv-carried', source, archive, object, signal };
    await carryEntries(carrying, below('kv/'), region);
    await expect(composeArchive(next)).rejects.toThrow();
    await expect(
      carryEntries(carrying, below('kv/'), { ...region, length: region.length - 1 }),
    ).rejects.toThrow('where the plan');
  });
});
