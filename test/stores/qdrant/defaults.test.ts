import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { compareIndexes, compareSettings } from '../../../shared/stores/qdrant/compare.ts';
import { OwnServer } from './own-server.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  leftovers,
  legContext,
  openStore,
  restoreAll,
  result,
  seedEverything,
  seedPlain,
  wipe,
} from './support.ts';

/** A stock server, and one of the same version with other defaults for new collections. */
let stock: OwnServer;
let other: OwnServer;

const COLLECTION = 'QDRANT__STORAGE__COLLECTION__';

beforeAll(async () => {
  [stock, other] = await Promise.all([
    OwnServer.start(),
    OwnServer.start({
      [`${COLLECTION}VECTORS__ON_DISK`]: 'true',
      [`${COLLECTION}QUANTIZATION__SCALAR__TYPE`]: 'int8',
      [`${COLLECTION}STRICT_MODE__ENABLED`]: 'true',
      [`${COLLECTION}STRICT_MODE__MAX_QUERY_LIMIT`]: '20',
      [`${COLLECTION}STRICT_MODE__UPSERT_MAX_BATCHSIZE`]: '10',
      [`${COLLECTION}STRICT_MODE__MAX_POINTS_COUNT`]: '5',
      QDRANT__STORAGE__OPTIMIZERS__MAX_SEGMENT_SIZE_KB: '100000',
    }),
  ]);
});
afterEach(async () => {
  await closeStores();
  for (const server of [stock, other]) await wipe(server, '');
});
afterAll(async () => {
  for (const server of [stock, other]) await server.stop();
});

function settingsOf(server: OwnServer, name: string): Promise<{ config: Record<string, unknown> }> {
  return result(server, 'GET', `/collections/${name}`);
}

test('points saved on a stock server are restored on one with other defaults, which are reported', async () => {
  await seedPlain(stock, 'plain', 60);
  await seedEverything(stock, 'everything');
  const { archive, tallies } = await exportAll(openStore(stock, { method: 'points' }), legContext());
  const { problems, verified, warned } = await restoreAll(openStore(other, {}), archive);
  expect(problems).toEqual([]);
  expect(differencesOf(verified)).toEqual({ differences: 0, samples: [], tallies });
  expect(warned).toContainEqual(
    expect.objectContaining({
      code: 'settings-of-the-server',
      text: expect.stringContaining('"plain"'),
      samples: expect.arrayContaining(['quantization_config', 'params.vectors.on_disk']),
    }),
  );
  const { config } = await settingsOf(other, 'plain');
  // Limits that the source did not have would refuse the users' requests: they are disabled.
  expect(config.strict_mode_config).toMatchObject({ enabled: false });
  // And in the other direction: an archive from there states those settings, and a stock server adopts them.
  const { archive: back } = await exportAll(openStore(other, { method: 'points' }), legContext());
  await wipe(stock, '');
  expect(differencesOf((await restoreAll(openStore(stock, {}), back)).verified)).toMatchObject({
    samples: [],
  });
  expect((await settingsOf(stock, 'plain')).config.quantization_config).toEqual({ scalar: { type: 'int8' } });
});

test('a snapshot that a server with other defaults cannot load is refused before anything is written', async () => {
  await seedPlain(stock, 'plain', 20);
  const { archive } = await exportAll(openStore(stock, { method: 'snapshot' }), legContext());
  const { problems, jobId } = await restoreAll(openStore(other, {}), archive);
  expect(problems).toEqual([
    expect.stringMatching(/snapshot of collection "plain".*on_disk.*"method": "points"/),
  ]);
  expect(await result(other, 'GET', '/collections')).toEqual({ collections: [] });
  expect(await leftovers(other, jobId, [])).toEqual([]);
});

