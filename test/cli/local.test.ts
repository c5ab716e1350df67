import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { dataFolder } from '../../cli/data-folder.ts';
import { filterLocal, listLocal } from '../../cli/local-archives.ts';
import type { ManifestDraft } from '../../shared/archive/format/manifest.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import type { BackupFilters } from '../../shared/operations/list-backups.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { freshContext } from '../operations/context.ts';
import { makeArchive } from '../support/archive.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { environmentOf, run } from './run.ts';

const OLD = 'snapshot_2026-01-02T03-04-05Z';
const NEW = 'snapshot_2026-02-02T03-04-05Z_wiki';

/** An environment without access to AWS and to an API. */
const offline = {
  TZ: 'UTC',
  AWS_ENDPOINT_URL: 'http://127.0.0.1:1',
  AWS_ACCESS_KEY_ID: '',
  AWS_SECRET_ACCESS_KEY: '',
};
let home: string;
/** The default download folder. */
let folder: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'ngbak-local-'));
  folder = join(home, 'ngbak', 'backups');
  await mkdir(folder, { recursive: true });
});
afterEach(() => rm(home, { recursive: true }));

const ngbak = (args: string[], environment: NodeJS.ProcessEnv = offline) =>
  run(args, { ...environment, XDG_DATA_HOME: home });

async function put(name: string, manifest: Partial<ManifestDraft> & { backup_id: string }): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, (await makeArchive(manifest)).bytes);
  return path;
}

const putBoth = () =>
  Promise.all([
    put('old.ngbak', { backup_id: OLD, created_at: '2026-01-02T03:04:05.000Z', tags: ['weekly'] }),
    put('new.ngbak', {
      backup_id: NEW,
      created_at: '2026-02-02T03:04:05.000Z',
      scope: { type: 'partial', stores: ['kv'], target: 'wiki' },
    }),
  ]);

async function listed(...args: string[]) {
  const ran = await ngbak(['list', '--local', ...args, '--json']);
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  return ran
    .lines()
    .filter(({ type }) => type === 'local')
    .map(({ data }) => data);
}

test.each([
  ['linux', { XDG_DATA_HOME: '/data' }, '/data/ngbak'],
  ['linux', {}, join(homedir(), '.local/share/ngbak')],
  ['linux', { XDG_DATA_HOME: 'relative' }, join(homedir(), '.local/share/ngbak')],
  ['darwin', {}, join(homedir(), 'Library/Application Support/ngbak')],
  ['win32', { LOCALAPPDATA: '/local' }, '/local/ngbak'],
] as const)('the data folder on %s with %j is %s', (platform, environment, path) => {
  expect(dataFolder(environment, platform)).toBe(path);
});

describe('list --local', () => {
  test('shows archives by their manifests, newest first, without AWS', async () => {
    await putBoth();
    const ran = await ngbak(['list', '--local']);
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const rows = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(rows.map((row) => [row[0], row[1], row[3], row[4], row[6]])).toEqual([
      ['file', 'backup', 'target', 'type', 'state'],
      ['new.ngbak', NEW, 'wiki', 'kv', 'not verified'],
      // Its manifest names no target.
      ['old.ngbak', OLD, 'full', expect.stringMatching(/B$/), undefined],
    ]);
    expect(ran.stdout).toContain('2026-01-02 03:04:05');
  });

  test('shows a file as verified once all its bytes were verified, until it changes', async () => {
    const [path] = await putBoth();
    const states = async () => (await listed()).map((archive) => archive.verified_at !== undefined);
    expect(await states()).toEqual([false, false]);
    // By its name alone: it is searched for in the download folder.
    expect((await ngbak(['archive', 'verify', 'old.ngbak'])).code).toBe(0);
    expect(await states()).toEqual([false, true]);
    await utimes(path, new Date(), new Date(Date.now() + 5000));
    expect(await states()).toEqual([false, false]);
  });

  test('does not show a file that failed its verification as verified', async () => {
    const path = await put('damaged.ngbak', { backup_id: OLD });
    const bytes = await readFile(path);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(path, bytes);
    expect((await ngbak(['archive', 'verify', 'damaged.ngbak'])).code).toBe(7);
    expect(await listed()).toMatchObject([{ backup_id: OLD }]);
    expect((await listed())[0]?.verified_at).toBeUndefined();
  });

  test('names files whose manifest cannot be read, and why', async () => {
    const path = await put('good.ngbak', { backup_id: OLD });
    await writeFile(join(folder, 'text.ngbak'), 'not an archive');
    await symlink(join(folder, 'gone'), join(folder, 'broken.ngbak'));
    await put('cut.ngbak', { backup_id: NEW });
    await truncate(join(folder, 'cut.ngbak'), 300);
    const unpacked = await mkdtemp(join(home, 'unpacked-'));
    await promisify(execFile)('tar', ['-xzf', path, '-C', unpacked]);
    await promisify(execFile)('tar', ['-czf', join(folder, 'repacked.ngbak'), '-C', unpacked, '.']);
    await mkdir(join(folder, 'folder.ngbak'));
    await writeFile(join(folder, 'other.txt'), '');
    const ran = await ngbak(['list', '--local']);
    expect(ran.code).toBe(0);
    expect(ran.stdout.match(/UNREADABLE/g)).toHaveLength(4);
    expect(ran.stderr).toMatch(/text\.ngbak cannot be read: .*not an ngbak archive/);
    expect(ran.stderr).toMatch(/broken\.ngbak cannot be read/);
    expect(ran.stderr).toMatch(/cut\.ngbak cannot be read/);
    expect(ran.stderr).toMatch(/repacked\.ngbak cannot be read: .*no index.*ngbak archive repack/);
    expect(ran.stdout).not.toMatch(/other|folder/);
  });

  test('filters by what manifests state, and refuses filters that need the catalog', async () => {
    await putBoth();
    const archives = await listLocal(folder);
    const names = (filters: BackupFilters) =>
      filterLocal(archives, filters).map(({ file_name }) => file_name);
    expect(names({})).toEqual(['new.ngbak', 'old.ngbak']);
    expect(names({ target: 'wiki' })).toEqual(['new.ngbak']);
    expect(names({ type: 'full' })).toEqual(['old.ngbak']);
    expect(names({ store: 'graph' })).toEqual(['old.ngbak']);
    expect(names({ tag: 'weekly' })).toEqual(['old.ngbak']);
    expect(names({ since: '2026-01-15T01:00:00+01:00' })).toEqual(['new.ngbak']);
    expect(names({ until: '2026-01-15T00:00:00Z' })).toEqual(['old.ngbak']);
    expect((await listed('--limit', '1', '--since', '2026-01-01')).map(({ file_name }) => file_name)).toEqual(
      ['new.ngbak'],
    );
    const refused = await ngbak(['list', '--local', '--namespace', 'docs']);
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('--namespace cannot')]);
  });

  test('states where it searched if nothing was found, also if the folder does not exist', async () => {
    for (const where of [folder, join(home, 'none')]) {
      const ran = await ngbak(['list', '--local', where]);
      expect([ran.code, ran.stdout]).toEqual([0, `No archives in ${where}.\n`]);
    }
  });
});

