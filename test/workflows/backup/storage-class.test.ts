/** Which archives get another storage class, and which may be moved. The tag is set on the real S3 of the emulator. */
import { randomBytes } from 'node:crypto';
import { GetObjectTaggingCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { expect, test } from '@jest/globals';
import {
  archiveKey,
  backupPlanKey,
  catalogKey,
  consistencyKey,
  sealedKey,
} from '../../../shared/aws/keys.ts';
import { CatalogRecord } from '../../../shared/catalog/record.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { AccessDeniedError } from '../../../shared/core/errors.ts';
import { SELFTEST_TARGET } from '../../../shared/core/selftest.ts';
import { recordBackup } from '../../../shared/workflows/backup/record.ts';
import { isMovable, storageClassOf } from '../../../shared/workflows/backup/storage-class.ts';
import { freshEnvironment } from '../../support/aws.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const CONFIG = NgbakConfig.parse({
  targets: { default: { stores: {} } },
  storage_class: 'GLACIER_IR',
  transitions: [{ days: 90, storage_class: 'DEEP_ARCHIVE' }],
});
const OF_RESTORE = { part_of: { job_id: 'restore_1', execution_arn: 'arn:x', scopes: {} } };

type Plan = Parameters<typeof storageClassOf>[1];
const plan = (target: string, request: object = {}): Plan => ({
  target,
  request: request as Plan['request'],
});

test('an archive is created in the configured class, a safety backup and a self-test in STANDARD', () => {
  const of = (wanted: Plan) => [
    storageClassOf({ config: CONFIG }, wanted),
    isMovable({ config: CONFIG }, wanted),
  ];
  expect(of(plan('default'))).toEqual(['GLACIER_IR', true]);
  expect(of(plan('default', OF_RESTORE))).toEqual(['STANDARD', false]);
  expect(of(plan(SELFTEST_TARGET))).toEqual(['STANDARD', false]);
  expect(isMovable({ config: { ...CONFIG, transitions: [] } }, plan('default'))).toBe(false);
});

/** Records a sealed archive. Returns the record, and the tags of archive and record. */
async function record(config: NgbakConfig, refuse = false) {
  const environment = { ...(await freshEnvironment()), config };
  const { bucket } = environment;
  const Key = archiveKey(ID);
  const put = new PutObjectCommand({ Bucket: bucket.name, Key, Body: randomBytes(10) });
  const { VersionId } = await bucket.s3.send(put);
  await bucket.writeRecord(sealedKey('job'), {
    ...{ key: Key, version_id: VersionId, bytes: 10, crc32: 'AAAAAA==', checksum: 'x' },
    ...{ entries: 3, uncompressed_bytes: 7, statistics: {}, tallies: {} },
  });
  await bucket.writeRecord(consistencyKey('job'), { grade: 'unchanged', changes: {} });
  await bucket.writeRecord(backupPlanKey('job'), {
    ...{ job_id: 'job', backup_id: ID, target: 'default', execution_arn: 'arn:x', type: 'full' },
    ...{ created_at: new Date().toISOString(), request: {}, quiesced: false, stores: [] },
  });
  if (refuse) {
    bucket.s3.middlewareStack.add(
      (next, context) => async (args) => {
        if (context.commandName !== 'PutObjectTaggingCommand') return next(args);
        throw new AccessDeniedError('No permission to tag.', { remedy: 'Allow it.' });
      },
      { step: 'initialize' },
    );
  }
  await recordBackup(environment, 'job');
  const tagsOf = async (key: string) => {
    const found = await bucket.s3.send(new GetObjectTaggingCommand({ Bucket: bucket.name, Key: key }));
    return found.TagSet?.map((tag) => `${tag.Key}=${tag.Value}`);
  };
  return {
    record: (await bucket.readRecord(catalogKey(ID), CatalogRecord))?.value,
    tags: [await tagsOf(Key), await tagsOf(catalogKey(ID))],
  };
}

test('a recorded archive gets the tag of the lifecycle rule, its record does not', async () => {
  const found = await record(CONFIG);
  expect(found.tags).toEqual([['ngbak=catalogued'], []]);
  expect(found.record).toMatchObject({ storage_class: 'GLACIER_IR' });
  expect(found.record?.warnings).toBeUndefined();
});

test('without transitions, nothing is tagged', async () => {
  expect((await record({ ...CONFIG, transitions: [] })).tags).toEqual([[], []]);
});

test('a backup whose archive cannot be tagged is recorded with a warning', async () => {
  const found = await record(CONFIG, true);
  expect(found.tags).toEqual([[], []]);
  expect(found.record?.warnings).toMatchObject([{ store: 'config', code: 'not-movable' }]);
});
