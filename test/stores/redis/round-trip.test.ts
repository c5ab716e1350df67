import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { contentOf, plant } from './content.ts';
import {
  closeStores,
  connect,
  exportAll,
  freshPrefix,
  legContext,
  openStore,
  REPLACE,
  restoreAll,
  wipe,
} from './support.ts';

let redis: Redis;
const prefixes: string[] = [];
const prefix = () => {
  const fresh = freshPrefix();
  prefixes.push(fresh);
  return fresh;
};

beforeAll(() => {
  redis = connect();
});
afterEach(async () => {
  await closeStores();
  for (const used of prefixes.splice(0)) await wipe(redis, used);
});
afterAll(async () => {
  await redis.quit();
});

describe('a round trip through the archive', () => {
  test('restores every type, value, score, group and expiry exactly', async () => {
    const root = prefix();
    await plant(redis, root);
    const scope = { prefix: root, separator: ':' };
    const before = await contentOf(redis, root);
    const store = openStore(scope);
    const probe = await store.probe(legContext());
    const { archive, tallies } = await exportAll(() => openStore(scope));

    expect(Object.fromEntries(Object.entries(tallies).map(([name, { count }]) => [name, count]))).toEqual(
      probe.counts,
    );
    await wipe(redis, root);
    expect(await contentOf(redis, root)).toEqual({});
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
    const { loaded, verified } = await restoreAll(store, archive);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    expect(loaded).toEqual(tallies);
    expect(verified.tallies).toEqual(tallies);
    expect(await contentOf(redis, root)).toEqual(before);
    expect((await store.probe(legContext())).fence).toEqual(probe.fence);
  });

  test('keeps JSON values readable, under their keys, byte for byte', async () => {
    const root = prefix();
    await plant(redis, root);
    const { archive } = await exportAll(() => openStore({ prefix: root, separator: ':' }));
    const docs = archive.text('kv/full_docs.json');
    expect(JSON.parse(docs)).toEqual({
      [`${root}full_docs:doc-1`]: { content: 'Ein Text – mit  Abständen', n: 1, big: 2 ** 64 },
      [`${root}full_docs:doc "2"\\\n`]: [1, 2, 3],
    });
    expect(docs).toContain(
      '{"content": "Ein Text – mit  Abständen",  "n": 1.0, "big": 18446744073709551616}',
    );
    expect(Object.keys(JSON.parse(archive.text('kv/_other.json')))).toEqual([`${root}without namespace`]);
  });
});
