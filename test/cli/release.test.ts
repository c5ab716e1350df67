import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { changelogSection, makeRelease } from '../../cli/release.ts';
import { VERSION } from '../../shared/core/version.ts';

const run = promisify(execFile);

describe('the release notes', () => {
  const changelog =
    '# Changelog\n\n## Unreleased\n\n- new\n\n## 1.2.0 - 2026-01-02\n\n### Added\n\n- a\n\n## 1.1.0 - 2025-12-01\n';

  test('are the section of its version, without its heading', () => {
    expect(changelogSection(changelog, '1.2.0')).toBe('### Added\n\n- a\n');
    expect(changelogSection(changelog.replace('## 1.2.0', '## [1.2.0]'), '1.2.0')).toBe('### Added\n\n- a\n');
  });

  test.each(['1.2', '1.1.0', '2.0.0', 'Unreleased', '1.2.0-beta'])(
    'of %s, which has no dated section or an empty one, are an error',
    (version) => {
      expect(() => changelogSection(changelog, version)).toThrow(/CHANGELOG/);
    },
  );

  test('of the version in package.json can be published', async () => {
    expect(changelogSection(await readFile('CHANGELOG.md', 'utf8'), VERSION).length).toBeGreaterThan(100);
  });
});

describe('a release', () => {
  let folder: string;
  let files: readonly string[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ngbak-release-'));
    files = await makeRelease(`v${VERSION}`, join(folder, 'release'), 'owner/name');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('consists of package, SBOM, checksums and notes, and nothing else', async () => {
    expect(files).toEqual(['NOTES.md', 'SHA256SUMS', `ngbak-${VERSION}.cdx.json`, `ngbak-${VERSION}.tgz`]);
    expect(await readdir(join(folder, 'release'))).toHaveLength(4);
  });

  test('has checksums that sha256sum accepts', async () => {
    const { stdout } = await run('sha256sum', ['-c', 'SHA256SUMS'], { cwd: join(folder, 'release') });
    expect(stdout).toBe(`ngbak-${VERSION}.cdx.json: OK\nngbak-${VERSION}.tgz: OK\n`);
  });

  test('has a package whose repository npm can compare with its provenance', async () => {
    await run('tar', ['-xzf', join(folder, 'release', `ngbak-${VERSION}.tgz`), '-C', folder]);
    const described = JSON.parse(await readFile(join(folder, 'package/package.json'), 'utf8'));
    expect(described).toMatchObject({
      name: 'ngbak',
      version: VERSION,
      repository: { url: 'git+https://github.com/owner/name.git' },
    });
    expect(described).not.toHaveProperty('private');
    expect(described).not.toHaveProperty('dependencies');
    expect((await readdir(join(folder, 'package'))).sort()).toEqual([
      'LICENSE',
      'README.md',
      'ngbak.mjs',
      'package.json',
    ]);
  });

  test('has an SBOM with hashes of all production dependencies, and of no development tools', async () => {
    const bom = JSON.parse(await readFile(join(folder, 'release', `ngbak-${VERSION}.cdx.json`), 'utf8'));
    expect(bom.metadata.component).toMatchObject({ name: 'ngbak', version: VERSION });
    const components = bom.components as { name: string; hashes?: unknown[] }[];
    const names = components.map(({ name }) => name);
    const { dependencies } = JSON.parse(await readFile('package.json', 'utf8'));
    expect(Object.keys(dependencies).filter((name) => !names.includes(name))).toEqual([]);
    expect(names).not.toContain('jest');
    expect(components.filter(({ hashes }) => !hashes?.length)).toEqual([]);
  });

  test('with a tag other than the version is refused', async () => {
    await expect(makeRelease('v9.9.9', folder, undefined)).rejects.toThrow(/The tag is v9.9.9/);
  });
});
