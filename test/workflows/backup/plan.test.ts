import { describe, expect, test } from '@jest/globals';
import { BACKUPS } from '../../../shared/aws/keys.ts';
import { NgbakConfig } from '../../../shared/core/config.ts';
import { Id } from '../../../shared/core/ids.ts';
import { backupIdOf, chooseTarget, freeBackupId } from '../../../shared/workflows/job/names.ts';
import { freshEnvironment } from '../../support/aws.ts';

const config = (...names: string[]) =>
  NgbakConfig.parse({ targets: Object.fromEntries(names.map((name) => [name, { stores: {} }])) });

describe('the id of a backup', () => {
  test('is the second in UTC in which it began, and a valid id', () => {
    const id = backupIdOf('default', '2025-10-06T16:30:00.123+02:00');
    expect(id).toBe('snapshot_2025-10-06T14-30-00Z');
    expect(Id.safeParse(id).success).toBe(true);
  });

  test('contains the name of a target other than the default', () => {
    expect(backupIdOf('legal', '2025-10-06T14:30:00Z')).toBe('snapshot_2025-10-06T14-30-00Z_legal');
  });

  test('is incremented if an archive or a record of the same second has it', async () => {
    const { bucket } = await freshEnvironment();
    const start = '2025-10-06T14:30:00Z';
    const ids: string[] = [];
    for (const ending of ['.json', '.ngbak', '.json']) {
      const id = await freeBackupId(bucket, 'legal', start);
      ids.push(id);
      await bucket.writeRecord(`${BACKUPS}${id}${ending}`, {});
    }
    expect(ids).toEqual([
      'snapshot_2025-10-06T14-30-00Z_legal',
      'snapshot_2025-10-06T14-30-00Z-2_legal',
      'snapshot_2025-10-06T14-30-00Z-3_legal',
    ]);
    expect(ids.every((id) => Id.safeParse(id).success)).toBe(true);
    // Backups of another target, and those of the next second, do not conflict.
    expect(await freeBackupId(bucket, 'default', start)).toBe('snapshot_2025-10-06T14-30-00Z');
    expect(await freeBackupId(bucket, 'legal', '2025-10-06T14:30:01Z')).toBe(
      'snapshot_2025-10-06T14-30-01Z_legal',
    );
  });
});

describe('a request without a target', () => {
  test('means the default target', () => {
    expect(chooseTarget(config('default', 'other'), undefined)).toBe('default');
  });
  test('means the only target', () => {
    expect(chooseTarget(config('legal'), undefined)).toBe('legal');
  });
  test('is refused if it could mean several, with their names', () => {
    expect(() => chooseTarget(config('legal', 'sales'), undefined)).toThrow(/several/);
  });
});

test.each(['nowhere', '__proto__', 'constructor'])(
  'target %p, which is not configured, is refused',
  (name) => {
    expect(() => chooseTarget(config('legal'), name)).toThrow(`no target "${name}"`);
  },
);
