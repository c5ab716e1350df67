import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { requestLimits } from '../../../shared/stores/qdrant/limits.ts';
import { derivedId } from '../../../shared/stores/qdrant/view.ts';
import { OwnServer } from './own-server.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  freshName,
  legContext,
  openStore,
  restoreAll,
  result,
  wipe,
} from './support.ts';

let server: OwnServer;

beforeAll(async () => {
  server = await OwnServer.start();
});
afterEach(async () => {
  await closeStores();
  await wipe(server, '');
});
afterAll(() => server.stop());

const LIMITS = {
  enabled: true,
  max_query_limit: 100,
  unindexed_filtering_retrieve: false,
  unindexed_filtering_update: false,
  upsert_max_batchsize: 50,
  condition_max_size: 20,
  search_allow_exact: false,
  filter_max_conditions: 2,
};

/** A collection that tenants share, with `count` points each; strict mode is set last. */
async function seedShared(name: string, count: number, strict: object, indexed = true): Promise<void> {
  await ask(server, 'PUT', `/collections/${name}`, { vectors: { size: 4, distance: 'Dot' } });
  if (indexed) {
    await ask(server, 'PUT', `/collections/${name}/index?wait=true`, {
      field_name: 'workspace_id',
      field_schema: { type: 'keyword', is_tenant: true },
    });
  }
  const points = ['a', 'b'].flatMap((tenant, at) =>
    Array.from({ length: count }, (_, n) => ({
      id: at * 100_000 + n,
      vector: [n, 1, 2, 3],
      payload: { workspace_id: tenant, n },
    })),
  );
  await ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
  await ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: strict });
}

/** Disables strict mode, to read everything or to make forbidden changes. */
function relax(name: string): Promise<string> {
  return ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: { enabled: false } });
}

const tenant = (name: string) => ({
  collections: [name],
  filter: { key: 'workspace_id', value: 'a' },
});

test.each([
  ['replace', undefined],
  ['merge', 'keep'],
  ['merge', 'overwrite'],
  ['merge', 'fail'],
] as const)(
  'every request of a %s (%s) keeps to the limits of a shared collection',
  async (mode, onConflict = 'overwrite') => {
    const name = freshName('strict').replaceAll(/[ .]/g, '-');
    await seedShared(name, 130, LIMITS);
    const store = openStore(server, tenant(name));
    const { archive, tallies } = await exportAll(store, legContext());
    expect(tallies[`points:${name}`]?.count).toBe(130);
    await relax(name);
    const before = await contentOf(server, name);
    // Everything is lost, or a part that a merge restores.
    const missing = mode === 'replace' ? [3] : [5, 6, 7];
    await ask(server, 'POST', `/collections/${name}/points/delete?wait=true`, { points: missing });
    await ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: LIMITS });

    const { problems, verified } = await restoreAll(store, archive, { mode, onConflict });
    expect(problems).toEqual([]);
    expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
    await relax(name);
    expect(await contentOf(server, name)).toBe(before);
  },
);

test('points that get other ids are looked up within the limits as well', async () => {
  const name = freshName('moved').replaceAll(/[ .]/g, '-');
  await seedShared(name, 1, LIMITS);
  await ask(server, 'POST', `/collections/${name}/points/delete?wait=true`, { points: [0, 100_000] });
  const points = Array.from({ length: 30 }, (_, n) => ({
    id: JSON.parse(derivedId('a', `t${n}`)) as string,
    vector: [1, 2, 3, n],
    payload: { workspace_id: 'a', id: `t${n}` },
  }));
  await ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
  const scope = (value: string) => ({
    collections: [name],
    filter: { key: 'workspace_id', value },
    point_ids: { scheme: 'sha256-uuid4', field: 'id' },
  });
  const { archive } = await exportAll(openStore(server, scope('a')), legContext());
  const [saved, target] = ['a', 'c'].map((value) => qdrantAdapter.Scope.parse(scope(value)));
  if (!saved || !target) throw new Error('no scopes');
  await ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: { max_query_limit: 7 } });
  const request = { only: {}, rename: {}, sameProfile: true };
  const route = await qdrantAdapter.route(archive, saved, target, request);
  const { verified } = await restoreAll(openStore(server, scope('c')), qdrantAdapter.view(archive, route));
  expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
  expect(Object.values(differencesOf(verified).tallies)[0]?.count).toBe(30);
});

