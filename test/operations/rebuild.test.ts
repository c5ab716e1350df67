import { crc32 } from 'node:zlib';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { beforeEach, expect, test } from '@jest/globals';
import { archiveKey, catalogKey } from '../../shared/aws/keys.ts';
import { metadataOf } from '../../shared/catalog/metadata.ts';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { rebuildCatalog } from '../../shared/operations/rebuild-catalog.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { StartBackupInput, startBackup } from '../../shared/operations/start-backup.ts';
import { createJob } from '../../shared/workflows/job/record.ts';
import { makeArchive } from '../support/archive.ts';
import { catalogRecord } from '../support/catalog.ts';
import { freshContext } from './context.ts';

/** Fields that the catalog adds to the record of a good backup without warnings. */
const GOOD = { state: 'complete', open_warnings: 0, good: true, warnings: [] };
const ID = 'snapshot_2026-01-02T03-04-05Z';
let context: Awaited<ReturnType<typeof freshContext>>;

beforeEach(async () => {
  context = await freshContext();
});

/** Puts an archive into `backups/`, as the seal does, and returns the record that its backup would have. */
async function put(backup_id: string, damage = (bytes: Buffer) => bytes): Promise<CatalogRecord> {
  const record = catalogRecord({
    backup_id,
    created_at: '2026-01-02T03:04:05.000Z',
    type: 'partial',
    only: { namespaces: ['full_docs'] },
    tags: ['weekly'],
    note: 'a note',
    retention: '30d',
    requested_by: 'ada',
    uncompressed_bytes: 25_032,
  });
  const { consistency, created_at, ngbak_version, note, requested_by, retention, tags, tallies } = record;
  const { bytes, checksum } = await makeArchive({
    backup_id,
    created_at,
    ngbak_version,
    consistency,
    statistics: record.statistics,
    tallies,
    tags,
    ...(note === undefined ? {} : { note }),
    scope: {
      type: record.type,
      stores: record.stores,
      target: 'default',
      ...(record.only === undefined ? {} : { only: record.only }),
    },
    ...{ requested_by, retention },
  });
  const { VersionId } = await context.bucket.s3.send(
    new PutObjectCommand({
      Bucket: context.bucket.name,
      Key: archiveKey(backup_id),
      Body: damage(bytes),
      ChecksumAlgorithm: 'CRC32',
      Metadata: { 'ngbak-owner': record.job_id },
    }),
  );
  return {
    ...record,
    archive: {
      ...record.archive,
      ...(VersionId === undefined ? {} : { version_id: VersionId }),
      bytes: bytes.length,
      crc32: crc32Base64(crc32(bytes)),
      checksum,
    },
  };
}

test('a lost record is rebuilt from the archive alone, except for times that only its backup knew', async () => {
  const record = await put(ID);
  expect(await rebuildCatalog(context)).toEqual({ rebuilt: [ID], kept: 0, problems: [] });
  const rebuilt = await showBackup(context, ID);
  const { completed_at, duration_seconds, verification } = rebuilt;
  expect(rebuilt).toEqual({
    ...record,
    ...metadataOf(record, context.bucket.name),
    storage: expect.objectContaining({ storage_class: 'STANDARD', state: 'readable' }),
    ...GOOD,
    completed_at,
    duration_seconds,
    verification,
  });
  expect(verification.state).toBe('verified');
  expect(await rebuildCatalog(context)).toEqual({ rebuilt: [], kept: 1, problems: [] });
});

test('an existing record is not changed', async () => {
  const record = { ...(await put(ID)), note: 'changed later' };
  await context.bucket.writeRecord(catalogKey(ID), record);
  expect(await rebuildCatalog(context)).toMatchObject({ rebuilt: [], kept: 1 });
  expect(await showBackup(context, ID)).toEqual({
    ...record,
    ...metadataOf(record, context.bucket.name),
    storage: expect.objectContaining({ storage_class: 'STANDARD', state: 'readable' }),
    ...GOOD,
  });
});

test('a damaged archive, an invalid name and a file that is not an archive get no record, and are reported', async () => {
  await put(ID, (bytes) => bytes.subarray(0, bytes.length - 50));
  await context.bucket.s3.send(
    new PutObjectCommand({
      Bucket: context.bucket.name,
      Key: archiveKey('snapshot_stray'),
      Body: (await makeArchive({ backup_id: 'snapshot_else' })).bytes,
    }),
  );
  await context.bucket.s3.send(
    new PutObjectCommand({ Bucket: context.bucket.name, Key: archiveKey('text'), Body: 'text' }),
  );
  const { rebuilt, problems } = await rebuildCatalog(context);
  expect(rebuilt).toEqual([]);
  expect(problems.map(({ backup_id }) => backup_id)).toEqual([ID, 'snapshot_stray', 'text']);
});

test('a backup in progress is ignored', async () => {
  await put(ID);
  const { job_id } = await startBackup(context, StartBackupInput.parse({}), { requestedBy: 'ada' });
  const now = new Date().toISOString();
  await createJob(context.bucket, {
    job_id,
    kind: 'backup',
    target: 'default',
    state: 'processing',
    created_at: now,
    updated_at: now,
    backup_id: ID,
  });
  expect(await rebuildCatalog(context)).toEqual({ rebuilt: [], kept: 0, problems: [] });
});
