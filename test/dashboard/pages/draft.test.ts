import { expect, test } from '@jest/globals';
import {
  draftOf,
  EMPTY_DRAFT,
  inputOf,
  lastOfScope,
  problemsOf,
} from '../../../dashboard/backup-form/draft.ts';
import { StartBackupInput } from '../../../shared/operations/start-backup.ts';
import type { BackupSummary } from '../../../shared/operations/summaries.ts';

test('every draft becomes a request that the API takes, and is read back as the same draft', () => {
  const drafts = [
    { ...EMPTY_DRAFT, target: 'prod' },
    { ...EMPTY_DRAFT, target: 'prod', stores: ['graph', 'kv'] as const, tags: 'a, b', note: 'why' },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'days' as const, days: '14' },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'date' as const, date: '2036-01-31' },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'permanent' as const },
  ];
  for (const draft of drafts) {
    expect(problemsOf(draft)).toEqual({});
    const input = inputOf(draft);
    expect(StartBackupInput.safeParse(input).error).toBeUndefined();
    expect(draftOf(input)).toEqual(draft);
  }
});

test('what the API would refuse is told by field', () => {
  expect(problemsOf({ ...EMPTY_DRAFT, keep: 'days', days: '0' })).toHaveProperty('keep');
  expect(problemsOf({ ...EMPTY_DRAFT, keep: 'date', date: '2001-01-01' })).toHaveProperty('keep');
  expect(problemsOf({ ...EMPTY_DRAFT, tags: 'x'.repeat(129), note: 'x'.repeat(1001) })).toEqual({
    tags: expect.any(String),
    note: expect.any(String),
  });
});

test('the estimate is taken from the last backup of the same scope, whether or not it has the configuration', () => {
  const of = (backup_id: string, target: string, stores: string[]) =>
    ({ backup_id, target, stores }) as BackupSummary;
  const backups = [
    of('other', 'staging', ['graph', 'vectors', 'kv', 'config']),
    of('part', 'prod', ['graph', 'config']),
    of('full', 'prod', ['graph', 'vectors', 'kv', 'config']),
  ];
  const all = ['graph', 'vectors', 'kv', 'config'] as const;
  expect(lastOfScope(backups, 'prod', [], all)?.backup_id).toBe('full');
  expect(lastOfScope(backups, 'prod', ['graph'], all)?.backup_id).toBe('part');
  expect(lastOfScope(backups, 'prod', ['kv'], all)).toBeUndefined();
});
