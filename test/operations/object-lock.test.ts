import {
  CreateBucketCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  PutObjectLegalHoldCommand,
} from '@aws-sdk/client-s3';
import { SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Bucket } from '../../shared/aws/bucket.ts';
import { archiveKey, backupPlanKey, catalogKey, consistencyKey, sealedKey } from '../../shared/aws/keys.ts';
import { lockObject } from '../../shared/catalog/head-archive.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { SELFTEST_TARGET } from '../../shared/core/selftest.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { deleteBackup } from '../../shared/operations/delete-backup.ts';
import { PruneInput, prune } from '../../shared/operations/prune.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { recordBackup } from '../../shared/workflows/backup/record.ts';
import { describeS3Servers, type S3Server } from '../archive/s3-servers.ts';
import { freshEnvironment } from '../support/aws.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';

const DAY = 24 * 60 * 60 * 1000;
const [locked = '', held = '', free = '', newest = ''] = [5, 4, 3, 1].map((days) =>
  idAt(new Date(Date.now() - days * DAY)),
);

describeS3Servers('Object Lock, at $name', ({ start }) => {
  let server: S3Server;
  let context: OperationsContext;
  const versions = new Map<string, string>();

  beforeAll(async () => {
    server = await start();
    const name = `ngbak-lock-${process.pid}-${Date.now()}`;
    const s3 = server.client();
    await s3.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: true }));
    const sfn = new SFNClient({ region: 'us-east-1' });
    context = { bucket: new Bucket(name, s3), sfn, stateMachines: { backup: 'arn:b', restore: 'arn:r' } };
    for (const backup_id of [locked, held, free, newest]) {
      const Key = archiveKey(backup_id);
      const until = {
        ObjectLockMode: 'COMPLIANCE',
        ObjectLockRetainUntilDate: new Date(Date.now() + DAY),
      } as const;
      const put = new PutObjectCommand({
        Bucket: name,
        Key,
        Body: 'archive',
        ChecksumAlgorithm: 'CRC32',
        ...(backup_id === locked ? until : {}),
      });
      const version = String((await s3.send(put)).VersionId);
      versions.set(backup_id, version);
      if (backup_id === held) {
        const hold = { Bucket: name, Key, VersionId: version, LegalHold: { Status: 'ON' } } as const;
        await s3.send(new PutObjectLegalHoldCommand(hold));
      }
      const days = { [locked]: 5, [held]: 4, [free]: 3, [newest]: 1 }[backup_id] ?? 0;
      await catalogue(context.bucket, {
        backup_id,
        created_at: new Date(Date.now() - days * DAY).toISOString(),
        archive: {
          key: Key,
          version_id: version,
          bytes: 7,
          entries: 1,
          codec: 'gzip',
          crc32: 'AAAAAA==',
          checksum: '0'.repeat(64),
        },
      });
    }
  });
  afterAll(() => server.stop());

  test('retention keeps locked and held backups, states the reason, and deletes the others', async () => {
    const policy = { keep_last: 1, keep_daily: 0, keep_weekly: 0, keep_monthly: 0, keep_yearly: 0 };
    for (const run of ['the first', 'the second']) {
      const { backups } = await prune(context, PruneInput.parse({ dry_run: false, policy }));
      const reasons = Object.fromEntries(
        backups.map(({ backup_id, deleted, reasons }) => [backup_id, { deleted, reasons }]),
      );
      expect({ run, reasons: reasons }).toEqual({
        run,
        reasons: {
          [newest]: { deleted: false, reasons: expect.anything() },
          ...(run === 'the first' ? { [free]: { deleted: true, reasons: expect.anything() } } : {}),
          [held]: { deleted: false, reasons: ['it is under a legal hold'] },
          [locked]: {
            deleted: false,
            reasons: [expect.stringMatching(/^Object Lock \(compliance\) keeps it until 20/)],
          },
        },
      });
    }
  });

  test('deletion by hand is refused, and the record stays', async () => {
    await expect(deleteBackup(context, locked)).rejects.toThrow('Object Lock (compliance) keeps it until');
    await expect(deleteBackup(context, held)).rejects.toThrow('it is under a legal hold');
    expect((await showBackup(context, locked)).backup_id).toBe(locked);
  });

  test('S3 itself refuses to delete that version', async () => {
    const Key = archiveKey(locked);
    const remove = new DeleteObjectCommand({
      Bucket: context.bucket.name,
      Key,
      VersionId: versions.get(locked),
    });
    await expect(context.bucket.s3.send(remove)).rejects.toThrow();
  });

  /** The last step of a backup that has sealed its archive. */
  async function record(jobId: string, backup_id: string, object_lock?: object, target = 'default') {
    const { bucket } = context;
    const Key = archiveKey(backup_id);
    const put = new PutObjectCommand({
      Bucket: bucket.name,
      Key,
      Body: 'archive',
      ChecksumAlgorithm: 'CRC32',
    });
    const version_id = String((await bucket.s3.send(put)).VersionId);
    const created_at = new Date().toISOString();
    await bucket.writeRecord(backupPlanKey(jobId), {
      ...{ job_id: jobId, backup_id, target, execution_arn: 'arn:x', created_at, type: 'full' },
      ...{ request: {}, quiesced: false, stores: [] },
    });
    await bucket.writeRecord(sealedKey(jobId), {
      ...{ key: Key, version_id, bytes: 7, crc32: 'AAAAAA==', checksum: '0'.repeat(64) },
      ...{ entries: 1, uncompressed_bytes: 7, statistics: {}, tallies: {} },
    });
    await bucket.writeRecord(consistencyKey(jobId), { grade: 'unchanged', changes: {} });
    const config = NgbakConfig.parse({ targets: { default: { stores: {} } }, object_lock });
    const environment = { ...context, config, log: () => undefined };
    await recordBackup(environment, jobId);
    // A repeated step finds the objects locked already.
    await recordBackup(environment, jobId);
    return { Bucket: bucket.name, Key, VersionId: version_id, created_at };
  }

  test.each(['governance', 'compliance'])(
    'with "objectLock" of mode %s, a backup and its record are locked before they can be deleted',
    async (mode) => {
      const id = idAt(new Date(Date.now() - (mode === 'governance' ? 1 : 2) * 3_600_000));
      const { Bucket: name, Key, VersionId, created_at } = await record(`job-${mode}`, id, { mode, days: 3 });
      const { s3 } = context.bucket;
      await expect(s3.send(new DeleteObjectCommand({ Bucket: name, Key, VersionId }))).rejects.toThrow();
      await expect(context.bucket.removeAll(catalogKey(id))).rejects.toThrow();
      const until = new Date(Date.parse(created_at) + 3 * DAY).toISOString().slice(0, 19);
      await expect(deleteBackup(context, id)).rejects.toThrow(
        `Object Lock (${mode}) keeps it until ${until}`,
      );
      expect((await showBackup(context, id)).backup_id).toBe(id);
    },
  );

  test('without it, and in a self-test, a backup can be deleted', async () => {
    const id = idAt(new Date(Date.now() - 3 * 3_600_000));
    const { Bucket: name, Key, VersionId } = await record('job-free', id);
    await context.bucket.s3.send(new DeleteObjectCommand({ Bucket: name, Key, VersionId }));
    const other = idAt(new Date(Date.now() - 4 * 3_600_000));
    const lock = { mode: 'compliance', days: 1 };
    const selftest = await record('job-selftest', other, lock, SELFTEST_TARGET);
    await context.bucket.s3.send(
      new DeleteObjectCommand({ Bucket: name, Key: selftest.Key, VersionId: selftest.VersionId }),
    );
  });
});

test('with "objectLock" and a bucket without it, a backup fails with a remedy instead of being left unlocked', async () => {
  const { bucket } = await freshEnvironment();
  await bucket.writeRecord('backups/x', {});
  const until = new Date(Date.now() + DAY);
  await expect(lockObject(bucket, { key: 'backups/x' }, { mode: 'governance', until })).rejects.toThrow(
    /has no Object Lock/,
  );
});
