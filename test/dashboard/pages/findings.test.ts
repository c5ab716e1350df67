import { expect, test } from '@jest/globals';
import { findings } from '../../../dashboard/pages/restore/findings.ts';
import type { Inspection } from '../../../shared/workflows/restore/inspection.ts';

const inspection: Inspection = {
  job_id: 'j',
  target: 'prod',
  inspected_at: '2026-01-03T00:00:00.000Z',
  archive: {
    backup_id: 'b',
    created_at: '2026-01-01T00:00:00.000Z',
    bytes: 1,
    entries: 1,
    checksum: 'c',
    origin: 'prod',
    normalized: false,
    lacks: ['statistics'],
  },
  stores: [
    {
      store: 'graph',
      kind: 'neo4j',
      version: '5',
      archive: { nodes: 90, relationships: 0 },
      target: { nodes: 100, relationships: 30 },
      warnings: ['the index is being built'],
      changes: [],
      smoke: [],
      problems: [],
    },
  ],
  references: [],
  warnings: [],
  problems: [],
} as Inspection;
const options = { mode: 'replace', on_conflict: 'fail', safety_backup: true } as const;
const now = Date.parse('2026-01-03T00:00:00Z');
const texts = (of: Inspection, chosen: Parameters<typeof findings>[1] = options) =>
  findings(of, chosen, now).map(({ severity, text }) => `${severity} ${text}`);

test('losses come first, the largest share before smaller ones, then warnings, then information', () => {
  expect(texts(inspection)).toEqual([
    'warning graph relationships: all 30 are deleted; the archive has none.',
    'warning graph nodes: 100 now, 90 afterwards: 10 fewer.',
    'warning graph: the index is being built',
    expect.stringContaining('info prod is replaced by the state of 2 days ago'),
    'info The archive does not record: statistics',
  ]);
});

test('what makes a restore impossible is listed first, and only once', () => {
  const [store] = inspection.stores;
  const refused = {
    ...inspection,
    problems: ['graph: constraints need Enterprise'],
    stores: store ? [{ ...store, problems: ['constraints need Enterprise', 'another problem'] }] : [],
  };
  expect(texts(refused).filter((text) => text.startsWith('error'))).toEqual([
    'error graph: constraints need Enterprise',
    'error graph: another problem',
  ]);
  expect(texts(refused)[0]).toMatch(/^error/);
});

test('without a safety backup, that is the first warning; a merge loses nothing', () => {
  const merged = texts(inspection, { mode: 'merge', on_conflict: 'overwrite', safety_backup: false });
  expect(merged[0]).toBe('warning prod is not backed up first: a failed restore can’t be rolled back.');
  expect(merged.join()).not.toContain('fewer');
  expect(merged.join()).toContain('are overwritten');
});

test('an archive of another target is a warning', () => {
  const other = { ...inspection, archive: { ...inspection.archive, origin: 'staging' } };
  expect(texts(other)).toContain('warning The archive was created from staging, not from prod.');
});
