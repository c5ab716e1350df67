import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { admittedRestoreKey, BACKUPS } from '../../shared/aws/keys.ts';
import { deleteBackup } from '../../shared/operations/delete-backup.ts';
import { ListBackupsInput, listBackups } from '../../shared/operations/list-backups.ts';
import { PruneInput, prune } from '../../shared/operations/prune.ts';
import { RestoreBackupInput, restoreBackup } from '../../shared/operations/restore.ts';
import type { AdmittedRestore } from '../../shared/workflows/restore/plan.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

let context: Awaited<ReturnType<typeof freshContext>>;
const ids = async () =>
  (await listBackups(context, ListBackupsInput.parse({}))).backups.map(({ backup_id }) => backup_id);
const day = (number: number) => idAt(new Date(Date.UTC(2026, 0, number, 3)));
const created = (number: number) => ({
  backup_id: day(number),
  created_at: new Date(Date.UTC(2026, 0, number, 3)).toISOString(),
});

/** A running restore of that backup. */
async function runningRestore(backupId: string): Promise<string> {
  const started = await restoreBackup(context, RestoreBackupInput.parse({ backup_id: backupId }), {
    requestedBy: 'ada',
  });
  const restore: AdmittedRestore = {
    job_id: started.job_id,
    target: 'default',
    execution_arn: started.execution_arn,
    created_at: started.started_at,
    source: { bucket: context.bucket.name, key: `backups/${backupId}.ngbak` },
    backup_id: backupId,
    options: {
      mode: 'replace',
      on_conflict: 'fail',
      dry_run: false,
      safety_backup: true,
    },
    stores: ['graph'],
    confirmed: true,
  };
  await context.bucket.writeRecord(admittedRestoreKey(started.job_id), restore);
  return started.execution_arn;
}

beforeEach(async () => {
  context = await freshContext({ config: true });
});

describe('deleting a backup', () => {
  test('frees every version of archive and record, and reports the number of bytes', async () => {
    await catalogue(context.bucket, created(1), Buffer.alloc(1000));
    await context.bucket.s3.send(
      new PutObjectCommand({
        Bucket: context.bucket.name,
        Key: `${BACKUPS}${day(1)}.ngbak`,
        Body: Buffer.alloc(500),
      }),
    );
    const other = await catalogue(context.bucket, created(2), Buffer.alloc(1));
    const { bytes_freed } = await deleteBackup(context, day(1));
    expect(bytes_freed).toBeGreaterThan(1500);
    for await (const version of context.bucket.versions(`${BACKUPS}${day(1)}.ngbak`)) {
      throw new Error(`version ${version.versionId} is still there`);
    }
    expect(await ids()).toEqual([other.backup_id]);
    await expect(deleteBackup(context, day(1))).rejects.toThrow(/no backup/);
  });

  test('is refused while it is permanent', async () => {
    await catalogue(context.bucket, { ...created(1), retention: 'permanent' }, Buffer.alloc(1));
    await expect(deleteBackup(context, day(1))).rejects.toThrow(/forever/);
    expect(await ids()).toEqual([day(1)]);
  });

  test('is refused while a restore reads it, and allowed once that has ended', async () => {
    await catalogue(context.bucket, created(1), Buffer.alloc(1));
    const executionArn = await runningRestore(day(1));
    await expect(deleteBackup(context, day(1))).rejects.toThrow(/in use: restore .* reads it/);
    await context.sfn.send(new StopExecutionCommand({ executionArn }));
    await deleteBackup(context, day(1));
    expect(await ids()).toEqual([]);
  });
});

describe('pruning', () => {
  const run = (input: object) => prune(context, PruneInput.parse(input));

  test('explains each backup and deletes nothing without --delete', async () => {
    for (let i = 1; i <= 9; i++) await catalogue(context.bucket, created(i), Buffer.alloc(10));
    const planned = await run({});
    expect(planned.dry_run).toBe(true);
    expect(planned.backups.map(({ backup_id, action }) => [backup_id, action])).toEqual(
      [9, 8, 7, 6, 5, 4, 3, 2, 1].map((i) => [day(i), i > 2 ? 'keep' : 'drop']),
    );
    expect(planned.backups.every(({ reasons }) => reasons.length > 0)).toBe(true);
    expect(await ids()).toHaveLength(9);
  });

  test('deletes what no rule keeps, and a second run deletes nothing more', async () => {
    for (let i = 1; i <= 9; i++) await catalogue(context.bucket, created(i), Buffer.alloc(10));
    const first = await run({ dry_run: false });
    expect(first.backups.filter(({ deleted }) => deleted)).toHaveLength(2);
    expect(first.bytes_freed).toBeGreaterThan(20);
    expect(await ids()).toEqual([9, 8, 7, 6, 5, 4, 3].map(day));
    const second = await run({ dry_run: false });
    expect(second.backups.filter(({ action }) => action === 'drop')).toEqual([]);
    expect(await ids()).toHaveLength(7);
  });

  test('does not guess a policy if that of the deployment is unknown', async () => {
    const { config: _, ...without } = context;
    await expect(prune(without, PruneInput.parse({}))).rejects.toThrow(/policy of the deployment is unknown/);
  });

  test('keeps what a running restore reads', async () => {
    for (let i = 1; i <= 3; i++) await catalogue(context.bucket, created(i), Buffer.alloc(10));
    await runningRestore(day(1));
    const pruned = await run({ dry_run: false, policy: { keep_last: 1 } });
    expect(pruned.backups.at(-1)).toMatchObject({ backup_id: day(1), action: 'keep', deleted: false });
    expect(await ids()).toEqual([day(3), day(1)]);
  });

  test('of one target does not affect the others', async () => {
    for (let i = 1; i <= 4; i++) {
      await catalogue(context.bucket, { ...created(i), target: i % 2 ? 'odd' : 'even' }, Buffer.alloc(1));
    }
    await run({ dry_run: false, target: 'odd', policy: { keep_last: 1 } });
    expect(await ids()).toEqual([4, 3, 2].map(day));
  });
});
