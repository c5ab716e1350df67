import { describe, expect, test } from '@jest/globals';
import { lastRestoreOf, smokeOf } from '../../dashboard/backup/last-restore.ts';
import { JobSummary } from '../../shared/workflows/job/summary.ts';

const job = (job_id: string, finished_at: string, changes: object = {}) =>
  JobSummary.parse({
    job_id,
    kind: 'restore',
    target: 'default',
    state: 'completed',
    created_at: finished_at,
    updated_at: finished_at,
    finished_at,
    proved: { backup_id: 'b1', backup_of: 'default', stores: ['kv'], all_of_stores: true },
    ...changes,
  });
const DAYS = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', '2026-01-03T00:00:00Z'] as const;

describe('the last restore of a backup', () => {
  test('is the newest one that completed, a drill or a restore, whatever the order of the jobs', () => {
    const jobs = [
      job('old', DAYS[0]),
      job('drill', DAYS[1], { kind: 'drill' }),
      job('failed', DAYS[2], { state: 'failed', proved: undefined }),
      job('of-another', DAYS[2], {
        proved: { backup_id: 'b2', backup_of: 'default', stores: [], all_of_stores: true },
      }),
    ];
    expect(lastRestoreOf('b1', jobs)?.job_id).toBe('drill');
    expect(lastRestoreOf('b1', jobs.toReversed())?.job_id).toBe('drill');
    expect(lastRestoreOf('b3', jobs)).toBeUndefined();
  });

  test('shows its smoke checks, by store', () => {
    const check = { question: '["ANY"]', before: 'found', after: 'found' };
    const result = { stores: { kv: { smoke: [check] }, graph: { smoke: [] }, vectors: {} } };
    expect(smokeOf({ result })).toEqual([{ store: 'kv', ...check }]);
    expect([smokeOf({ result: undefined }), smokeOf({ result: { dry_run: true } })]).toEqual([[], []]);
  });
});
