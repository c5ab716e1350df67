/**
 * Time from running servers to the first verified backup, for someone who has nothing but a clone:
 * `node local/bootstrap.mjs bench/first-backup.ts`. Starts real servers and fills them with the knowledge base of the demo;
 * then it runs, in a fresh clone of HEAD, what the README says, and measures each command: the installation of packages,
 * `ngbak doctor --write`, `ngbak deploy --bootstrap --connections` into the emulator, `ngbak backup --wait`.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../local/folders.ts';
import { interruptible } from '../local/interrupt.ts';
import { loadKnowledgeBase } from '../local/knowledge-base/load.ts';
import { startStack } from '../local/stack.ts';

await interruptible(async (signal) => {
  const stack = await startStack({
    signal,
    onProgress: ({ service, text }) => console.error(`${service}: ${text}`),
  });
  const folder = await mkdtemp(join(tmpdir(), 'first-backup-'));
  try {
    const { neo4j, qdrant, redis, aws } = stack;
    await loadKnowledgeBase({
      neo4j,
      qdrant: { url: qdrant.url, api_key: qdrant.apiKey },
      redis: { url: redis.url, password: redis.password },
      namespace: 'demo',
      scale: 1,
    });
    const environment = {
      ...process.env,
      ...aws.env,
      NEO4J_URI: neo4j.uri,
      NEO4J_USERNAME: neo4j.username,
      NEO4J_PASSWORD: neo4j.password,
      QDRANT_URL: qdrant.url,
      QDRANT_API_KEY: qdrant.apiKey,
      REDIS_URL: redis.url,
      REDIS_PASSWORD: redis.password,
      NGBAK_STACK: 'Ngbak',
    };
    const clone = join(folder, 'ngbak');
    const rows: [string, number][] = [];
    const run = async (what: string, command: string, args: readonly string[], cwd = clone) => {
      const began = Date.now();
      const child = spawn(command, args, { cwd, env: environment, stdio: ['ignore', 2, 2], signal });
      const code = await new Promise((done, fail) => child.once('error', fail).once('close', done));
      if (code !== 0) throw new Error(`${what} ended with exit code ${code}.`);
      rows.push([what, (Date.now() - began) / 1000]);
    };
    const ngbak = (...args: string[]) =>
      run(`\`ngbak ${args.join(' ')}\``, 'npm', ['run', '--silent', 'ngbak', '--', ...args]);
    await run('clone', 'git', ['clone', '--quiet', ROOT, clone], folder);
    await run('`npm install`', 'npm', ['install', '--no-audit', '--no-fund']);
    await ngbak('doctor', '--write', '--yes');
    await ngbak('deploy', '--bootstrap', '--connections', '--yes');
    await ngbak('backup', '--wait');
    await ngbak('status');
    console.log('| step | seconds |\n| --- | ---: |');
    for (const [what, seconds] of rows) console.log(`| ${what} | ${seconds.toFixed(1)} |`);
    console.log(`| **all** | **${rows.reduce((sum, [, seconds]) => sum + seconds, 0).toFixed(0)}** |`);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await stack.stop();
  }
});
