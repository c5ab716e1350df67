/** Which events the end of a job has. */
import { describe, expect, test } from '@jest/globals';
import { NotifyEvent } from '../../../shared/notify/event.ts';
import type { JobRecord } from '../../../shared/workflows/job/record.ts';
import { eventsOf } from '../../../shared/workflows/job/report.ts';

const AT = '2026-11-29T03:00:00.000Z';
const job = (changes: Partial<JobRecord>): JobRecord => ({
  job_id: 'job-1',
  kind: 'backup',
  target: 'kb',
  state: 'completed',
  created_at: AT,
  updated_at: AT,
  requested_by: 'ada',
  ...changes,
});
const types = (...args: Parameters<typeof eventsOf>) => {
  const events = eventsOf(...args);
  for (const event of events) NotifyEvent.parse({ at: AT, ...event });
  return events.map(({ type }) => type);
};
const failed = {
  state: 'failed',
  error: { name: 'UnavailableError', message: 'It did not respond.' },
} as const;
const changed = { state: 'failed', error: { name: 'IntegrityError', message: 'It differs.' } } as const;

describe('a backup', () => {
  const result = (facts: object) =>
    job({ result: { backup_id: 'b-1', good: true, state: 'complete', ...facts } });

  test('that failed is reported, with the reason', () => {
    expect(eventsOf(job(failed))).toEqual([
      {
        id: 'job-1.backup.failed',
        type: 'backup.failed',
        target: 'kb',
        job_id: 'job-1',
        requested_by: 'ada',
        detail: 'It did not respond.',
      },
    ]);
  });

  test('with open warnings is reported as incomplete, and one that is not good as suspicious', () => {
    const warnings = [{ store: 'kv', text: 'Keys of type x are not saved.' }];
    const incomplete = result({ state: 'complete_with_warnings', open_warnings: 1, warnings });
    expect(eventsOf(incomplete)).toMatchObject([
      {
        type: 'backup.incomplete',
        backup_id: 'b-1',
        warnings: 1,
        detail: 'kv: Keys of type x are not saved.',
      },
    ]);
    const empty = result({ state: 'complete_with_warnings', good: false, record_count: 0 });
    expect(eventsOf(empty)).toMatchObject([{ type: 'backup.suspicious', records: 0 }]);
  });

  test.each([
    ['completed', result({})],
    ['was skipped', job({ state: 'cancelled', error: { name: 'Skipped', message: 'Another job ran.' } })],
    ['was cancelled', job({ state: 'cancelled', error: { name: 'Cancelled', message: 'By ada.' } })],
    ['is running', job({ state: 'processing' })],
    ['belongs to a restore', job({ ...failed, job_id: 'safety_job-1' })],
    ['belongs to a self-test', job({ ...failed, target: 'ngbak-selftest' })],
  ])('that %s is not reported', (_, record) => {
    expect(types(record)).toEqual([]);
  });

  test('that failed an integrity check is reported once, as changed data', () => {
    expect(types(job(changed))).toEqual(['data.changed']);
  });
});

describe('a restore', () => {
  const restore = (changes: Partial<JobRecord>) => job({ kind: 'restore', ...changes });

  test('is reported when it has completed, failed, or was rolled back', () => {
    const result = { verified: true, backup_id: 'b-1', records_restored: 5, bytes: 10, seconds: 2 };
    expect(eventsOf(restore({ result }))).toMatchObject([
      { type: 'restore.completed', backup_id: 'b-1', records: 5, bytes: 10, seconds: 2 },
    ]);
    expect(types(restore(failed))).toEqual(['restore.failed']);
    expect(types(restore({ ...failed, state: 'rolled_back' }))).toEqual(['restore.rolled_back']);
    expect(types(restore({ ...changed, state: 'rolled_back' }))).toEqual([
      'restore.rolled_back',
      'data.changed',
    ]);
  });

  test('that leaves its target locked is reported as that, with the backup that has the previous contents', () => {
    const locked = { backup_id: 'safety-1', reason: 'The rollback failed as well.' };
    expect(eventsOf(restore(failed), { locked })).toMatchObject([
      { type: 'target.locked', backup_id: 'safety-1', detail: 'The rollback failed as well.' },
    ]);
  });

  test.each([
    ['is a dry run', restore({ result: { dry_run: true } })],
    ['is a rollback', restore({ ...failed, job_id: 'rollback_job-1' })],
    ['never got its upload', restore({ state: 'cancelled', error: { name: 'NeverUploaded', message: '' } })],
  ])('that %s is not reported', (_, record) => {
    expect(types(record)).toEqual([]);
  });

  test('whose archive has a manifest with an invalid ID is reported without it', () => {
    const result = { verified: true, backup_id: '../../x', records_restored: 5 };
    expect(eventsOf(restore({ result }))[0]).not.toHaveProperty('backup_id');
  });
});

test('a drill is reported if it failed, and not if it passed', () => {
  expect(types(job({ kind: 'drill', ...failed }))).toEqual(['drill.failed']);
  expect(types(job({ kind: 'drill', result: { verified: true } }))).toEqual([]);
});
