import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { buildCli } from '../../cli/build.ts';
import { VERSION } from '../../shared/core/version.ts';
import { freshContext } from '../operations/context.ts';
import { idAt } from '../support/backup-id.ts';
import { catalogue } from '../support/catalog.ts';
import { environmentOf } from './run.ts';

const run = promisify(execFile);
const FIRST = idAt(new Date(Date.UTC(2026, 0, 1, 3)));

let folder: string;
/** The environment of a user who installed the package: the command on the PATH, and no checkout. */
let environment: NodeJS.ProcessEnv;
const ngbak = (...args: string[]) => run('ngbak', args, { env: environment, cwd: folder });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-package-'));
  const built = join(folder, 'built');
  await buildCli(built);
  await run('npm', ['pack', '--silent', built], { cwd: folder });
  const prefix = join(folder, 'prefix');
  const tarball = join(folder, `ngbak-${VERSION}.tgz`);
  // Offline: the package does not depend on another one.
  await run('npm', ['install', '--silent', '--offline', '--global', '--prefix', prefix, tarball], {
    cwd: folder,
  });
  const context = await freshContext();
  await catalogue(context.bucket, { backup_id: FIRST, created_at: '2026-01-01T03:00:00.000Z' });
  const path = [join(prefix, 'bin'), dirname(process.execPath), process.env.PATH ?? ''].join(delimiter);
  environment = { ...process.env, ...environmentOf(context), XDG_CONFIG_HOME: folder, PATH: path };
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the command line as an npm package', () => {
  test('runs without anything else installed', async () => {
    expect((await ngbak('--version')).stdout).toBe(`${VERSION}\n`);
    const { stdout } = await ngbak('list', '--json');
    expect(JSON.parse(stdout.split('\n')[0] ?? '')).toMatchObject({
      type: 'backup',
      data: { backup_id: FIRST },
    });
  });

  test('states which commands need a checkout', async () => {
    await expect(ngbak('deploy')).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('Run it in a checkout'),
    });
  });

  test('exits silently when its output pipe is closed', async () => {
    const line = 'set -o pipefail; ngbak --help | true; echo $?';
    const { stdout, stderr } = await run('bash', ['-c', line], { env: environment });
    expect({ stdout, stderr }).toEqual({ stdout: '141\n', stderr: '' });
  });
});
