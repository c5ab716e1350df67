import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  freshName,
  leftovers,
  legContext,
  openStore,
  restoreAll,
  result,
  seedEverything,
  seedPlain,
  sharedServer,
  wipe,
} from './support.ts';

const server = sharedServer();
afterEach(closeStores);
afterAll(() => wipe(server, `ngbak-test`));

describe.each(['snapshot', 'points'] as const)('a collection saved as %s', (method) => {
  test('restores exactly: all kinds of vectors, ids, payload numbers, settings, indexes and aliases', async () => {
    const name = freshName(method);
    await seedEverything(server, name, 2);
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], method });
    const context = legContext();
    const { archive, tallies } = await exportAll(store, context);
    expect(tallies[`points:${name}`]?.count).toBe(5);
    await store.cleanup(context);
    expect(await leftovers(server, context.jobId, [name])).toEqual([]);

    await ask(server, 'DELETE', `/collections/${encodeURIComponent(name)}`);
    const restored = await restoreAll(store, archive);
    expect(restored.problems).toEqual([]);
    const found = differencesOf(restored.verified);
    expect(found.samples).toEqual([]);
    expect(found.differences).toBe(0);
    expect(found.tallies).toEqual(tallies);
    expect(await contentOf(server, name)).toBe(before);
    expect(await leftovers(server, restored.jobId, [name])).toEqual([]);
  });

  test('replaces the contents: changed, added and removed points, other indexes, other aliases', async () => {
    const name = freshName(method);
    await seedEverything(server, name);
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], method });
    const { archive, tallies } = await exportAll(store, legContext());
    const path = `/collections/${encodeURIComponent(name)}`;
    await ask(server, 'PUT', `${path}/points?wait=true`, {
      points: [
        { id: 0, vector: {}, payload: { changed: 1 } },
        { id: 55, vector: {} },
      ],
    });
    await ask(server, 'POST', `${path}/points/delete?wait=true`, '{"points":[18446744073709551615]}');
    await ask(server, 'DELETE', `${path}/index/i?wait=true`);
    await ask(server, 'PUT', `${path}/index?wait=true`, { field_name: 'extra', field_schema: 'keyword' });
    await ask(server, 'PUT', `${path}/index?wait=true`, { field_name: 's', field_schema: 'keyword' });
    await ask(server, 'POST', '/collections/aliases', {
      actions: [
        { delete_alias: { alias_name: `${name} second` } },
        { create_alias: { collection_name: name, alias_name: `${name} new` } },
      ],
    });
    const restored = await restoreAll(store, archive);
    expect(differencesOf(restored.verified)).toEqual({ differences: 0, samples: [], tallies });
    expect(await contentOf(server, name)).toBe(before);
    expect(await leftovers(server, restored.jobId, [name])).toEqual([]);
  });

  test('replaces a collection of another configuration', async () => {
    const name = freshName(method);
    await seedPlain(server, name, 300);
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], method });
    const { archive } = await exportAll(store, legContext());
    const path = `/collections/${encodeURIComponent(name)}`;
    await ask(server, 'DELETE', path);
    await ask(server, 'PUT', path, { vectors: { size: 3, distance: 'Dot' } });
    const restored = await restoreAll(store, archive);
    expect(differencesOf(restored.verified).samples).toEqual([]);
    expect(await contentOf(server, name)).toBe(before);
  });

  test('the verification names what is missing, changed or additional', async () => {
    const name = freshName(method);
    await seedPlain(server, name, 50);
    const store = openStore(server, { collections: [name], method });
    const { archive } = await exportAll(store, legContext());
    const path = `/collections/${encodeURIComponent(name)}`;
    const verify = async () =>
      differencesOf([
        await store.verify({
          archive,
          options: { mode: 'replace', onConflict: 'overwrite' },
          cursor: null,
          context: legContext(),
        }),
      ]);
    expect((await verify()).differences).toBe(0);
    await ask(server, 'POST', `${path}/points/payload?wait=true`, { payload: { n: 9.5 }, points: [7] });
    expect((await verify()).differences).toBe(1);
    await ask(server, 'PUT', `${path}/points?wait=true`, {
      points: [{ id: 1000, vector: [1, 2, 3, 4, 5, 6, 7, 8] }],
    });
    await ask(server, 'POST', `${path}/points/delete?wait=true`, { points: [3] });
    const { differences, samples } = await verify();
    if (method === 'points') {
      expect(samples).toEqual([
        `point 3 of collection ${name} is missing`,
        `point 7 of collection ${name} has different vectors or a different payload`,
        `point 1000 of collection ${name} is not in the archive`,
      ]);
    } else expect(differences).toBe(1);
    await ask(server, 'PATCH', path, { hnsw_config: { m: 40 } });
    expect((await verify()).samples).toContain(
      `setting ${name}.hnsw_config.m has a different value than in the archive`,
    );
  });

  test('vectors of cosine distance are saved as the server normalized them, and restored to the last bit', async () => {
    const name = freshName(method);
    const path = `/collections/${encodeURIComponent(name)}`;
    await ask(server, 'PUT', path, { vectors: { size: 3, distance: 'Cosine' } });
    const lengths = [1e-3, 0.5, 1, 3, 1e6];
    const points = Array.from({ length: 200 }, (_, id) => ({
      id,
      vector: [Math.sin(id), Math.cos(id * 3), 0.1].map((x) => x * (lengths[id % lengths.length] ?? 1)),
    }));
    await ask(server, 'PUT', `${path}/points?wait=true`, { points });
    const stored = await result<{ points: { vector: number[] }[] }>(server, 'POST', `${path}/points/scroll`, {
      ...{ limit: 1000, with_vector: true },
    });
    for (const { vector } of stored.points) expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], method });
    const { archive, tallies } = await exportAll(store, legContext());
    await ask(server, 'DELETE', path);
    const { verified } = await restoreAll(store, archive);
    expect([differencesOf(verified).samples, differencesOf(verified).tallies]).toEqual([[], tallies]);
    expect(await contentOf(server, name)).toBe(before);
  });

  test('an empty collection is restored', async () => {
    const name = freshName(method);
    await seedPlain(server, name, 0);
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], method });
    const { archive, tallies } = await exportAll(store, legContext());
    expect(tallies[`points:${name}`]?.count).toBe(0);
    await ask(server, 'DELETE', `/collections/${encodeURIComponent(name)}`);
    const restored = await restoreAll(store, archive);
    expect(differencesOf(restored.verified)).toEqual({ differences: 0, samples: [], tallies });
    expect(await contentOf(server, name)).toBe(before);
  });
});

