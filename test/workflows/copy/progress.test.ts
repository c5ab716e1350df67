/** When copies are made, and how their state changes. */
import { expect, test } from '@jest/globals';
import { SAFETY_TAG } from '../../../shared/catalog/request.ts';
import { CopiesConfig } from '../../../shared/core/copies.ts';
import { SELFTEST_TARGET } from '../../../shared/core/selftest.ts';
import {
  completeCopy,
  failedCopy,
  isDue,
  pendingCopy,
  plannedCopies,
} from '../../../shared/workflows/copy/progress.ts';
import { dueCopies, executionName } from '../../../shared/workflows/copy/start.ts';

const NOW = new Date('2026-03-10T12:00:00.000Z');
const MINUTE = 60_000;
const copies = CopiesConfig.parse({
  vault: { bucket: 'vault-bucket', prefix: 'kb', region: 'eu-west-1', keep_days: 30 },
  near: { bucket: 'near-bucket', targets: ['docs'] },
});
const [vault] = [copies.vault].flatMap((one) => one ?? []);
if (!vault) throw new Error('no copy');
const pending = pendingCopy('vault', vault, NOW);

test('a backup gets the copies that are configured for its target', () => {
  const names = (target: string, tags: string[] = []) =>
    plannedCopies({ copies }, { target, tags }, NOW).map(({ name }) => name);
  expect(names('docs')).toEqual(['vault', 'near']);
  expect(names('default')).toEqual(['vault']);
  expect(names('docs', [SAFETY_TAG])).toEqual([]);
  expect(names(SELFTEST_TARGET)).toEqual([]);
  expect(plannedCopies({}, { target: 'docs', tags: [] }, NOW)).toEqual([]);
});

test('a failed copy is due again after 15 minutes at most, then after twice as long, and after a day in the end', () => {
  const delays = Array.from({ length: 10 }, (_, index) => {
    const failed = failedCopy({ ...pending, attempts: index }, 'no', NOW, { random: () => 1 });
    expect(failed.attempts).toBe(index + 1);
    return (Date.parse(failed.next_attempt_at ?? '') - NOW.getTime()) / MINUTE;
  });
  expect(delays).toEqual([15, 30, 60, 120, 240, 480, 960, 1440, 1440, 1440]);
  const failed = failedCopy(pending, 'no', NOW);
  expect(isDue(failed, NOW.getTime())).toBe(false);
  expect(isDue(failed, NOW.getTime() + 15 * MINUTE)).toBe(true);
  expect(isDue(pending, NOW.getTime())).toBe(true);
  expect(isDue({ ...pending, state: 'complete' }, NOW.getTime())).toBe(false);
  expect(isDue({ ...pending, state: 'damaged' }, NOW.getTime())).toBe(false);
});

test('the next attempt continues the upload of a failed one, unless its parts are of other bytes', () => {
  const uploading = { ...pending, upload_id: 'u' };
  expect(failedCopy(uploading, 'no', NOW).upload_id).toBe('u');
  expect(failedCopy(uploading, 'no', NOW, { restart: true }).upload_id).toBeUndefined();
  expect(failedCopy(pending, 'x'.repeat(5000), NOW).problem).toHaveLength(1000);
});

test('a complete copy states when it expires, and no longer what was wrong before', () => {
  const failed = failedCopy({ ...pending, upload_id: 'u' }, 'no', NOW);
  const archive = { bytes: 7, crc32: 'AAAAAA==', version_id: 'v' };
  expect(completeCopy(failed, archive, { keep_days: 30 }, NOW)).toEqual({
    ...{
      name: 'vault',
      bucket: 'vault-bucket',
      prefix: 'kb',
      region: 'eu-west-1',
      storage_class: 'STANDARD',
    },
    ...{ state: 'complete', at: NOW.toISOString(), attempts: 1, ...archive },
    expires_at: '2026-04-09T12:00:00.000Z',
  });
});

test('due are pending copies, failed ones in time, and those that the newest good backup lacks', () => {
  const failed = failedCopy(pending, 'no', NOW);
  const backup = (backup_id: string, changes: object = {}) => ({
    ...{ backup_id, target: 'default', type: 'full' as const, good: true },
    ...changes,
  });
  const backups = [
    backup('suspicious', { good: false }),
    backup('newest'),
    backup('older'),
    backup('waiting', { copies: [pending] }),
    backup('failed', { copies: [failed] }),
    backup('made', { copies: [{ ...pending, state: 'complete' }] }),
    backup('part', { target: 'docs', type: 'partial', copies: [{ ...pending, name: 'near' }] }),
  ];
  const due = (minutes: number) =>
    dueCopies(backups, { copies }, NOW.getTime() + minutes * MINUTE).map(
      ({ backup_id, name, attempts }) => `${backup_id} ${name} ${attempts}`,
    );
  expect(due(0)).toEqual(['newest vault 0', 'waiting vault 0', 'part near 0']);
  expect(due(15)).toEqual(['newest vault 0', 'waiting vault 0', 'failed vault 1', 'part near 0']);
});

test('each attempt has an execution name of its own, within the limit of Step Functions', () => {
  expect(executionName({ backup_id: 'b', name: 'vault', attempts: 2 })).toBe('copy_b_vault_2');
  const long = [0, 1].map((attempts) =>
    executionName({ backup_id: 'b'.repeat(80), name: 'n'.repeat(80), attempts }),
  );
  expect(new Set(long).size).toBe(2);
  for (const name of long) expect(name).toMatch(/^[\w-]{1,80}$/);
});
