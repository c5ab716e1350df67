import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import type { QdrantClient } from '../../../shared/stores/qdrant/client.ts';
import { readCollections } from '../../../shared/stores/qdrant/config-entry.ts';
import { createCollection } from '../../../shared/stores/qdrant/create.ts';
import { QdrantNotFoundError } from '../../../shared/stores/qdrant/errors.ts';
import { collectionPath } from '../../../shared/stores/qdrant/paths.ts';
import { OwnServer } from './own-server.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  legContext,
  type MemoryArchive,
  openStore,
  REPLACE,
  restoreAll,
  result,
  seedPlain,
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

async function turn(alias: string, collection: string): Promise<void> {
  await ask(server, 'POST', '/collections/aliases', {
    actions: [
      { delete_alias: { alias_name: alias } },
      { create_alias: { alias_name: alias, collection_name: collection } },
    ],
  });
}

async function aliases(): Promise<Record<string, string>> {
  const found = await result<{ aliases: { alias_name: string; collection_name: string }[] }>(
    server,
    'GET',
    '/aliases',
  );
  return Object.fromEntries(found.aliases.map((entry) => [entry.alias_name, entry.collection_name]));
}

/** Replaces the configuration entry of a collection, as in a crafted archive. */
function edit(
  archive: MemoryArchive,
  name: string,
  change: (config: Record<string, unknown>) => object,
): void {
  const entry = `vectors/${name}.config.json`;
  const config = JSON.parse(archive.text(entry)) as Record<string, unknown>;
  archive.files.set(entry, Buffer.from(`${JSON.stringify({ ...config, ...change(config) })}\n`));
}

test.each(['snapshot', 'points'])(
  'an alias that now points to a collection outside of the scope stays there, and is reported (%s)',
  async (method) => {
    await seedPlain(server, 'docs_v1', 20);
    await turn('current', 'docs_v1');
    const store = openStore(server, { collections: ['docs_v1'], method });
    const { archive } = await exportAll(store, legContext());
    await seedPlain(server, 'docs_v2', 10);
    await turn('current', 'docs_v2');
    await ask(server, 'POST', '/collections/docs_v1/points/delete?wait=true', { points: [3] });

    const { archive: safety } = await exportAll(store, legContext());
    const { problems, verified, warned } = await restoreAll(store, archive);
    expect(problems).toEqual([]);
    expect(differencesOf(verified).samples).toEqual([]);
    expect(warned).toContainEqual(
      expect.objectContaining({ code: 'aliases-kept', samples: ['"current" → "docs_v2"'] }),
    );
    expect(await aliases()).toEqual({ current: 'docs_v2' });
    // The rollback of a failed restore does not move it either.
    expect(differencesOf((await restoreAll(store, safety)).verified).samples).toEqual([]);
    expect(await aliases()).toEqual({ current: 'docs_v2' });
  },
);

test('aliases of collections in the same restore are exchanged', async () => {
  for (const [name, alias] of [
    ['one', 'blue'],
    ['two', 'green'],
  ] as const) {
    await seedPlain(server, name, 10);
    await turn(alias, name);
  }
  const store = openStore(server, { collections: ['one', 'two'] });
  const { archive } = await exportAll(store, legContext());
  await turn('blue', 'two');
  await turn('green', 'one');
  await turn('extra', 'one');
  const { verified } = await restoreAll(store, archive);
  expect(differencesOf(verified).samples).toEqual([]);
  expect(await aliases()).toEqual({ blue: 'one', green: 'two' });
});

test('an archive cannot claim a collection outside of the scope by its own aliases', async () => {
  await seedPlain(server, 'docs_v2', 20);
  await seedPlain(server, 'victim', 5);
  await turn('current', 'docs_v2');
  const store = openStore(server, { collections: ['current'], method: 'points' });
  const { archive } = await exportAll(store, legContext());
  for (const [name, content] of [...archive.files]) {
    archive.files.delete(name);
    archive.files.set(name.replace('docs_v2', 'victim'), content);
  }
  edit(archive, 'victim', () => ({ collection: 'victim' }));
  const before = await contentOf(server, 'victim');
  const { problems } = await restoreAll(store, archive);
  expect(problems).toEqual([
    expect.stringContaining('"victim" of the archive is not in the target\'s scope'),
  ]);
  // The same while the scope's alias is dangling.
  await ask(server, 'POST', '/collections/aliases', {
    actions: [{ delete_alias: { alias_name: 'current' } }],
  });
  expect((await restoreAll(store, archive)).problems).toHaveLength(1);
  expect(await contentOf(server, 'victim')).toBe(before);
});