test('a download goes to the data folder, and is shown as verified only if its archive is verified in the catalog', async () => {
  const context = await freshContext();
  const environment = environmentOf(context);
  const { bytes } = await makeArchive({ backup_id: OLD });
  const { archive } = catalogRecord({ backup_id: OLD });
  for (const [backup_id, state, created_at] of [
    [OLD, 'verified', '2026-01-02T03:04:05.000Z'],
    ['snapshot_damaged', 'damaged', '2026-01-03T03:04:05.000Z'],
  ] as const) {
    const { key } = catalogRecord({ backup_id }).archive;
    await catalogue(
      context.bucket,
      {
        backup_id,
        created_at,
        archive: { ...archive, key, bytes: bytes.length, crc32: crc32Base64(crc32(bytes)) },
        verification: { state, at: created_at },
      },
      bytes,
    );
    const ran = await ngbak(['download', backup_id], environment);
    expect([ran.code, ran.stdout]).toEqual([0, expect.stringContaining(join(folder, 'backup_202601'))]);
  }
  expect(
    (await listed()).map(({ file_name, verified_at }) => [file_name, verified_at !== undefined]),
  ).toEqual([
    ['backup_20260102_030405.ngbak', true],
    ['backup_20260103_030405.ngbak', false],
  ]);
});

describe('restore', () => {
  test.each([
    ['a backup ID', NEW],
    ['the name of a file', 'new.ngbak'],
    ['the name without its ending', 'new'],
  ])('by %s that the catalog does not have uses the archive in the download folder', async (_, name) => {
    await putBoth();
    const context = await freshContext();
    const args = ['restore', name, '--no-wait', '--json'];
    // A file is restored into the default target, like any file; a backup that is named, into its own.
    const ran = await ngbak(args, environmentOf(context));
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const started = ran.lines().find(({ type }) => type === 'started');
    expect(await readJob(context.bucket, String(started?.data.job_id))).toMatchObject({
      target: name === 'new.ngbak' ? 'default' : 'wiki',
      upload: { file_name: 'new.ngbak' },
    });
  });

  test('of a name that neither the catalog nor the folder has is refused with that reason', async () => {
    const environment = environmentOf(await freshContext());
    const ran = await ngbak(['restore', 'snapshot_none'], environment);
    expect([ran.code, ran.stderr]).toEqual([
      3,
      expect.stringMatching(
        /no backup "snapshot_none" in the catalog, and no archive of it in .*ngbak\/backups/,
      ),
    ]);
  });
});

test('doctor shows the download folder: archives, size and free space, or why it cannot be used', async () => {
  await putBoth();
  const finding = async (environment: NodeJS.ProcessEnv = {}) => {
    const ran = await ngbak(['doctor', '--json'], { ...offline, ...environment });
    const findings = ran.lines()[0]?.data.findings as { name: string; ok: boolean; message: string }[];
    return findings.find(({ name }) => name === 'download folder');
  };
  expect(await finding()).toMatchObject({
    ok: true,
    message: expect.stringMatching(/ngbak\/backups: 2 archives \(0 verified\), [\d.]+ kB; [\d.]+ .B free$/),
  });
  expect(await finding({ NGBAK_DOWNLOAD_FOLDER: join(home, 'a', 'b') })).toMatchObject({
    ok: true,
    message: expect.stringMatching(/a\/b: no archives; /),
  });
  await writeFile(join(home, 'file'), '');
  expect(await finding({ NGBAK_DOWNLOAD_FOLDER: join(home, 'file', 'b') })).toMatchObject({ ok: false });
});
