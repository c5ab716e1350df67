import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  freshName,
  legContext,
  MemoryArchive,
  openStore,
  restoreAll,
  result,
  SMALL,
  seedPlain,
  sharedServer,
  wipe,
} from './support.ts';

const server = sharedServer();
afterEach(closeStores);
afterAll(() => wipe(server, `ngbak-test`));

const merge = (onConflict: LoadOptions['onConflict']): LoadOptions => ({ mode: 'merge', onConflict });
const pathOf = (name: string) => `/collections/${encodeURIComponent(name)}`;

/** All payloads by id, as JSON. */
async function payloads(name: string): Promise<Record<string, string>> {
  const { points } = await result<{ points: { id: number; payload: unknown }[] }>(
    server,
    'POST',
    `${pathOf(name)}/points/scroll`,
    { limit: 10_000 },
  );
  return Object.fromEntries(points.map(({ id, payload }) => [id, JSON.stringify(payload)]));
}

describe('one workspace of a shared collection', () => {
  const filter = (value: string) => ({ key: 'tenant', value });

  test('is saved, destroyed and restored alone; the other is unchanged to the byte', async () => {
    const name = freshName();
    await seedPlain(server, name, 1500, { dimensions: 16 });
    await ask(server, 'PUT', `${pathOf(name)}/index?wait=true`, {
      field_name: 'tenant',
      field_schema: 'keyword',
    });
    const before = await contentOf(server, name);
    const store = openStore(server, { collections: [name], filter: filter('t0') }, SMALL);
    const { archive, tallies, legs } = await exportAll(store, legContext(), { stepsPerLeg: 1 });
    expect(tallies[`points:${name}`]?.count).toBe(750);
    expect(legs).toBeGreaterThan(2);
    // The other workspace changes meanwhile, and own points are lost, changed and added.
    await ask(server, 'POST', `${pathOf(name)}/points/delete?wait=true`, { points: [0, 2, 4] });
    await ask(server, 'POST', `${pathOf(name)}/points/payload?wait=true`, {
      payload: { n: -1 },
      points: [6],
    });
    await ask(server, 'PUT', `${pathOf(name)}/points?wait=true`, {
      points: [{ id: 9000, vector: Array(16).fill(1), payload: { tenant: 't0' } }],
    });
    const restored = await restoreAll(store, archive, undefined, 0);
    expect(restored.problems).toEqual([]);
    expect(restored.loaded.length).toBeGreaterThan(2);
    expect(differencesOf(restored.verified)).toEqual({ differences: 0, samples: [], tallies });
    expect(await contentOf(server, name)).toBe(before);
  });

  test('is restored into a server that has lost the collection', async () => {
    const name = freshName();
    await seedPlain(server, name, 100);
    const store = openStore(server, { collections: [name], filter: filter('t1') });
    const { archive, tallies } = await exportAll(store, legContext());
    await ask(server, 'DELETE', pathOf(name));
    const { verified } = await restoreAll(store, archive);
    expect(differencesOf(verified)).toEqual({ differences: 0, samples: [], tallies });
    expect(Object.keys(await payloads(name))).toHaveLength(50);
  });

  test('never overwrites a point of another workspace that has the same id', async () => {
    const name = freshName();
    await seedPlain(server, name, 20);
    const store = openStore(server, { collections: [name], filter: filter('t0') });
    const { archive } = await exportAll(store, legContext());
    await ask(server, 'POST', `${pathOf(name)}/points/payload?wait=true`, {
      payload: { tenant: 't1' },
      points: [4],
    });
    const before = (await payloads(name))['4'];
    await expect(restoreAll(store, archive)).rejects.toThrow('ids that other parts');
    expect((await payloads(name))['4']).toBe(before);
  });

  test('refuses archives of another workspace or of the whole, and points smuggled into one', async () => {
    const name = freshName();
    await seedPlain(server, name, 20);
    const mine = openStore(server, { collections: [name], filter: filter('t0') });
    const other = await exportAll(
      openStore(server, { collections: [name], filter: filter('t1') }),
      legContext(),
    );
    const whole = await exportAll(openStore(server, { collections: [name], method: 'points' }), legContext());
    expect((await restoreAll(mine, other.archive)).problems).toEqual([expect.stringContaining('"t1"')]);
    expect((await restoreAll(mine, whole.archive)).problems).toEqual([expect.stringContaining('as a whole')]);
    const { archive } = await exportAll(mine, legContext());
    for (const [entry, content] of archive.files) {
      if (entry.endsWith('.jsonl'))
        archive.files.set(entry, Buffer.from(content.toString().replaceAll('"t0"', '"t1"')));
    }
    const before = await contentOf(server, name);
    await expect(
      mine.load({
        archive,
        options: { mode: 'replace', onConflict: 'overwrite' },
        cursor: null,
        context: legContext(),
      }),
    ).rejects.toThrow('does not belong');
    expect(await contentOf(server, name)).toBe(before);
  });
});

