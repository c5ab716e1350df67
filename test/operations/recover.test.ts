import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { readManifestBytes } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey, catalogKey, signatureKey } from '../../shared/aws/keys.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { importArchive } from '../../shared/operations/import-archive.ts';
import { findArchives, newestGoodOf, recover } from '../../shared/operations/recover.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { describeS3Servers, type S3Server } from '../archive/s3-servers.ts';
import { makeArchive } from '../support/archive.ts';
import { freshEnvironment } from '../support/aws.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogRecord } from '../support/catalog.ts';
import { signingPair } from '../support/signing.ts';
import { freshContext } from './context.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
/** The smallest size that S3 permits for a part which is not the last. */
const PART = 5 * 1024 ** 2;
/** Three parts. */
const BYTES = randomBytes(2 * PART + 1000);

/** An object like an archive, with what S3 states about those that a backup creates. */
async function putArchive(bucket: Bucket, id: string, body: Uint8Array, owner = 'backup_1'): Promise<void> {
  await bucket.s3.send(
    new PutObjectCommand({
      Bucket: bucket.name,
      Key: archiveKey(id),
      Body: body,
      ChecksumAlgorithm: 'CRC32',
      ContentType: 'application/gzip',
      ...(owner === '' ? {} : { Metadata: { 'ngbak-owner': owner } }),
    }),
  );
}

async function getArchive(bucket: Bucket, id = ID): Promise<Buffer> {
  const { Body } = await bucket.s3.send(new GetObjectCommand({ Bucket: bucket.name, Key: archiveKey(id) }));
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

describeS3Servers('an archive in another bucket, at $name', ({ start }) => {
  let server: S3Server;
  let source: Bucket;
  let destination: Bucket;

  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    const [from, to] = [await server.bucket(), await server.bucket()];
    source = new Bucket(`${from.bucket}/team/kb`, from.s3);
    destination = new Bucket(to.bucket, to.s3);
    await putArchive(source, ID, BYTES);
    await source.s3.send(
      new PutObjectCommand({
        Bucket: source.name,
        Key: signatureKey(archiveKey(ID)),
        Body: 'a signature',
      }),
    );
  });

  const unfinished = async () => {
    const { Uploads = [] } = await destination.s3.send(
      new ListMultipartUploadsCommand({ Bucket: destination.name }),
    );
    return Uploads;
  };

  test.each([
    ['part by part', true],
    ['by S3 itself', false],
  ])(
    'is copied with its signature, job and checksum, %s; a second call changes nothing',
    async (_how, streamed) => {
      const transfer = { source, destination, backupId: ID, streamed, partBytes: PART };
      expect(await importArchive(transfer)).toBe(true);
      expect((await getArchive(destination)).equals(BYTES)).toBe(true);
      const head = await destination.s3.send(
        new HeadObjectCommand({ Bucket: destination.name, Key: archiveKey(ID), ChecksumMode: 'ENABLED' }),
      );
      expect([head.Metadata, head.ChecksumCRC32]).toEqual([
        { 'ngbak-owner': 'backup_1' },
        crc32Base64(crc32(BYTES)),
      ]);
      const { Body } = await destination.s3.send(
        new GetObjectCommand({ Bucket: destination.name, Key: signatureKey(archiveKey(ID)) }),
      );
      expect(await Body?.transformToString()).toBe('a signature');

      expect(await importArchive(transfer)).toBe(false);
      const { Versions = [] } = await destination.s3.send(
        new ListObjectVersionsCommand({ Bucket: destination.name }),
      );
      expect(Versions.map(({ Key }) => Key).sort()).toEqual([archiveKey(ID), signatureKey(archiveKey(ID))]);
      expect(await unfinished()).toEqual([]);
    },
  );

  test('is continued where an interrupted copy stopped', async () => {
    const abort = new AbortController();
    const transfer = { source, destination, backupId: ID, streamed: true, partBytes: PART };
    const stopped = importArchive({
      ...transfer,
      signal: abort.signal,
      progress: (done) => {
        if (done > 0) abort.abort();
      },
    });
    await expect(stopped).rejects.toThrow();
    expect(await unfinished()).toHaveLength(1);
    const progress: number[] = [];
    expect(await importArchive({ ...transfer, progress: (done) => progress.push(done) })).toBe(true);
    expect(progress[0]).toBeGreaterThanOrEqual(PART);
    expect((await getArchive(destination)).equals(BYTES)).toBe(true);
    expect(await unfinished()).toEqual([]);
  });

  test('is not created from parts with other bytes, which are discarded', async () => {
    const Key = archiveKey(ID);
    const { UploadId } = await destination.s3.send(
      new CreateMultipartUploadCommand({
        Bucket: destination.name,
        Key,
        ChecksumAlgorithm: 'CRC32',
        ChecksumType: 'FULL_OBJECT',
      }),
    );
    await destination.s3.send(
      new UploadPartCommand({
        Bucket: destination.name,
        Key,
        UploadId,
        PartNumber: 1,
        Body: Buffer.alloc(PART, 'x'),
        ChecksumAlgorithm: 'CRC32',
      }),
    );
    const transfer = { source, destination, backupId: ID, streamed: true, partBytes: PART };
    await expect(importArchive(transfer)).rejects.toThrow(/differ from those of the copy/);
    expect(await unfinished()).toEqual([]);
    expect(await importArchive(transfer)).toBe(true);
    expect((await getArchive(destination)).equals(BYTES)).toBe(true);
  });

  test.each([
    ['other bytes of the same size', randomBytes(BYTES.length)],
    ['another size', Buffer.from('short')],
  ])('does not replace an object with %s', async (_what, other) => {
    await putArchive(destination, ID, other);
    for (const streamed of [true, false]) {
      await expect(importArchive({ source, destination, backupId: ID, streamed })).rejects.toThrow(
        /There is already another object/,
      );
    }
    expect((await getArchive(destination)).equals(other)).toBe(true);
  });
});