test.each([
  ['max_points_count', { max_points_count: 20 }],
  ['max_collection_vector_size_bytes', { max_collection_vector_size_bytes: 200 }],
  ['filter_max_conditions', { filter_max_conditions: 1 }],
])('refuses before anything is written what %s does not allow', async (limit, strict) => {
  const name = freshName('limit').replaceAll(/[ .]/g, '-');
  await seedShared(name, 12, { enabled: false });
  const store = openStore(server, tenant(name));
  const { archive } = await exportAll(store, legContext());
  await ask(server, 'POST', `/collections/${name}/points/delete?wait=true`, { points: [1, 2, 3, 4, 5] });
  await ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: { enabled: true, ...strict } });
  const { problems } = await restoreAll(store, archive);
  expect(problems).toEqual([expect.stringContaining(limit)]);
  const { count } = await result<{ count: number }>(server, 'POST', `/collections/${name}/points/count`, {
    exact: true,
  });
  expect(count).toBe(19);
});

test('refuses a scope by a field without a payload index if strict mode requires one', async () => {
  const name = freshName('unindexed').replaceAll(/[ .]/g, '-');
  await seedShared(name, 5, { enabled: false }, false);
  const store = openStore(server, tenant(name));
  const { archive } = await exportAll(store, legContext());
  await ask(server, 'PATCH', `/collections/${name}`, {
    strict_mode_config: { enabled: true, unindexed_filtering_update: false },
  });
  expect((await restoreAll(store, archive)).problems).toEqual([
    expect.stringMatching(/unindexed_filtering_update.*"workspace_id".*create one/),
  ]);
});

test('a whole collection with limits is restored, from snapshot and from points', async () => {
  for (const method of ['snapshot', 'points']) {
    const name = freshName(method).replaceAll(/[ .]/g, '-');
    await seedShared(name, 130, LIMITS);
    const store = openStore(server, { collections: [name], method });
    const { archive } = await exportAll(store, legContext());
    for (const there of [true, false]) {
      await relax(name);
      if (there) await ask(server, 'POST', `/collections/${name}/points/delete?wait=true`, { points: [3] });
      else await ask(server, 'DELETE', `/collections/${name}`);
      const { problems, verified } = await restoreAll(store, archive);
      expect(problems).toEqual([]);
      expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
      const { config } = await result<{ config: { strict_mode_config: object } }>(
        server,
        'GET',
        `/collections/${name}`,
      );
      expect(config.strict_mode_config).toMatchObject(LIMITS);
    }
  }
});

test('after a rate limit, waits as long as the server says', async () => {
  const name = freshName('rate').replaceAll(/[ .]/g, '-');
  // 600 a minute are 10 a second: beyond the minute's allowance, a request waits a second or two.
  await seedShared(name, 310, { enabled: true, write_rate_limit: 600 });
  const store = openStore(server, tenant(name));
  const { archive } = await exportAll(store, legContext());
  await relax(name);
  await ask(server, 'POST', `/collections/${name}/points/delete?wait=true`, { points: [3, 4] });
  await ask(server, 'PATCH', `/collections/${name}`, { strict_mode_config: { enabled: true } });
  const { verified } = await restoreAll(store, archive);
  expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
});

test('limits follow strict mode only if it is on, and allow requests of at least one point', () => {
  expect(requestLimits({ max_query_limit: 5 }).read).toBe(Number.POSITIVE_INFINITY);
  expect(requestLimits({ enabled: true, max_query_limit: 0, write_rate_limit: 3 })).toEqual({
    read: 1,
    write: 3,
    condition: Number.POSITIVE_INFINITY,
  });
  expect(requestLimits({ enabled: true, max_query_limit: 50, read_rate_limit: 20 }).read).toBe(20);
});
