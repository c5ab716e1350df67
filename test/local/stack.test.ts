import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import pg from 'pg';
import { MissingPrerequisiteError } from '../../local/errors.ts';
import { stacksFolder } from '../../local/folders.ts';
import { isAlive, markedProcesses } from '../../local/processes.ts';
import { clientOptions } from '../../local/services/postgres.ts';
import { startStack } from '../../local/stack.ts';
import { readState } from '../../local/state.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { withoutAddresses } from './without-addresses.ts';

const environment = withoutAddresses();
const redisOf = ({ redis }: { redis: { url: string; password: string } }) =>
  new Redis(redis.url, { password: redis.password });

/** The live processes of a stack. Redis hides its environment, so the recorded IDs are checked as well. */
async function processesOf(folder: string): Promise<number[]> {
  const recorded = Object.values((await readState(folder))?.processes ?? {});
  return [...new Set([...recorded, ...(await markedProcesses(folder))])].filter(isAlive);
}

async function expectNothingLeft(folder: string, pids: readonly number[]): Promise<void> {
  await until('the folder and the processes are gone', () => !existsSync(folder) && !pids.some(isAlive));
  expect(pids.filter(isAlive)).toEqual([]);
  expect(await markedProcesses(folder)).toEqual([]);
  expect(existsSync(folder)).toBe(false);
}

/** Starts test/local/holder.ts and waits for its stack. */
async function holder(): Promise<{ child: ChildProcess; folder: string; pids: number[] }> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'holder.ts')],
    {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  started.push(child);
  const [folder] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const state = await readState(folder);
  return { child, folder, pids: [...(await processesOf(folder)), state?.supervisor ?? 0] };
}
const started: ChildProcess[] = [];
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
});

describe('two local stacks at the same time', () => {
  test('have separate ports, passwords, data and folders, and each ends alone', async () => {
    const [one, two] = await Promise.all([
      startStack({ services: ['redis', 'qdrant'], environment }),
      startStack({ services: ['redis', 'qdrant'], environment }),
    ]);
    const clients = [redisOf(one), redisOf(two)];
    try {
      expect(one.folder).not.toBe(two.folder);
      expect(one.redis.url).not.toBe(two.redis.url);
      expect(one.redis.password).not.toBe(two.redis.password);
      await clients[0]?.set('mine', 'one');
      expect(await clients[1]?.get('mine')).toBeNull();
      const unauthenticated = await fetch(`${one.qdrant.url}/collections`, {
        headers: { 'api-key': two.qdrant.apiKey },
      });
      expect(unauthenticated.ok).toBe(false);

      const pids = await processesOf(one.folder);
      expect(pids.length).toBe(2);
      clients[0]?.disconnect();
      await one.stop();
      await expectNothingLeft(one.folder, pids);
      expect(await clients[1]?.ping()).toBe('PONG');
    } finally {
      for (const client of clients) client.disconnect();
      await Promise.all([one.stop(), two.stop()]);
    }
    await expectNothingLeft(two.folder, []);
  });

  test('cannot have the same name: the second one is refused, and the first one keeps running', async () => {
    const stack = await startStack({ name: 'taken', services: ['redis'], environment });
    const redis = redisOf(stack);
    try {
      await expect(startStack({ name: 'taken', services: ['redis'], environment })).rejects.toThrow(
        /"taken" already/,
      );
      expect(await redis.ping()).toBe('PONG');
    } finally {
      redis.disconnect();
      await stack.stop();
    }
  });
});