describe('a merge', () => {
  test('twice is the same as once, and keeps or overwrites as requested', async () => {
    const name = freshName();
    await seedPlain(server, name, 40);
    const original = await payloads(name);
    const store = openStore(server, { collections: [name], method: 'points' });
    const { archive } = await exportAll(store, legContext());
    await ask(server, 'POST', `${pathOf(name)}/points/payload?wait=true`, {
      payload: { n: 'mine' },
      points: [3],
    });
    await ask(server, 'POST', `${pathOf(name)}/points/delete?wait=true`, { points: [5] });
    await ask(server, 'PUT', `${pathOf(name)}/points?wait=true`, {
      points: [{ id: 999, vector: Array(8).fill(1), payload: { n: 'new' } }],
    });
    for (const _ of [1, 2]) {
      expect(differencesOf((await restoreAll(store, archive, merge('keep'))).verified).samples).toEqual([]);
      const now = await payloads(name);
      expect(now).toEqual({
        ...original,
        3: expect.stringContaining('mine'),
        999: expect.stringContaining('new'),
      });
    }
    await expect(restoreAll(store, archive, merge('fail'))).rejects.toThrow('Point 3 ');
    for (const _ of [1, 2]) {
      expect(differencesOf((await restoreAll(store, archive, merge('overwrite'))).verified).samples).toEqual(
        [],
      );
      expect(await payloads(name)).toEqual({ ...original, 999: expect.stringContaining('new') });
    }
  });

  test('of a snapshot into an existing collection is refused, with what to do', async () => {
    const name = freshName();
    await seedPlain(server, name, 5);
    const store = openStore(server, { collections: [name], method: 'snapshot' });
    const { archive } = await exportAll(store, legContext());
    expect((await restoreAll(store, archive, merge('keep'))).problems).toEqual([
      expect.stringContaining('"method": "points"'),
    ]);
  });
});

