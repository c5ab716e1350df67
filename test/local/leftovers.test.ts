import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ROOT } from '../../local/folders.ts';
import { ended } from '../../local/processes.ts';
import { withTemporaryFolder } from '../../local/temporary.ts';
import { withoutAddresses } from './without-addresses.ts';

let folder = '';
let started: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-left-'));
  for (const name of ['tmp', 'home']) await mkdir(join(folder, name));
});
afterEach(async () => {
  for (const child of started) child.kill('SIGKILL');
  started = [];
  await rm(folder, { recursive: true, force: true });
});

/** Starts test/run.ts with tests that need no server, with an empty temporary directory and HOME. */
function startRun(...args: string[]) {
  const environment = { ...withoutAddresses(), TMPDIR: join(folder, 'tmp'), HOME: join(folder, 'home') };
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(ROOT, 'test/run.ts'), ...args],
    { cwd: ROOT, env: environment, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  started.push(child);
  return child;
}

/** The contents of the temporary directory and of HOME, and the leftovers of this process in the folder of runs. */
async function leftBy(child: ChildProcess): Promise<string[]> {
  const runs = await readdir(join(ROOT, '.local/tmp')).catch(() => []);
  return [
    ...(await readdir(join(folder, 'tmp'))),
    ...(await readdir(join(folder, 'home'))),
    ...runs.filter((name) => name.includes(`-${child.pid}-`)),
  ];
}

describe('a test run leaves nothing in the temporary directory and in HOME', () => {
  test('when it succeeds', async () => {
    const child = startRun('test/core/digest.test.ts');
    child.stderr.resume();
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) lines.push(line);
    expect(lines.at(-1)).toMatch(/^\d+ passed, 0 failed$/);
    expect(await leftBy(child)).toEqual([]);
  });

  test('when it fails', async () => {
    const child = startRun('test/no-such.test.ts');
    for (const stream of [child.stdout, child.stderr]) stream.resume();
    expect(await ended(child)).toBe('code 1');
    expect(await leftBy(child)).toEqual([]);
  });

  test('when it is interrupted', async () => {
    const child = startRun('test/archive/repacked.test.ts');
    child.stderr.resume();
    const exited = ended(child);
    for await (const line of createInterface({ input: child.stdout })) {
      if (line.includes('running 1 test file')) break;
    }
    child.kill('SIGINT');
    expect(await exited).toBe('code 130');
    expect(await leftBy(child)).toEqual([]);
  });
});

test('the folder of a run that was killed is removed by the next run', async () => {
  const environment: NodeJS.ProcessEnv = { NGBAK_LOCAL_DIR: folder };
  const tmp = join(folder, 'tmp');
  // A process that has ended.
  const child = spawn('true');
  await ended(child);
  await mkdir(join(tmp, `ngbak-run-${child.pid}-abc`));
  await mkdir(join(tmp, `ngbak-run-${process.pid}-other`));
  await mkdir(join(tmp, 'not-ours'));
  await withTemporaryFolder(async () => {
    expect(environment.TMPDIR).toMatch(new RegExp(`ngbak-run-${process.pid}-`));
  }, environment);
  expect(environment).toEqual({ NGBAK_LOCAL_DIR: folder });
  // The path is too long for sockets: then it is in the system's temporary directory.
  const base = Buffer.byteLength(tmp) > 60 ? tmpdir() : tmp;
  if (base === tmp)
    expect((await readdir(tmp)).sort()).toEqual([`ngbak-run-${process.pid}-other`, 'not-ours'].sort());
});