test('a collection from before the server had its defaults is saved as points, and restored', async () => {
  await seedPlain(stock, 'plain', 20);
  const { archive } = await exportAll(openStore(stock, { method: 'snapshot' }), legContext());
  expect(JSON.parse(archive.text('vectors/plain.config.json'))).toMatchObject({ method: 'snapshot' });
  await stock.kill();
  await stock.up({ [`${COLLECTION}VECTORS__ON_DISK`]: 'true' });
  try {
    const before = await contentOf(stock, 'plain');
    const saved = await exportAll(openStore(stock, {}), legContext());
    expect(JSON.parse(saved.archive.text('vectors/plain.config.json'))).toMatchObject({
      method: 'points',
      reason: expect.stringContaining('default'),
    });
    await expect(exportAll(openStore(stock, { method: 'snapshot' }), legContext())).rejects.toThrow(
      'on_disk',
    );
    await ask(stock, 'DELETE', '/collections/plain');
    const { verified } = await restoreAll(openStore(stock, {}), saved.archive);
    expect(differencesOf(verified)).toMatchObject({ samples: [] });
    expect((await contentOf(stock, 'plain')).replace(/,?\s*"on_disk": true/, '')).toBe(before);
  } finally {
    await stock.kill();
    await stock.up();
  }
});

test('settings that can only be changed on an existing collection are restored as well', async () => {
  await seedPlain(stock, 'plain', 5);
  await ask(stock, 'PATCH', '/collections/plain', { params: { read_fan_out_factor: 2 } });
  const store = openStore(stock, { method: 'points' });
  const { archive } = await exportAll(store, legContext());
  await ask(stock, 'DELETE', '/collections/plain');
  expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
  expect((await settingsOf(stock, 'plain')).config.params).toMatchObject({ read_fan_out_factor: 2 });
});

test('a setting of the server that differs from the archive is a difference', async () => {
  await seedPlain(stock, 'plain', 5);
  const store = openStore(stock, { method: 'points' });
  const { archive } = await exportAll(store, legContext());
  await restoreAll(store, archive);
  await ask(stock, 'PATCH', '/collections/plain', { hnsw_config: { m: 4 } });
  const { samples } = await store.verify({
    archive,
    options: { mode: 'replace', onConflict: 'overwrite' },
    cursor: null,
    context: legContext(),
  });
  expect(samples).toEqual([
    { thing: 'setting plain.hnsw_config.m', problem: 'has a different value than in the archive' },
  ]);
});

test('compares only settings that the archive states', () => {
  const compare = (left: object, right: object, otherVersion = false) =>
    compareSettings({ top: 1, ...left }, { top: 1, ...right }, { otherVersion });
  expect(compare({ a: null, b: {}, e: 5 }, { e: 5, a: 1, b: { c: 2 }, d: 3 })).toEqual({
    differences: [],
    adopted: ['a', 'b', 'd'],
  });
  expect(compare({ a: { b: 1 } }, { a: { b: 2 } }).differences).toHaveLength(1);
  expect(compare({ on_disk: true }, {}).differences).toHaveLength(1);
  // A newer server replaced it by another setting.
  expect(compare({ on_disk: true }, { memory: 'cold' }, true)).toEqual({
    differences: [],
    adopted: ['on_disk', 'memory'],
  });
  expect(
    compare({ strict_mode_config: null }, { strict_mode_config: { enabled: false, max_timeout: 3 } }),
  ).toEqual({ differences: [], adopted: [] });
  // Settings of the users have no default.
  expect(compare({ metadata: { a: null } }, {}, true).differences).toHaveLength(1);
  expect(compare({}, { metadata: { a: 1 } }).differences).toHaveLength(1);
  expect(
    compareIndexes(
      { a: 'keyword' },
      { a: { type: 'keyword', on_disk: true } },
      { exact: true, otherVersion: false },
    ),
  ).toEqual({
    differences: [],
    adopted: ['a.on_disk'],
  });
  expect(
    compareIndexes({ a: 'keyword' }, { b: 'integer' }, { exact: true, otherVersion: false }).differences,
  ).toHaveLength(2);
});
