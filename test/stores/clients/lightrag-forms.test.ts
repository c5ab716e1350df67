import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { type OpenedArchive, openArchive } from '../../../shared/archive/read/open.ts';
import { bufferSource } from '../../../shared/archive/read/sources.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { findAdapter } from '../../../shared/stores/registry.ts';
import { run } from '../../cli/run.ts';
import { restoreAll } from '../memory-archive.ts';
import { OwnServer } from '../redis/own-server.ts';
import { archiveOf } from './lightrag-archive.ts';
import { type PythonClient, pythonClient } from './python-client.ts';

type Form = 'redis' | 'files';

let client: PythonClient;
let server: OwnServer;
let redis: Redis;
let folder: string;

beforeAll(async () => {
  client = await pythonClient('lightrag_client.py');
  server = await OwnServer.start();
  redis = new Redis(server.url, { protocol: 2 });
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-lightrag-forms-'));
  await redis.flushall();
});
afterEach(() => rm(folder, { recursive: true }));
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const lightrag = (action: 'write' | 'read', kind: Form, workspace: string) =>
  client([action, kind, workspace, join(folder, 'data')], { REDIS_URI: `${server.url}/0` });

/** What LightRAG's classes for keys and statuses read; those for vectors and the graph are left out. */
async function read(kind: Form, workspace: string): Promise<Record<string, unknown>> {
  const all = Object.entries(JSON.parse(await lightrag('read', kind, workspace)));
  return Object.fromEntries(
    all.filter(
      ([name]) => !/vectors|nearest|nodes|edges|labels|degrees|^(entities|relationships|chunks)$/.test(name),
    ),
  );
}

/** Every key with its value, read without ngbak. */
async function keys(pattern: string): Promise<Record<string, string>> {
  const content: Record<string, string> = {};
  for (const key of (await redis.keys(pattern)).sort()) {
    const type = await redis.type(key);
    if (type === 'string') content[key] = (await redis.get(key)) ?? '';
    else if (type === 'set') content[key] = (await redis.smembers(key)).sort().join();
    else content[key] = (await redis.zrange(key, 0, '-1', 'WITHSCORES')).join();
  }
  return content;
}

function opener(kind: Form, scope: unknown) {
  const adapter = findAdapter(kind, 'kv');
  const connection = kind === 'redis' ? { url: server.url } : { location: join(folder, 'data') };
  return () =>
    adapter.create(adapter.Connection.parse(connection), adapter.Scope.parse(scope), { target: 'test' });
}

/** Backs up a workspace into a file, with the manifest of a backup. */
async function backUp(kind: Form, workspace: string, file: string): Promise<void> {
  const bytes = await archiveOf(kind, workspace, (scope) => opener(kind, scope));
  await writeFile(join(folder, file), bytes);
}

async function convert(from: string, as: Form, to: string, ...more: string[]): Promise<OpenedArchive> {
  const args = [join(folder, from), '--as', as, '-o', join(folder, to), ...more];
  expect(await run(['archive', 'convert', ...args], {})).toMatchObject({ code: 0 });
  return openArchive(bufferSource(to, await readFile(join(folder, to))));
}

/** Restores as a job does: within the subset of the archive, into the scope of the target. */
async function restore(archive: OpenedArchive, kind: Form, workspace: string): Promise<void> {
  const adapter = findAdapter(kind, 'kv');
  const { scope } = archive.manifest;
  const target = adapter.Scope.parse(profileScopes('lightrag', { workspace }, kind).kv);
  const route = await adapter.route(archive, adapter.Scope.parse(scope.scopes?.kv), target, {
    only: scope.only ?? {},
    rename: {},
    sameProfile: true,
    origin: undefined,
  });
  const { differences, samples } = await restoreAll(opener(kind, route.scope), adapter.view(archive, route));
  expect({ differences, samples }).toEqual({ differences: 0, samples: [] });
}

test.each(['alpha', ''])(
  'LightRAG reads the same after its workspace "%s" was moved from Redis to files and back; what else is there stays',
  async (workspace) => {
    for (const name of [workspace, 'other']) await lightrag('write', 'redis', name);
    const before = await read('redis', workspace);
    expect(before.full_docs).toHaveLength(25);
    expect(before['status processed']).toHaveLength(5);
    const content = await keys('*');
    await backUp('redis', workspace, 'keys.ngbak');

    const own = join(folder, 'data', workspace);
    await mkdir(own, { recursive: true });
    await writeFile(join(own, 'vdb_mine.json'), 'vectors');
    await writeFile(join(own, 'kv_store_full_docs.json'), '{"old": {}}');
    await restore(await convert('keys.ngbak', 'files', 'as-files.ngbak'), 'files', workspace);
    expect(await read('files', workspace)).toEqual(before);
    expect(await readFile(join(own, 'vdb_mine.json'), 'utf8')).toBe('vectors');
    expect((await readdir(own)).filter((name) => name.startsWith('kv_store_'))).toHaveLength(8);

    await backUp('files', workspace, 'files.ngbak');
    const prefix = workspace === '' ? '' : `${workspace}_`;
    for (const key of await redis.keys(`${prefix}*`)) if (!key.startsWith('other_')) await redis.del(key);
    await redis.set(`${prefix}full_docs:new`, '{}');
    const archive = await convert('files.ngbak', 'redis', 'as-keys.ngbak', '--drop', 'other-files');
    await restore(archive, 'redis', workspace);
    // LightRAG builds its scheduling index when it starts.
    expect(await read('redis', workspace)).toEqual(before);
    expect(await keys('*')).toEqual(content);
  },
);

test('LightRAG reads files that it wrote itself from Redis, under the name of another workspace', async () => {
  await lightrag('write', 'files', 'alpha');
  const before = await read('files', 'alpha');
  await backUp('files', 'alpha', 'files.ngbak');
  const archive = await convert('files.ngbak', 'redis', 'as-keys.ngbak', '--drop', 'other-files');
  await restore(archive, 'redis', 'beta');
  const found = JSON.parse(
    await client(['read', 'redis', 'alpha', join(folder, 'data')], {
      REDIS_URI: `${server.url}/0`,
      REDIS_WORKSPACE: 'beta',
    }),
  );
  expect(found).toEqual(before);
});
