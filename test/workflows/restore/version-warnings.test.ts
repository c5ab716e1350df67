import { describe, expect, test } from '@jest/globals';
import type { Manifest } from '../../../shared/archive/format/manifest.ts';
import { TargetConfig } from '../../../shared/core/config.ts';
import { originWarnings, serverWarnings } from '../../../shared/workflows/restore/version-warnings.ts';

const manifest = (changes: object) =>
  ({ storage_backends: {}, scope: {}, ...changes }) as unknown as Manifest;
const target = (changes: object = {}) => TargetConfig.parse({ stores: {}, ...changes });
const NOTES = { newer: 'what is new', older: 'what is missing' };

describe('versions in a backup', () => {
  test.each([
    [
      '0.9.9',
      /^the backup was created by an older ngbak, 0\.9\.9 \(this is 0\.10\.0\): data that this version did not save/,
    ],
    ['0.10.1', /^the backup was created by a newer ngbak, 0\.10\.1 .*: unknown fields are ignored/],
    ['1.0.0-beta.1', /by a newer ngbak/],
    ['0.10.0-rc.1', /by an older ngbak/],
    ['nightly', /by another ngbak, nightly/],
  ])('ngbak %s causes a warning in ngbak 0.10.0', (ngbak_version, expected) => {
    expect(originWarnings(manifest({ ngbak_version }), target(), '0.10.0')).toEqual([
      expect.stringMatching(expected),
    ]);
  });

  test('cause no warning if they are the same, or if one side does not state them', () => {
    const same = { ngbak_version: '0.10.0', nano_graphrag_version: '1.5.2', scope: { profile: 'custom' } };
    expect(originWarnings(manifest(same), target({ system_version: 'v1.5.2' }), '0.10.0')).toEqual([]);
    expect(originWarnings(manifest(same), target(), '0.10.0')).toEqual([]);
    expect(originWarnings(manifest(same), target({ system_version: '1.5.2.0' }), '0.10.0')).toEqual([]);
    expect(
      originWarnings(manifest({ nano_graphrag_version: null }), target({ system_version: '1' })),
    ).toEqual([]);
  });

  test('of the GraphRAG system or its profile that differ are named with what may differ', () => {
    const saved = manifest({ nano_graphrag_version: '1.4.9', scope: { profile: 'lightrag' } });
    expect(originWarnings(saved, target({ system_version: '1.5.2', profile: 'nano-graphrag' }))).toEqual([
      expect.stringContaining('profile "lightrag", and the target has profile "nano-graphrag"'),
      expect.stringMatching(
        /version 1\.4\.9 of the GraphRAG system, and the target runs 1\.5\.2: it may expect other/,
      ),
    ]);
  });

  test('of Python packages may differ in their fourth number', () => {
    const saved = manifest({ nano_graphrag_version: '0.0.8.2' });
    expect(originWarnings(saved, target({ system_version: '0.0.8.3' }))).toHaveLength(1);
  });

  test('as text of an archive are bounded, and cannot reverse the direction of the line', () => {
    const [warning = ''] = originWarnings(manifest({ ngbak_version: `\u202e9${'9'.repeat(500)}` }), target());
    expect(warning).not.toContain('\u202e');
    expect(warning.length).toBeLessThan(300);
  });
});

describe('the server of the backup', () => {
  const warned = (saved: object, now: { version: string; edition?: string }) =>
    serverWarnings(
      manifest({ storage_backends: { graph: { kind: 'neo4j', ...saved } } }),
      'graph',
      now,
      NOTES,
    );
  test.each([
    [
      '5.13.0',
      '5.26.30',
      ['the backup was created from version 5.13.0, and the target is newer: 5.26.30; what is new'],
    ],
    [
      '5.26.1',
      '5.9.0',
      ['the backup was created from version 5.26.1, and the target is older: 5.9.0; what is missing'],
    ],
    ['5.26.1', '2025.01.0', [expect.stringContaining('newer')]],
    ['5.26.1', '5.26.30', []],
    ['unknown', '5.26.30', []],
  ])(
    'version %s causes a warning on a server of version %s if data may differ',
    (saved, version, expected) => {
      expect(warned({ version: saved }, { version })).toEqual(expected);
    },
  );

  test('of another edition is named', () => {
    expect(warned({ edition: 'enterprise' }, { version: '5', edition: 'community' })).toEqual([
      'the backup was created from enterprise, and the target is community: features that only one of them has may be missing',
    ]);
    expect(warned({}, { version: '5', edition: 'community' })).toEqual([]);
  });
});
