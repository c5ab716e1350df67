import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import {
  closeStores,
  connect,
  exportAll,
  freshPrefix,
  legContext,
  MemoryArchive,
  openStore,
  REPLACE,
  restoreAll,
  wipe,
} from './support.ts';

let redis: Redis;
let known: boolean;
const root = freshPrefix();
const open = () => openStore({ prefix: root, separator: ':' });

beforeAll(async () => {
  redis = connect();
  known = ((await redis.call('COMMAND', 'INFO', 'HPEXPIRE')) as unknown[])[0] !== null;
});
afterEach(async () => {
  await closeStores();
  await wipe(redis, root);
});
afterAll(async () => {
  await redis.quit();
});

test('fields of hashes keep their expiry, or the archive is refused where the server has none', async () => {
  const later = Date.now() + 3_600_000;
  if (known) {
    await redis.hset(`${root}h:1`, 'stays', '1', 'later', '2', 'soon', '3');
    await redis.call('HPEXPIREAT', `${root}h:1`, later, 'FIELDS', 1, 'later');
    await redis.call('HPEXPIREAT', `${root}h:1`, Date.now() + 800, 'FIELDS', 1, 'soon');
    const { archive, tallies } = await exportAll(open);
    expect(archive.text('kv/h.typed.jsonl')).toContain(`["later","2",${later}]`);
    const fresh = await restoreAll(open(), archive);
    expect(fresh.verified).toMatchObject({ differences: 0, tallies });
    await new Promise((resolve) => setTimeout(resolve, 900));
    await wipe(redis, root);
    const { verified } = await restoreAll(open(), archive);
    expect(verified.differences).toBe(0);
    expect(await redis.hgetall(`${root}h:1`)).toEqual({ stays: '1', later: '2' });
    expect(await redis.call('HPEXPIRETIME', `${root}h:1`, 'FIELDS', 2, 'stays', 'later')).toEqual([
      -1,
      later,
    ]);
    return;
  }
  const archive = new MemoryArchive();
  const line = {
    key: `${root}h:1`,
    type: 'hash',
    fields: [
      ['stays', '1'],
      ['later', '2', later],
    ],
  };
  archive.files.set('kv/h.typed.jsonl', Buffer.from(`${JSON.stringify(line)}\n`));
  expect((await open().admits(archive, REPLACE, legContext())).join()).toContain('fields of hashes expire');
  await expect(open().load(archive, REPLACE, null, legContext())).rejects.toThrow("can't do");
  expect(await redis.exists(`${root}h:1`)).toBe(0);
});
