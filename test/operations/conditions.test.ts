/** Which states of a target its operators are notified of. */
import { describe, expect, test } from '@jest/globals';
import { conditionsOf, type Watched } from '../../shared/operations/conditions.ts';
import type { Reason } from '../../shared/operations/recoverability.ts';

const reason = (code: string, severity: Reason['severity'] = 'warning'): Reason => ({
  code,
  severity,
  text: `Text of ${code}.`,
  remedy: 'Do something.',
});

function found(
  reasons: readonly Reason[],
  rest: Partial<Omit<Watched, 'verdict'>> = {},
  recoverable: 'yes' | 'no' = 'yes',
) {
  return conditionsOf({
    verdict: { target: 'kb', recoverable, reasons: [...reasons] },
    schedules: [],
    newest: [],
    ...rest,
  });
}

describe('a target has the condition', () => {
  test.each([
    ['backup-too-old', 'backup.missed', true],
    ['backups-damaged', 'data.changed', false],
    ['copy-failed', 'backup.not_copied', true],
    ['copy-overdue', 'backup.not_copied', true],
    ['copy-damaged', 'data.changed', true],
    ['drill-overdue', 'drill.overdue', true],
    ['target-locked', 'target.locked', true],
  ])('%s as event %s', (code, type, remind) => {
    expect(found([reason(code)])).toEqual([{ key: code, type, remind, detail: `Text of ${code}.` }]);
  });

  test('not recoverable, with every reason for it', () => {
    const reasons = [
      reason('no-backup', 'no'),
      reason('archive-unreadable', 'no'),
      reason('not-rehearsed', 'note'),
    ];
    expect(found(reasons, {}, 'no')).toEqual([
      {
        key: 'not-recoverable',
        type: 'target.not_recoverable',
        detail: 'Text of no-backup. Text of archive-unreadable.',
        remind: true,
      },
    ]);
  });

  test('missed while the newest planned run of a schedule did not start', () => {
    const at = (hour: number) => `2026-11-29T0${hour}:00:00.000Z`;
    const ran = (hour: number) => ({ job_id: 'j', at: at(hour), by_hand: false, skipped: false });
    const schedules = [
      { name: 'weekly', kind: 'drill' as const, missed_runs: [at(3)] },
      { name: 'nightly', kind: 'backup' as const, missed_runs: [at(3), at(2)], last_run: ran(1) },
      { name: 'caught-up', kind: 'backup' as const, missed_runs: [at(3)], last_run: ran(4) },
      { name: 'never', kind: 'backup' as const, missed_runs: [at(3)] },
      { name: 'fine', kind: 'backup' as const, missed_runs: [], last_run: ran(3) },
    ];
    expect(found([], { schedules }).map(({ key, type }) => [key, type])).toEqual([
      ['missed:weekly', 'drill.overdue'],
      ['missed:nightly', 'backup.missed'],
      ['missed:never', 'backup.missed'],
    ]);
  });

  test('drifted after three successive backups that drifted, and not before', () => {
    const newest = (...grades: ('drifted' | 'unchanged')[]) =>
      grades.map((consistency, index) => ({ backup_id: `b-${index}`, consistency }));
    expect(found([], { newest: newest('drifted', 'drifted') })).toEqual([]);
    expect(found([], { newest: newest('drifted', 'unchanged', 'drifted', 'drifted') })).toEqual([]);
    expect(found([], { newest: newest('drifted', 'drifted', 'drifted', 'unchanged') })).toMatchObject([
      { type: 'backup.drifted', backup_id: 'b-0', remind: false },
    ]);
  });
});

test('other reasons of the verdict are not reported: the jobs that caused them were', () => {
  const others = [
    'open-warnings',
    'last-backup-failed',
    'last-restore-failed',
    'store-missing',
    'not-rehearsed',
  ];
  expect(found(others.map((code) => reason(code)))).toEqual([]);
});
