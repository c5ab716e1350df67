import { expect, test } from '@jest/globals';
import {
  type BackupDraft,
  draftOf,
  EMPTY_DRAFT,
  inputOf,
  lastOfScope,
  problemsOf,
} from '../../../dashboard/backup-form/draft.ts';
import type { BackupSummary } from '../../../shared/catalog/summaries.ts';
import { StartBackupInput } from '../../../shared/operations/start-backup.ts';

test('every draft becomes a request that the API accepts, and is read back as the same draft', () => {
  const drafts = [
    { ...EMPTY_DRAFT, target: 'prod' },
    { ...EMPTY_DRAFT, target: 'prod', stores: ['graph', 'kv'] as const, tags: 'a, b', note: 'why' },
    {
      ...EMPTY_DRAFT,
      target: 'prod',
      label: 'אדם',
      collections: 'chunks, entities',
      namespaces: 'text_chunks',
      keyPrefixes: 'a:, b:',
    },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'days' as const, days: '14' },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'date' as const, date: '2036-01-31' },
    { ...EMPTY_DRAFT, target: 'prod', keep: 'permanent' as const },
    { ...EMPTY_DRAFT, target: 'prod', full: true },
  ];
  for (const draft of drafts) {
    expect(problemsOf(draft)).toEqual({});
    const input = inputOf(draft);
    expect(StartBackupInput.safeParse(input).error).toBeUndefined();
    expect(draftOf(input)).toEqual(draft);
  }
});

test('what the API would reject is reported by field', () => {
  expect(problemsOf({ ...EMPTY_DRAFT, keep: 'days', days: '0' })).toHaveProperty('keep');
  expect(problemsOf({ ...EMPTY_DRAFT, keep: 'date', date: '2001-01-01' })).toHaveProperty('keep');
  expect(problemsOf({ ...EMPTY_DRAFT, tags: 'x'.repeat(129), note: 'x'.repeat(1001) })).toEqual({
    tags: expect.any(String),
    note: expect.any(String),
  });
});

test('the estimate comes from the last backup of the same scope, with or without the configuration', () => {
  const of = (backup_id: string, target: string, stores: string[], only?: object) =>
    ({ backup_id, target, stores, ...(only ? { only } : {}) }) as BackupSummary;
  const backups = [
    of('other', 'staging', ['graph', 'vectors', 'kv', 'config']),
    of('label', 'prod', ['graph', 'config'], { label: 'Person' }),
    of('names', 'prod', ['vectors', 'config'], { collections: ['b', 'a'] }),
    of('part', 'prod', ['graph', 'config']),
    of('full', 'prod', ['graph', 'vectors', 'kv', 'config']),
  ];
  const last = (changes: Partial<BackupDraft>) =>
    lastOfScope(backups, { ...EMPTY_DRAFT, target: 'prod', ...changes }, ['graph', 'vectors', 'kv', 'config'])
      ?.backup_id;
  expect(last({})).toBe('full');
  expect(last({ stores: ['graph'] })).toBe('part');
  expect(last({ stores: ['kv'] })).toBeUndefined();
  expect(last({ label: 'Person' })).toBe('label');
  expect(last({ collections: 'a, b' })).toBe('names');
  expect(last({ collections: 'a' })).toBeUndefined();
  expect(last({ stores: ['graph', 'kv'], label: 'Person' })).toBeUndefined();
});
