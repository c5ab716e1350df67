import { describe, expect, test } from '@jest/globals';
import { compareReleases } from '../../shared/core/release.ts';
import { describeEvidence, type SystemEvidence } from '../../shared/core/system-evidence.ts';
import { PROFILE_NAMES } from '../../shared/profiles/profiles.ts';
import {
  evidenceOf,
  layoutWarnings,
  markRequests,
  migrationWarnings,
} from '../../shared/profiles/system-evidence.ts';

const lightrag = { profile: 'lightrag', parameters: {} };
const index = (name: string) => ({ counts: {}, marks: [{ kind: 'index' as const, name }] });
const evidence = (...measured: Parameters<typeof evidenceOf>): SystemEvidence => {
  const found = evidenceOf(...measured);
  if (!found) throw new Error('no evidence');
  return found;
};
const OLD = evidence(lightrag, { graph: index('entity_id_fulltext_idx') });
const NEW = evidence(lightrag, { graph: index('entity_id_fulltext_idx_base') });

describe('releases of Python packages', () => {
  test.each([
    ['1.4.9', '1.4.9.9', -1],
    ['1.4.10', '1.4.9.9', 1],
    ['v1.5.2', '1.5.2.0', 0],
    ['2.0.0rc1', '2.0.0', 0],
  ])('%s compared with %s', (one, other, expected) => {
    expect(Math.sign(compareReleases(one, other) ?? Number.NaN)).toBe(expected);
  });

  test('cannot be compared with other text', () => {
    expect(compareReleases('main', '1.0')).toBeUndefined();
  });
});

describe('what data reveals about the version that wrote it', () => {
  test('is a range, from the marks of all stores', () => {
    expect(describeEvidence(OLD)).toBe('1.4.9 or later, before 1.4.9.9');
    const both = evidence(lightrag, {
      graph: index('entity_id_fulltext_idx_base'),
      vectors: { counts: { 'points:lightrag_vdb_chunks_m_8d': 3 } },
      kv: {
        counts: { 'keys:entity_chunks': 2, 'keys:full_entities': 0 },
        marks: [{ kind: 'key', name: 'doc_status__sched:x' }],
      },
    });
    expect(describeEvidence(both)).toBe('1.5.5 or later');
    expect(both.marks).toHaveLength(4);
  });

  test('ignores names that a migration left behind', () => {
    const columns = ['lightrag_doc_status.content', 'lightrag_doc_status.content_hash'];
    const marks = columns.map((name) => ({ kind: 'column' as const, name }));
    expect(describeEvidence(evidence(lightrag, { kv: { counts: {}, marks } }))).toBe('1.5.0 or later');
  });

  test('is the version that cognee recorded, and its migration revision', () => {
    const cognee = { profile: 'cognee', parameters: {} };
    const marks = [
      { kind: 'value' as const, name: 'global_database_version.cognee_version', value: '1.6.5' },
      { kind: 'value' as const, name: 'alembic_version.version_num', value: 'c1a2b3d4e5f9' },
    ];
    const saved = evidence(cognee, { kv: { counts: { files: 3 }, marks } });
    expect(saved.version).toBe('1.6.5');
    const now = evidence(cognee, {
      kv: { counts: {}, marks: [{ ...marks[1], value: 'd8f4a1b2c3e9' } as never] },
    });
    expect(migrationWarnings(cognee, saved, { evidence: now })).toEqual([
      expect.stringMatching(
        /alembic_version.version_num = c1a2b3d4e5f9, and the target has d8f4a1b2c3e9: .*migrates/,
      ),
    ]);
    expect(migrationWarnings(cognee, saved, { evidence: saved, configured: '1.6.5' })).toEqual([]);
    expect(migrationWarnings(cognee, saved, { configured: '1.1.3' })).toEqual([
      expect.stringMatching(/versions before 1.2.0 have other IDs/),
    ]);
    const hostile = [
      { kind: 'value' as const, name: 'global_database_version.cognee_version', value: '\u001b[2J' },
    ];
    expect(evidence(cognee, { kv: { counts: {}, marks: hostile } }).version).toBeUndefined();
  });

  test('is nothing for a system without marks, or an empty store', () => {
    expect(
      evidenceOf({ profile: 'langchain', parameters: {} }, { graph: { counts: { nodes: 9 } } }),
    ).toBeUndefined();
    expect(evidenceOf(lightrag, { kv: { counts: { 'keys:entity_chunks': 0 } } })).toBeUndefined();
    for (const profile of PROFILE_NAMES.filter((name) => name !== 'ngraf-023'))
      expect(markRequests({ profile, parameters: {} }, 'config')).toEqual([]);
  });
});

describe('a restore', () => {
  test('of an old layout names what later versions do with it, if the target has one or states none', () => {
    const expected =
      /graph index entity_id_fulltext_idx, of a version before 1.4.9.9, and the target has 1.5.7: .* restart/;
    expect(migrationWarnings(lightrag, OLD, { configured: '1.5.7' })).toEqual([
      expect.stringMatching(expected),
    ]);
    expect(migrationWarnings(lightrag, OLD, { evidence: NEW })).toEqual([
      expect.stringMatching(/the target has 1.4.9.9 or later: versions from 1.4.9.9 on look for/),
    ]);
    expect(migrationWarnings(lightrag, OLD, {})).toEqual([
      expect.stringMatching(/if the target has 1.4.9.9 or later, these versions look for/),
    ]);
    expect(migrationWarnings(lightrag, OLD, { configured: '1.4.9.8' })).toEqual([]);
    expect(migrationWarnings(lightrag, OLD, { evidence: OLD })).toEqual([]);
  });

  test('of a new layout into an older version names what that one does not find', () => {
    expect(migrationWarnings(lightrag, NEW, { configured: '1.4.9.8' })).toEqual([
      expect.stringMatching(
        /of 1.4.9.9 or later, and the target has 1.4.9.8: versions before 1.4.9.9 look for/,
      ),
    ]);
    expect(migrationWarnings(lightrag, NEW, { evidence: OLD })).toHaveLength(1);
    expect(migrationWarnings(lightrag, NEW, { configured: '1.5.7' })).toEqual([]);
    expect(migrationWarnings(lightrag, NEW, {})).toEqual([]);
  });
});

describe('a backup', () => {
  test('warns if the configured version cannot have written the data', () => {
    const store = index('entity_id_fulltext_idx');
    expect(layoutWarnings(lightrag, '1.5.7', 'graph', store)).toMatchObject([
      {
        code: 'system-version-differs',
        text: expect.stringContaining('is 1.5.7, but a version 1.4.9 or later, before 1.4.9.9'),
        samples: ['graph index entity_id_fulltext_idx'],
      },
    ]);
    expect(layoutWarnings(lightrag, '1.4.9.8', 'graph', store)).toEqual([]);
    expect(layoutWarnings(lightrag, undefined, 'graph', store)).toEqual([]);
    expect(layoutWarnings(lightrag, '1.4.8', 'graph', store)).toHaveLength(1);
  });
});
