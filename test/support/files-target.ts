import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import type { Bucket } from '../../shared/aws/bucket.ts';
import type { StoreName } from '../../shared/core/store-names.ts';
import { buildArchive } from '../archive/build.ts';
import { makeSecret } from './aws.ts';

/** A new folder for key-value data, and the configuration of a store in it, with the location in a secret. */
export async function makeFilesStore(
  name: string,
): Promise<{ folder: string; store: { kind: 'files'; secret: string } }> {
  const folder = await mkdtemp(join(tmpdir(), `ngbak-${name}-`));
  return { folder, store: { kind: 'files', secret: await makeSecret({ location: folder }) } };
}

/** Puts an archive of target `default` into the bucket that has no records of these stores. */
export async function putEmptyArchive(
  bucket: Bucket,
  { key, stores = ['kv'], kind = 'files' }: { key: string; stores?: StoreName[]; kind?: string },
): Promise<void> {
  const draft = {
    backup_id: basename(key, '.ngbak'),
    created_at: '2026-01-02T03:04:05.000Z',
    storage_backends: { kv: { kind } },
    statistics: {},
    scope: { type: 'full' as const, stores, target: 'default' },
    tallies: {},
    tags: [],
  };
  await bucket.s3.send(
    new PutObjectCommand({ Bucket: bucket.name, Key: key, Body: await buildArchive([], { draft }) }),
  );
}