describe('an archive that does not fit is refused before anything is written', () => {
  test('another vector layout, another server version, name conflicts, collections out of scope', async () => {
    const [name, outside] = [freshName(), freshName('outside')];
    await seedPlain(server, name, 5);
    await seedPlain(server, outside, 5);
    await ask(server, 'POST', '/collections/aliases', {
      actions: [{ create_alias: { collection_name: name, alias_name: `${name} a` } }],
    });
    const { archive } = await exportAll(
      openStore(server, { collections: [name, outside], method: 'snapshot' }),
      legContext(),
    );
    const store = openStore(server, { collections: [name] });
    const admits = async (changed = archive, options?: LoadOptions) =>
      (await restoreAll(store, changed, options)).problems;
    expect(await admits()).toEqual([expect.stringContaining('not in the target')]);

    const { archive: mine } = await exportAll(
      openStore(server, { collections: [name], method: 'snapshot' }),
      legContext(),
    );
    const edit = (from: string | RegExp, to: string) => {
      const copy = new MemoryArchive();
      for (const [entry, content] of mine.files) {
        copy.files.set(
          entry,
          entry.endsWith('.json') ? Buffer.from(content.toString().replace(from, to)) : content,
        );
      }
      return copy;
    };
    expect(await admits(edit(/"server_version":"[^"]+"/, '"server_version":"1.14.0"'))).toEqual([
      expect.stringContaining('1.14 or 1.15'),
    ]);
    expect(await admits(edit(/"server_version":"[^"]+"/, '"server_version":"1.17.2"'))).toEqual([
      expect.stringContaining('1.17'),
    ]);
    expect(await admits(edit(`"${name} a"`, `"${outside}"`))).toEqual([
      expect.stringContaining('is an alias of'),
    ]);

    const points = await exportAll(
      openStore(server, { collections: [name], method: 'points' }),
      legContext(),
    );
    await ask(server, 'DELETE', pathOf(name));
    await ask(server, 'PUT', pathOf(name), { vectors: { size: 3, distance: 'Dot' } });
    expect(await admits(points.archive, merge('keep'))).toEqual([
      expect.stringContaining('8 Cosine float32'),
    ]);
    await ask(server, 'DELETE', pathOf(name));
    await ask(server, 'POST', '/collections/aliases', {
      actions: [{ create_alias: { collection_name: outside, alias_name: name } }],
    });
    expect(await admits(points.archive)).toContainEqual(expect.stringContaining('an alias of'));
    await ask(server, 'POST', '/collections/aliases', { actions: [{ delete_alias: { alias_name: name } }] });
  });

  test.each([
    ['a line that is not a point', (text: string) => `${text}{"id":1}],"x":[{}\n`],
    ['a line with another field', (text: string) => text.replace('"payload"', '"shard_key":"a","payload"')],
    ['ids out of order', (text: string) => text.split('\n').reverse().join('\n').trimStart()],
    ['the same id twice', (text: string) => `${text}${text}`],
  ])('%s', async (_what, spoil) => {
    const name = freshName();
    await seedPlain(server, name, 5);
    const store = openStore(server, { collections: [name], method: 'points' });
    const { archive } = await exportAll(store, legContext());
    for (const [entry, content] of archive.files) {
      if (entry.endsWith('.jsonl')) archive.files.set(entry, Buffer.from(spoil(content.toString())));
    }
    const before = await contentOf(server, name);
    await expect(restoreAll(store, archive)).rejects.toThrow(/Entry vectors.*points-00001/);
    expect(await contentOf(server, name)).toBe(before);
  });

  test.each([
    [
      'a points entry is missing',
      (files: Map<string, Buffer>, part: string) => files.delete(`${part}.points-00001.jsonl`),
    ],
    [
      'the configuration is missing',
      (files: Map<string, Buffer>, part: string) => files.delete(`${part}.config.json`),
    ],
    [
      'the configuration is not JSON',
      (files: Map<string, Buffer>, part: string) => files.set(`${part}.config.json`, Buffer.from('{')),
    ],
    ['a strange entry', (files: Map<string, Buffer>) => files.set('vectors/strange.bin', Buffer.from('x'))],
  ])('%s', async (_what, spoil) => {
    const name = freshName();
    await seedPlain(server, name, 5);
    const store = openStore(server, { collections: [name], method: 'points' });
    const { archive } = await exportAll(store, legContext());
    const config = [...archive.files.keys()].find((entry) => entry.endsWith('.config.json')) ?? '';
    spoil(archive.files, config.replace('.config.json', ''));
    await expect(restoreAll(store, archive)).rejects.toThrow(/of the archive|has an entry/);
  });
});

test('a bare snapshot, as other tools leave it, is loaded under the name of its file', async () => {
  const name = freshName().replaceAll(' ', '_');
  await seedPlain(server, name, 30);
  const before = await contentOf(server, name);
  const store = openStore(server, { collections: [name], method: 'snapshot' });
  const { archive } = await exportAll(store, legContext());
  for (const entry of archive.files.keys()) if (entry.endsWith('.config.json')) archive.files.delete(entry);
  await ask(server, 'DELETE', pathOf(name));
  const { verified } = await restoreAll(store, archive);
  expect(differencesOf(verified).tallies[`points:${name}`]?.count).toBe(30);
  expect(await contentOf(server, name)).toBe(before);
});