test('both methods count and digest the same points alike', async () => {
  const name = freshName();
  await seedPlain(server, name, 1234);
  const [snapshot, points] = await Promise.all(
    ['snapshot', 'points'].map((method) =>
      exportAll(openStore(server, { collections: [name], method }), legContext()),
    ),
  );
  expect(snapshot?.tallies).toEqual(points?.tallies);
  expect([...(snapshot?.archive.files.keys() ?? [])].map((file) => file.split('.').at(-1))).toEqual([
    'snapshot',
    'json',
  ]);
  expect([...(points?.archive.files.keys() ?? [])].map((file) => file.split('.').at(-1))).toEqual([
    'jsonl',
    'json',
  ]);
});

test('an alias in the scope stands for its collection, which is restored with the alias', async () => {
  const name = freshName();
  await seedEverything(server, name);
  const before = await contentOf(server, name);
  const store = openStore(server, { collections: [`${name} second`] });
  const { archive } = await exportAll(store, legContext());
  await ask(server, 'DELETE', `/collections/${encodeURIComponent(name)}`);
  expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
  expect(await contentOf(server, name)).toBe(before);
});

test('half-precision vectors of cosine distance are restored up to the last bit, and other damage is detected', async () => {
  const name = freshName();
  const path = `/collections/${encodeURIComponent(name)}`;
  const half = { size: 3, distance: 'Cosine', datatype: 'float16' };
  await ask(server, 'PUT', path, { vectors: { half, full: { size: 3, distance: 'Cosine' } } });
  const vector = (n: number) => [Math.sin(n), Math.cos(n * 3), Math.sin(n * 7) - 0.5];
  const points = Array.from({ length: 500 }, (_, id) => ({
    id,
    vector: { half: vector(id), full: vector(id) },
  }));
  await ask(server, 'PUT', `${path}/points?wait=true`, { points });
  const store = openStore(server, { collections: [name], method: 'points' });
  const { archive } = await exportAll(store, legContext());
  const before = await contentOf(server, name);
  await ask(server, 'DELETE', path);
  expect(differencesOf((await restoreAll(store, archive)).verified)).toMatchObject({ differences: 0 });
  // The case is real: the server did round some of them again.
  expect(await contentOf(server, name)).not.toBe(before);

  const damage = async (id: number, changed: object) => {
    await ask(server, 'PUT', `${path}/points/vectors?wait=true`, { points: [{ id, vector: changed }] });
    const [leg] = [
      await store.verify({
        archive,
        options: { mode: 'replace', onConflict: 'overwrite' },
        cursor: null,
        context: legContext(),
      }),
    ];
    return leg.samples.map(({ thing }) => thing);
  };
  const [x = 0, y = 0, z = 0] = vector(9);
  expect(await damage(9, { half: [x * 1.01, y, z] })).toEqual([`point 9 of collection ${name}`]);
  expect(await damage(9, { half: [x, y, z] })).toEqual([]);
  expect(await damage(9, { full: [x * 1.0001, y, z] })).toEqual([`point 9 of collection ${name}`]);
});

test('vectors of cosine distance that an old version stored as they were are normalized by the server, and compared by direction', async () => {
  const name = freshName();
  const path = `/collections/${encodeURIComponent(name)}`;
  await ask(server, 'PUT', path, { vectors: { size: 3, distance: 'Cosine' } });
  const points = Array.from({ length: 100 }, (_, id) => ({ id, vector: [id + 1, 2, 0.5] }));
  await ask(server, 'PUT', `${path}/points?wait=true`, { points });
  const store = openStore(server, { collections: [name], method: 'points' });
  const { archive } = await exportAll(store, legContext());
  // What a version before normalization would have written: the same directions, other lengths.
  const rewrite = (change: (vector: number[], id: number) => number[]) => {
    for (const [entry, content] of archive.files) {
      if (!/points-\d+\.jsonl$/.test(entry)) continue;
      const lines = content.toString().trimEnd().split('\n');
      const changed = lines.map((line) => {
        const { id, payload, vector } = JSON.parse(line);
        return `${JSON.stringify({ id, payload, vector: change(vector, id) })}\n`;
      });
      archive.files.set(entry, Buffer.from(changed.join('')));
    }
  };
  rewrite((vector, id) => vector.map((x) => x * (id + 2)));
  await ask(server, 'DELETE', path);
  expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
  const { vector } = await result<{ vector: number[] }>(server, 'GET', `${path}/points/50`);
  expect(Math.hypot(...vector)).toBeCloseTo(1, 5);
  rewrite((found, id) => (id === 50 ? found.toReversed() : found));
  const options = { mode: 'replace', onConflict: 'overwrite' } as const;
  const leg = await store.verify({ archive, options, cursor: null, context: legContext() });
  expect(leg.samples.map(({ thing }) => thing)).toEqual([`point 50 of collection ${name}`]);
});
