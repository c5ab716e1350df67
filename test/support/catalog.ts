import { PutObjectCommand } from '@aws-sdk/client-s3';
import type { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';

/** A catalog record as a backup writes it, with the changes of a test. */
export function catalogRecord(changes: Partial<CatalogRecord> & { backup_id: string }): CatalogRecord {
  const created = changes.created_at ?? '2026-01-02T03:04:05.000Z';
  return CatalogRecord.parse({
    record_version: 1,
    target: 'default',
    job_id: `backup_of_${changes.backup_id}`.slice(0, 80),
    type: 'full',
    stores: ['graph', 'kv'],
    created_at: created,
    completed_at: new Date(Date.parse(created) + 10_000).toISOString(),
    archive: {
      key: archiveKey(changes.backup_id),
      bytes: 1000,
      entries: 3,
      codec: 'gzip',
      crc32: 'AAAAAA==',
      checksum: '0'.repeat(64),
    },
    duration_seconds: 10,
    uncompressed_bytes: 5000,
    statistics: { documents: 1 },
    tallies: { graph: { nodes: { count: 1, digest: '0'.repeat(64) } } },
    consistency: { grade: 'unchanged', changes: {} },
    verification: { state: 'verified', at: created },
    ngbak_version: '0.1.0',
    tags: [],
    ...changes,
  });
}

/** Puts a backup into the bucket: its record, and any bytes as its archive. */
export async function catalogue(
  bucket: Bucket,
  changes: Partial<CatalogRecord> & { backup_id: string },
  archive?: Uint8Array,
): Promise<CatalogRecord> {
  const record = catalogRecord(changes);
  if (archive) {
    await bucket.s3.send(
      new PutObjectCommand({ Bucket: bucket.name, Key: record.archive.key, Body: archive }),
    );
  }
  await bucket.writeRecord(catalogKey(record.backup_id), record, { absent: true });
  return record;
}