describe('a bare snapshot', () => {
  async function bareSnapshot(dimensions: number) {
    const name = freshName().replaceAll(' ', '_');
    await seedPlain(server, name, 30, { dimensions });
    const store = openStore(server, { collections: [name], method: 'snapshot' });
    const { archive } = await exportAll(store, legContext());
    for (const entry of archive.files.keys()) if (entry.endsWith('.config.json')) archive.files.delete(entry);
    const [entry = ''] = archive.files.keys();
    return { name, store, archive, entry };
  }
  const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };

  test('is refused if clients use vectors of another size, and admitted if there are none', async () => {
    const { name, store, archive } = await bareSnapshot(16);
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
    await ask(server, 'DELETE', pathOf(name));
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
    await seedPlain(server, name, 3, { dimensions: 8 });
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([
      expect.stringMatching(/\(unnamed\) 16 in the archive, but \(unnamed\) 8 on the server/),
    ]);
    await ask(server, 'POST', `${pathOf(name)}/points/delete?wait=true`, { points: [0, 1, 2] });
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
  });

  test('with sparse files, such as logs of servers, is parsed as well', async () => {
    const { name, store, archive, entry } = await bareSnapshot(16);
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-holes-'));
    try {
      const config = execFileSync('tar', ['-xO', 'config.json'], { input: archive.files.get(entry) });
      await writeFile(join(folder, 'config.json'), config);
      const log = await open(join(folder, 'log'), 'w');
      for (let piece = 1; piece <= 60; piece++) await log.write('x', piece * 2 ** 20);
      await log.close();
      const tar = ['-C', folder, '--sparse', '--format=gnu', '-c', 'log', 'config.json'];
      archive.files.set(entry, execFileSync('tar', tar));
    } finally {
      await rm(folder, { recursive: true });
    }
    // Three blocks of 21 pieces each follow the header.
    expect(archive.files.get(entry)?.subarray(482, 483)).toEqual(Buffer.from([1]));
    await ask(server, 'DELETE', pathOf(name));
    await seedPlain(server, name, 3, { dimensions: 8 });
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([
      expect.stringContaining('(unnamed) 16 in the archive'),
    ]);
  });

  test('that is invalid is refused before anything is written', async () => {
    const { name, store, archive, entry } = await bareSnapshot(8);
    const before = await contentOf(server, name);
    archive.files.set(entry, Buffer.alloc(2000, 'x'));
    await expect(restoreAll(store, archive)).rejects.toThrow(/not a snapshot of a Qdrant collection/);
    expect(await contentOf(server, name)).toBe(before);
  });
});

test('the fence changes with every change of a collection, and with nothing else', async () => {
  const name = freshName();
  await seedPlain(server, name, 30);
  const store = openStore(server, { collections: [name] });
  const fence = async () => JSON.stringify((await store.probe(legContext())).fence);
  const seen = new Set([await fence()]);
  await exportAll(store, legContext());
  expect(seen).toContain(await fence());
  const changes: [string, string, unknown][] = [
    [
      'PUT',
      '/points?wait=true',
      { points: [{ id: 7, vector: Array(8).fill(3), payload: { n: 7, tenant: 't1' } }] },
    ],
    ['POST', '/points/payload?wait=true', { payload: { n: 'x' }, points: [3] }],
    ['POST', '/points/delete?wait=true', { points: [29] }],
    ['PUT', '/index?wait=true', { field_name: 'n', field_schema: 'integer' }],
    ['PATCH', '', { hnsw_config: { m: 33 } }],
  ];
  for (const [method, below, body] of changes) {
    await ask(server, method, `${pathOf(name)}${below}`, body);
    const now = await fence();
    expect(seen).not.toContain(now);
    seen.add(now);
  }
});