describe('a stack with PostgreSQL', () => {
  /** The number of segments of shared memory that a process created and that still exist. */
  const segmentsOf = async (pid: number) =>
    (await readFile('/proc/sysvipc/shm', 'utf8'))
      .split('\n')
      .slice(1)
      .filter((line) => line.trim().split(/\s+/)[4] === String(pid)).length;

  test('has pgvector, asks for the password, and leaves no process, no file and no shared memory', async () => {
    const stack = await startStack({ services: ['postgres'], environment });
    const options = clientOptions(stack.postgres);
    try {
      const client = new pg.Client(options);
      await client.connect();
      await client.query('CREATE EXTENSION vector');
      const { rows } = await client.query("SELECT '[3,4]'::vector <-> '[0,0]' AS distance");
      expect(rows).toEqual([{ distance: 5 }]);
      await client.end();
      const intruder = new pg.Client({ ...options, password: 'guessed' });
      await expect(intruder.connect()).rejects.toThrow(/password/);

      const server = (await readState(stack.folder))?.processes.postgres ?? 0;
      expect(await segmentsOf(server)).toBe(1);
      const pids = await processesOf(stack.folder);
      expect(pids).toContain(server);
      await stack.stop();
      await expectNothingLeft(stack.folder, pids);
      expect(await segmentsOf(server)).toBe(0);
    } finally {
      await stack.stop();
    }
  });

  test('ends with its supervisor, even if that is killed, and leaves no shared memory', async () => {
    const stack = await startStack({ services: ['postgres'], environment });
    const state = await readState(stack.folder);
    const server = state?.processes.postgres ?? 0;
    process.kill(state?.supervisor ?? 0, 'SIGKILL');
    await (await startStack({ services: ['redis'], environment })).stop();
    await expectNothingLeft(stack.folder, [server]);
    if (process.getuid?.() === 0) expect(await segmentsOf(server)).toBe(0);
  });
});

describe('a program with a local stack leaves no process and no file', () => {
  test('when Ctrl-C ends it', async () => {
    const { child, folder, pids } = await holder();
    expect(pids.length).toBeGreaterThanOrEqual(4);
    expect(existsSync(folder)).toBe(true);
    child.kill('SIGINT');
    await once(child, 'exit');
    // It has waited for the end of its stack: nothing is left at this point, not only later.
    expect(pids.filter(isAlive)).toEqual([]);
    await expectNothingLeft(folder, pids);
  });

  test('when it is killed without a chance to clean up', async () => {
    const { child, folder, pids } = await holder();
    child.kill('SIGKILL');
    await expectNothingLeft(folder, pids);
  });

  test('when even the supervisor is killed: its servers exit at once, and the next stack removes the rest', async () => {
    const { folder, pids } = await holder();
    const supervisor = pids.at(-1) ?? 0;
    process.kill(supervisor, 'SIGKILL');
    await (await startStack({ services: ['redis'], environment })).stop();
    await expectNothingLeft(folder, pids);
  });

  test('when it is abandoned while the stack is starting', async () => {
    const controller = new AbortController();
    const starting = startStack({
      name: 'given-up',
      services: ['aws'],
      environment,
      signal: controller.signal,
      onProgress: ({ text }) => text === 'starting' && controller.abort(new Error('changed my mind')),
    });
    await expect(starting).rejects.toThrow('changed my mind');
    await expectNothingLeft(join(stacksFolder(environment), 'given-up'), []);
  });
});

describe('a machine that lacks something', () => {
  test('gets one line for each missing program, with what to install', async () => {
    const bare = { ...environment, PATH: '/nowhere', NGBAK_LOCAL_DOCKER: '0' };
    const error = await startStack({ name: 'bare', services: ['neo4j', 'aws'], environment: bare }).catch(
      (e) => e,
    );
    expect(error).toBeInstanceOf(MissingPrerequisiteError);
    expect((error as Error).message.split('\n')).toEqual([
      expect.stringMatching(/^Java 17 or later is missing: apt install /),
      expect.stringMatching(/^Maven is missing: apt install /),
      expect.stringMatching(/^Python 3\.10 or later is missing: apt install /),
    ]);
    await expectNothingLeft(join(stacksFolder(environment), 'bare'), []);
  });
});

describe('a server that runs already', () => {
  test('is used if the environment names it, and is not stopped', async () => {
    const { url, password } = servers.redis;
    const own = { ...environment, REDIS_URL: url, REDIS_PASSWORD: password };
    const stack = await startStack({ services: ['redis'], environment: own });
    expect(stack.redis).toEqual({ url, password });
    await stack.stop();
    const redis = redisOf({ redis: servers.redis });
    expect(await redis.ping()).toBe('PONG');
    redis.disconnect();
  });

  test('is reported by name when it exits by itself', async () => {
    const { promise: stopped, resolve } = Promise.withResolvers<string>();
    const stack = await startStack({
      services: ['redis'],
      environment,
      onProgress: ({ service, text }) => text.startsWith('ended') && resolve(`${service} ${text}`),
    });
    try {
      process.kill((await readState(stack.folder))?.processes.redis ?? 0, 'SIGTERM');
      expect(await stopped).toBe('redis ended by itself (code 0)');
    } finally {
      await stack.stop();
    }
  });
});
