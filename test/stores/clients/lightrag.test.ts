import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { OwnServer } from '../redis/own-server.ts';
import { closeStores, exportAll, legContext, openStore, REPLACE, restoreAll } from '../redis/support.ts';

const run = promisify(execFile);
/**
 * A Python that has `lightrag-hku==1.5.7` and `redis` (340 MB, which is why `npm test` does not fetch them):
 * `python3 -m venv V && V/bin/pip install lightrag-hku==1.5.7 redis`, then `NGBAK_TEST_LIGHTRAG_PYTHON=V/bin/python`.
 */
const python = process.env.NGBAK_TEST_LIGHTRAG_PYTHON;
const client = join(import.meta.dirname, 'lightrag_client.py');

(python ? describe : describe.skip)("LightRAG's own storage classes", () => {
  let server: OwnServer;
  let redis: Redis;
  let folder: string;

  /** What the client reads, as it prints it. */
  async function lightrag(
    action: 'write' | 'read',
    kind: 'redis' | 'files',
    workspace: string,
  ): Promise<string> {
    const { stdout } = await run(python ?? '', [client, action, kind, workspace, folder], {
      env: { ...process.env, REDIS_URI: `${server.url}/0`, PYTHONWARNINGS: 'ignore' },
      maxBuffer: 16 * 1024 ** 2,
    });
    return stdout.trim().split('\n').at(-1) ?? '';
  }

  beforeAll(async () => {
    server = await OwnServer.start();
    redis = new Redis(server.url, { protocol: 2 });
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ngbak-lightrag-'));
    await redis.flushall();
  });
  afterEach(async () => {
    await closeStores();
    await rm(folder, { recursive: true });
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  /** Every key that a workspace has not, with its value as the server dumps it. */
  async function others(workspace: string): Promise<Record<string, string>> {
    const content: Record<string, string> = {};
    for (const key of (await redis.keys('*')).sort()) {
      const own =
        workspace === ''
          ? /^(full_|text_|llm_|entity_|relation_|doc_status)/.test(key)
          : isKeyOf(workspace, key);
      if (!own) content[key] = (await redis.dumpBuffer(key)).toString('hex');
    }
    return content;
  }

  test.each(['alpha', 'alpha_beta', ''])(
    'read from Redis after a restore what they wrote before it; workspace "%s", the others untouched',
    async (workspace) => {
      for (const name of ['alpha', 'alpha_beta', '']) await lightrag('write', 'redis', name);
      const before = await lightrag('read', 'redis', workspace);
      expect(JSON.parse(before).full_docs).toHaveLength(25);
      expect(JSON.parse(before)['status processed']).toHaveLength(5);
      const scope = profileScopes('lightrag', { workspace }).kv ?? {};
      const open = () => openStore(scope, undefined, server.url);
      const neighbours = await others(workspace);
      expect(Object.keys(neighbours).length).toBeGreaterThan(300);

      const { archive, tallies } = await exportAll(open);
      expect(tallies['keys:full_docs']?.count).toBe(25);
      expect(Object.keys(JSON.parse(archive.text('kv/full_docs.json')))).toHaveLength(25);
      const store = open();
      await store.clear(archive, REPLACE, null, legContext());
      expect(JSON.parse(await lightrag('read', 'redis', workspace)).full_docs[0]).toBeNull();
      await redis.set(`${workspace === '' ? '' : `${workspace}_`}full_docs:new`, '{}');
      const { verified } = await restoreAll(store, archive);
      expect(verified).toMatchObject({ differences: 0, samples: [], tallies });
      expect(await lightrag('read', 'redis', workspace)).toBe(before);
      expect(await others(workspace)).toEqual(neighbours);
    },
  );

  test('read from files after a restore what they wrote before it: keys, statuses, vectors, graph', async () => {
    await lightrag('write', 'files', 'alpha');
    const before = await lightrag('read', 'files', 'alpha');
    expect(JSON.parse(before).nodes).toHaveLength(20);
    expect(JSON.parse(before).vectors).toHaveLength(5);
    const scope = filesAdapter.Scope.parse(profileScopes('lightrag', { workspace: 'alpha' }, 'files').kv);
    const open = () => filesAdapter.create({ location: folder }, scope, { target: 'test' });
    const { archive, tallies } = await exportAll(open);
    expect(tallies['keys:full_docs']?.count).toBe(25);
    for (const name of await readdir(join(folder, 'alpha'))) await rm(join(folder, 'alpha', name));
    await lightrag('write', 'files', 'other');
    const other = await readFile(join(folder, 'other', 'kv_store_full_docs.json'));
    const { verified } = await restoreAll(open(), archive);
    expect(verified.differences).toBe(0);
    expect(await lightrag('read', 'files', 'alpha')).toBe(before);
    expect(await readFile(join(folder, 'other', 'kv_store_full_docs.json'))).toEqual(other);
  });
});

/** Whether a key belongs to the workspace by the rules of LightRAG's sources, spelled out once more. */
function isKeyOf(workspace: string, key: string): boolean {
  const names =
    'full_docs|text_chunks|llm_response_cache|full_entities|full_relations|entity_chunks|relation_chunks|doc_status';
  return new RegExp(`^${workspace}_(${names})(:|__sched:)`).test(key);
}