describe('a recovery', () => {
  let context: Awaited<ReturnType<typeof freshContext>>;
  let source: Bucket;

  beforeEach(async () => {
    context = await freshContext();
    source = (await freshEnvironment()).bucket;
  });

  /** A copy of a backup that is some days old. */
  async function put(
    days: number,
    options: { readonly record?: object | false; readonly damaged?: boolean; readonly target?: string } = {},
  ): Promise<{ id: string; bytes: Buffer }> {
    const { record: changes = {}, damaged = false, target = 'default' } = options;
    const created = new Date(Date.UTC(2026, 5, 30) - days * 24 * 60 * 60 * 1000);
    const id = idAt(created);
    const record = catalogRecord({ backup_id: id, created_at: created.toISOString(), target });
    const { consistency, statistics, tallies } = record;
    const scope = { type: record.type, stores: record.stores, target };
    const made = await makeArchive({
      backup_id: id,
      created_at: record.created_at,
      ngbak_version: '0.1.0',
      ...{ consistency, statistics, tallies, scope },
      tags: ['as archived'],
    });
    const bytes = damaged ? Buffer.from(made.bytes) : made.bytes;
    // In the data of the first entry, where only a full verification notices it.
    if (damaged) bytes[600] = (bytes[600] ?? 0) ^ 255;
    await putArchive(source, id, bytes, record.job_id);
    if (changes !== false) await source.writeRecord(catalogKey(id), { ...record, ...changes });
    return { id, bytes };
  }

  const run = async (selection: Parameters<typeof recover>[2], changed = {}) =>
    recover({ ...context, ...changed }, await findArchives(source), selection, { source, streamed: true });

  test('finds archives with and without a record, and the newest good one of each target', async () => {
    const safety = await put(1, { record: { tags: ['pre-restore'] } });
    const newest = await put(2, { record: false });
    const older = await put(3);
    const other = await put(4, { target: 'other' });
    const partial = await put(5, { record: { type: 'partial' } });
    await putArchive(source, 'text', Buffer.from('not an archive'));
    const found = await findArchives(source);
    expect(
      found.map(({ backup_id, described_by, summary }) => [backup_id, described_by, summary?.good]),
    ).toEqual([
      [safety.id, 'record', false],
      [newest.id, 'archive', true],
      [older.id, 'record', true],
      [other.id, 'record', true],
      [partial.id, 'record', true],
      ['text', undefined, undefined],
    ]);
    expect(found.at(-1)?.problem).toContain('text.ngbak');
    expect(Object.fromEntries(newestGoodOf(found))).toEqual({ default: newest.id, other: other.id });
  });

  test('adds a backup to the catalog from its archive, and not from the record beside the copy', async () => {
    const { id } = await put(2, {
      record: {
        tags: ['changed by an attacker'],
        tallies: { graph: { nodes: { count: 99, digest: '1'.repeat(64) } } },
        statistics: { documents: 99 },
        retention: 'forever',
      },
    });
    await put(3);
    expect(await run({ targets: ['default'] })).toEqual({
      recovered: [id],
      present: [],
      problems: [],
      bytes: expect.any(Number),
    });
    const record = await showBackup(context, id);
    expect(record).toMatchObject({ tags: ['as archived'], statistics: { documents: 1 }, good: true });
    expect([record.retention, record.verification.state]).toEqual([undefined, 'verified']);
    expect(record.tallies.graph?.nodes?.count).toBe(1);
    // A second run copies nothing.
    expect(await run({ backups: [id] })).toEqual({ recovered: [], present: [id], problems: [], bytes: 0 });
  });

  test('recovers the backup before the newest one if that is damaged, and reports it', async () => {
    const damaged = await put(1, { damaged: true });
    const intact = await put(2);
    await put(3);
    const result = await run({ targets: ['default'] });
    expect(result).toMatchObject({
      recovered: [intact.id],
      problems: [{ backup_id: damaged.id, problem: expect.stringContaining('is damaged') }],
    });
    await expect(showBackup(context, damaged.id)).rejects.toThrow('There is no backup');
  });

  test('recovers all backups of a target, or all of the bucket', async () => {
    const [one, two, other] = [await put(1), await put(2), await put(3, { target: 'other' })];
    expect((await run({ all: true, targets: ['default'] })).recovered).toEqual([one.id, two.id]);
    expect(await run({ all: true })).toMatchObject({ recovered: [other.id], present: [one.id, two.id] });
  });

  test('copies nothing if a selection names what the bucket does not have', async () => {
    const { id } = await put(1, { record: { type: 'partial' } });
    await expect(run({ backups: [id, 'snapshot_none'] })).rejects.toThrow(
      'There is no archive of snapshot_none',
    );
    await expect(run({ targets: ['default'] })).rejects.toThrow('There is no good backup of "default"');
    await expect(run({ all: true, targets: ['none'] })).rejects.toThrow('There is no good backup of "none"');
    const keys = [];
    for await (const { key } of context.bucket.keys('')) keys.push(key);
    expect(keys).toEqual([]);
  });

  test('records the signature of the lost deployment only if its public key is trusted', async () => {
    const [lost, own] = [signingPair(), signingPair('arn:aws:kms:eu-west-1:000000000000:key/new')];
    const { id, bytes } = await put(1);
    const manifest = await readManifestBytes(bufferSource('archive', bytes));
    await source.s3.send(
      new PutObjectCommand({
        Bucket: source.name,
        Key: signatureKey(archiveKey(id)),
        Body: lost.sign(manifest ?? Buffer.alloc(0)),
      }),
    );
    const refused = await run({ backups: [id] }, { signatureKeys: { own: own.key, trusted: [] } });
    expect(refused).toMatchObject({
      recovered: [],
      problems: [{ backup_id: id, problem: expect.stringContaining('trustedKeys') }],
    });
    const trusted = await run(
      { backups: [id] },
      { signatureKeys: { own: own.key, trusted: [lost.publicKey] } },
    );
    expect(trusted.recovered).toEqual([id]);
    expect((await showBackup(context, id)).signature?.key_id).toBe(lost.fingerprint);
  });

  test('gives an archive that was copied without its job one, so that it can be catalogued', async () => {
    const { bytes } = await makeArchive({
      backup_id: ID,
      ngbak_version: '0.1.0',
      scope: { type: 'full', stores: ['graph', 'kv'], target: 'default' },
      consistency: { grade: 'unchanged', changes: {} },
    });
    await putArchive(source, ID, bytes, '');
    expect((await run({ backups: [ID] })).recovered).toEqual([ID]);
    expect((await showBackup(context, ID)).job_id).toBe(`recovered_${ID}`);
  });
});
