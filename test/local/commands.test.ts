import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from '@jest/globals';
import { z } from 'zod';
import { installFolder, ROOT, stacksFolder } from '../../local/folders.ts';
import { isAlive } from '../../local/processes.ts';
import { explicitAddress } from '../../local/services/explicit.ts';
import { startStack } from '../../local/stack.ts';
import { readState, StackState } from '../../local/state.ts';
import { until } from '../support/until.ts';
import { withoutAddresses } from './without-addresses.ts';

const environment = withoutAddresses();
const name = `commands-${randomBytes(4).toString('hex')}`;
const folder = join(stacksFolder(environment), name);
const Status = z.array(
  z.object({ state: StackState, services: z.array(z.object({ service: z.string(), health: z.string() })) }),
);

/** Runs a program with local/bootstrap.mjs, as the npm scripts do. */
async function bootstrap(args: readonly string[], env = environment) {
  const child = spawn(process.execPath, [join(ROOT, 'local/bootstrap.mjs'), ...args], { env });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: await code, stdout, stderr };
}
const local = (...args: string[]) => bootstrap(['local/commands.ts', ...args]);

afterEach(() => local('down', '--name', name));

describe('a stack of local:up', () => {
  test('stays up, prints its addresses and health, and is removed by local:down', async () => {
    const up = await local('up', '--name', name, '--only', 'redis,qdrant', '--json');
    expect(up).toMatchObject({ code: 0 });
    const state = StackState.parse(JSON.parse(up.stdout));
    expect(Object.keys(state.addresses)).toEqual(expect.arrayContaining(['redis', 'qdrant']));

    const status = await local('status', '--name', name, '--json');
    const [found] = Status.parse(JSON.parse(status.stdout));
    expect(found?.services).toEqual([
      expect.objectContaining({ service: 'qdrant', health: 'healthy' }),
      expect.objectContaining({ service: 'redis', health: 'healthy' }),
    ]);
    expect(status.code).toBe(0);

    expect(await local('down', '--name', name)).toMatchObject({ code: 0 });
    expect(Object.values(state.processes).filter(isAlive)).toEqual([]);
    expect(isAlive(state.supervisor)).toBe(false);
    expect(existsSync(folder)).toBe(false);
    expect(await local('status', '--name', name)).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('no local stack'),
    });
  });

  test('is reported as unhealthy, also by exit code, when a server has exited', async () => {
    const up = await local('up', '--name', name, '--only', 'redis,qdrant', '--json');
    process.kill(StackState.parse(JSON.parse(up.stdout)).processes.redis ?? 0, 'SIGKILL');
    const status = await local('status', '--name', name, '--json');
    expect(status.code).toBe(1);
    const [found] = Status.parse(JSON.parse(status.stdout));
    expect(found?.services.map(({ service, health }) => [service, health === 'healthy'])).toEqual([
      ['qdrant', true],
      ['redis', false],
    ]);
  });

  test('can be removed after its supervisor was killed', async () => {
    const up = await local('up', '--name', name, '--only', 'redis,qdrant', '--json');
    const state = StackState.parse(JSON.parse(up.stdout));
    process.kill(state.supervisor, 'SIGKILL');
    expect(await local('down', '--name', name)).toMatchObject({ code: 0 });
    const pids = Object.values(state.processes);
    // They were killed: the kernel takes some time.
    await until('the servers are gone', () => pids.filter(isAlive), { holds: (alive) => alive.length === 0 });
    expect(existsSync(folder)).toBe(false);
  });
});

test('local:down without a name does not stop the stacks of running programs', async () => {
  // In a folder with links to the installation, so that `down` cannot find the stacks of other programs.
  const own = { ...environment, NGBAK_LOCAL_DIR: await mkdtemp(join(tmpdir(), 'ngbak-down-')) };
  await symlink(installFolder(environment), installFolder(own));
  const stack = await startStack({ services: ['redis'], environment: own });
  try {
    expect((await bootstrap(['local/commands.ts', 'down'], own)).stdout).toContain('is not stopped');
    expect(existsSync(stack.folder)).toBe(true);
  } finally {
    await stack.stop();
    await rm(own.NGBAK_LOCAL_DIR, { recursive: true });
  }
});

test('local:up starts PostgreSQL on request, and prints the address as ngbak doctor reads it', async () => {
  const up = await local('up', '--name', name, '--only', 'redis,postgres');
  expect(up).toMatchObject({ code: 0 });
  const printed = Object.fromEntries(
    [...up.stdout.matchAll(/^export (\w+)='?(.*?)'?$/gm)].map(([, variable, value]) => [variable, value]),
  );
  const state = await readState(folder);
  expect(explicitAddress('postgres', printed)).toEqual(state?.addresses.postgres);
  const status = await local('status', '--name', name);
  expect(status).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/postgres +postgresql:\/\/127.* \d+ MB {2}healthy/),
  });
  expect(await local('up', '--name', name, '--only', 'aws', '--with', 'postgres')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--only and --with exclude each other'),
  });
});

test('an unknown option or service is refused with the usage', async () => {
  const { code, stderr } = await local('up', '--name', name, '--only', 'mysql');
  expect(code).toBe(1);
  expect(stderr).toMatch(/only\.0: .*"neo4j".*Usage: npm run local:up/s);
});

describe('programs that local/bootstrap.mjs starts', () => {
  async function run(source: string, ...args: string[]) {
    const temporary = await mkdtemp(join(tmpdir(), 'ngbak-bootstrap-'));
    try {
      await writeFile(join(temporary, 'program.ts'), source);
      return await bootstrap([join(temporary, 'program.ts'), ...args]);
    } finally {
      await rm(temporary, { recursive: true });
    }
  }

  test('are TypeScript, run on Node 24, get their arguments, and determine the exit code', async () => {
    const program =
      'const all: string[] = process.argv.slice(2); console.log(process.version, ...all); process.exitCode = 7;';
    const { code, stdout } = await run(program, 'a', '--b');
    expect(stdout).toMatch(/^v24\.\S+ a --b\n$/);
    expect(code).toBe(7);
  });

  test('that a signal ends make bootstrap exit as a shell would', async () => {
    expect(await run('process.kill(process.pid, "SIGTERM"); setInterval(() => {}, 1000);')).toMatchObject({
      code: 143,
    });
  });
});
