import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { refuseFilledStores } from '../../local/demo/empty.ts';
import { ROOT, stacksFolder } from '../../local/folders.ts';
import { connectRedis } from '../../local/knowledge-base/load.ts';
import { markedProcesses } from '../../local/processes.ts';
import { withoutAddresses } from '../local/without-addresses.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';

const { uri, username, password } = servers.neo4j;
const connections = {
  neo4j: { uri, username, password },
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};

describe('the demo', () => {
  it('refuses stores that hold anything, because it deletes their contents', async () => {
    const redis = connectRedis(connections.redis);
    const key = `somebodys-data-${randomBytes(4).toString('hex')}`;
    await redis.set(key, 'precious');
    try {
      await expect(refuseFilledStores(connections)).rejects.toThrow(
        /^The stores are not empty: .*\d+ keys in Redis/,
      );
      expect(await redis.get(key)).toBe('precious');
    } finally {
      await redis.del(key);
      redis.disconnect();
    }
  });

  it('leaves no process and no folder when it is interrupted', async () => {
    const temporary = await mkdtemp(join(tmpdir(), 'ngbak-test-'));
    const name = `interrupted-${randomBytes(4).toString('hex')}`;
    const folder = join(stacksFolder(), name);
    const demo = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(ROOT, 'local/demo/main.ts'), '--name', name],
      { env: { ...withoutAddresses(), TMPDIR: temporary }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let output = '';
    for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (output += String(chunk)));
    const exited = new Promise<number | null>((resolve) => demo.once('close', resolve));
    await until('the demo starts Qdrant, or has ended', () => output, {
      holds: (text) => text.includes('qdrant: starting') || demo.exitCode !== null,
    });
    expect(existsSync(folder)).toBe(true);
    demo.kill('SIGINT');
    expect({ code: await exited, said: output.trim().split('\n').at(-1) }).toEqual({
      code: 130,
      said: 'Interrupted.',
    });
    expect(existsSync(folder)).toBe(false);
    expect(await markedProcesses(folder)).toEqual([]);
    // Fails, as intended, if anything is left in it.
    await rmdir(temporary);
  });

  it('explains an invalid command line, and starts nothing', async () => {
    const demo = spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', join(ROOT, 'local/demo/main.ts'), '--scale', 'huge'],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let said = '';
    for (const stream of [demo.stdout, demo.stderr]) stream.on('data', (chunk) => (said += String(chunk)));
    const code = await new Promise<number | null>((resolve) => demo.once('close', resolve));
    expect({ code, said: said.trim() }).toEqual({
      code: 1,
      said: '--scale is "huge". Give a whole number from 1 to 50.',
    });
  });
});