test('a scope by alias is restored after everything is lost, and by a rollback', async () => {
  await seedPlain(server, 'docs_v2', 20);
  await turn('current', 'docs_v2');
  const store = openStore(server, { collections: ['current'] });
  const { archive } = await exportAll(store, legContext());
  const before = await contentOf(server, 'docs_v2');
  await wipe(server, '');
  const { problems, verified } = await restoreAll(store, archive);
  expect(problems).toEqual([]);
  expect(differencesOf(verified).samples).toEqual([]);
  expect(await contentOf(server, 'docs_v2')).toBe(before);
  // A restore was interrupted after it removed the collection, and its alias with it.
  await ask(server, 'POST', '/collections/aliases', {
    actions: [{ delete_alias: { alias_name: 'current' } }],
  });
  expect(await store.admits({ archive, options: REPLACE, context: { ...legContext(), asIs: true } })).toEqual(
    [],
  );
});

test.each([
  ['..', { collection: '..' }],
  ['.', { collection: '.' }],
  ['a name that a running restore uses', { collection: 'ngbak-restore.job.0123456789abcdef' }],
  ['an alias of that kind', { aliases: ['ngbak-snapshot.job.after.0'] }],
  ['an alias with the name of the collection', { aliases: ['plain'] }],
])('refuses an archive with a collection named %s', async (_name, change) => {
  await seedPlain(server, 'plain', 3);
  const store = openStore(server, { method: 'points' });
  const { archive } = await exportAll(store, legContext());
  edit(archive, 'plain', () => change);
  await expect(store.admits({ archive, options: REPLACE, context: legContext() })).rejects.toMatchObject({
    name: 'IntegrityError',
  });
});

test('refuses dot segments as names in a scope and as new names', async () => {
  expect(qdrantAdapter.Scope.safeParse({ collections: ['..'] }).success).toBe(false);
  await seedPlain(server, 'plain', 3);
  const { archive } = await exportAll(openStore(server, { method: 'points' }), legContext());
  const scope = qdrantAdapter.Scope.parse({});
  const request = { only: {}, rename: { collections: { plain: '..' } }, sameProfile: true };
  await expect(qdrantAdapter.route(archive, scope, scope, request)).rejects.toThrow("can't be the name");
});

test('no name changes the path of a request', () => {
  for (const name of ['.', '..']) expect(() => collectionPath(name)).toThrow("can't be the name");
  expect(collectionPath('a/../b', '/points')).toBe('/collections/a%2F..%2Fb/points');
});

test('settings of an archive that are instructions never reach the server', async () => {
  await seedPlain(server, 'secret', 7);
  await seedPlain(server, 'plain', 3);
  const store = openStore(server, { collections: ['plain'], method: 'points' });
  const { archive } = await exportAll(store, legContext());
  edit(archive, 'plain', ({ config }) => {
    const { params, ...rest } = config as { params: object };
    return {
      config: {
        ...rest,
        init_from: { collection: 'secret' },
        params: { ...params, init_from: { collection: 'secret' } },
      },
    };
  });
  await ask(server, 'DELETE', '/collections/plain');
  const { verified, warned } = await restoreAll(store, archive);
  expect(differencesOf(verified).samples).toEqual([]);
  expect(warned).toContainEqual(
    expect.objectContaining({
      code: 'settings-of-the-server',
      samples: expect.arrayContaining(['init_from', 'params.init_from']),
    }),
  );
  // This server ignores unknown settings; older ones would copy the other collection. So the request itself is checked.
  const [collection] = await readCollections(archive);
  if (!collection?.config) throw new Error('no configuration');
  const bodies: string[] = [];
  const client = {
    text: async () => {
      throw new QdrantNotFoundError('There is no such collection.', { remedy: 'None is needed.' });
    },
    call: async (_method: string, _path: string, { body = '' }: { body?: string }) => void bodies.push(body),
  };
  const { signal } = new AbortController();
  await createCollection(client as unknown as QdrantClient, 'plain', collection.config, signal);
  expect(bodies).toHaveLength(1);
  expect(bodies[0]).toContain('"vectors"');
  expect(bodies[0]).not.toContain('init_from');
});
