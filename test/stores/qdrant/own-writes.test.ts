import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { readCollections } from '../../../shared/stores/qdrant/config-entry.ts';
import { OwnServer, startInterceptor } from './own-server.ts';
import {
  ask,
  closeStores,
  differencesOf,
  exportAll,
  freshName,
  legContext,
  openStore,
  REPLACE,
  restoreAll,
} from './support.ts';

/** More than the consistency check digests: changes of the others are detected only by the server's count of writes. */
const POINTS = 1100;

let server: OwnServer;

// A separate server, since the count covers the whole server.
beforeAll(async () => {
  server = await OwnServer.start();
});
afterEach(closeStores);
afterAll(() => server.stop());

async function seed(): Promise<string> {
  const name = freshName('writes').replaceAll(' ', '-');
  await ask(server, 'PUT', `/collections/${name}`, { vectors: { size: 4, distance: 'Dot' } });
  const points = Array.from({ length: POINTS }, (_, n) => ({ id: n, vector: [n, 1, 2, 3], payload: { n } }));
  await ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
  return name;
}

test('requests of the backup itself are not a change of its collections; a write to a point is', async () => {
  const collections = [await seed(), await seed()];
  const store = openStore(server, { collections });
  const context = legContext();
  const fence = async () => (await store.probe(context)).fence;
  const before = await fence();
  expect(before.writes).toBeDefined();
  const { archive } = await exportAll(store, context);
  expect([...archive.files.keys()].filter((name) => name.endsWith('.snapshot'))).toHaveLength(2);
  expect(await fence()).toEqual(before);
  // The same number of points, and none of those that are digested.
  await ask(server, 'PUT', `/collections/${collections[0]}/points?wait=true`, {
    points: [{ id: POINTS - 1, vector: [0, 0, 0, 0] }],
  });
  expect((await fence()).writes).not.toBe(before.writes);
});

/** Exports one collection through a proxy that runs a function before each call, records it, or refuses telemetry. */
async function exportThrough(
  collection: string,
  before: (method: string, path: string) => Promise<void>,
  telemetry = true,
) {
  const interceptor = await startInterceptor(
    server,
    before,
    (_method, path, answer) => (telemetry || !path.startsWith('/telemetry') ? answer : '{}'),
    403,
  );
  try {
    const store = openStore({ url: interceptor.url, apiKey: server.apiKey }, { collections: [collection] });
    const { archive } = await exportAll(store, legContext());
    const config = JSON.parse(archive.text(`vectors/${collection}.config.json`)) as {
      method: string;
      points: object;
    };
    return { archive, config };
  } finally {
    await interceptor.stop();
  }
}

const isSnapshot = (method: string, path: string) => method === 'POST' && /\/snapshots(\?|$)/.test(path);

test('points are read once, after the snapshot, if the server counts no write', async () => {
  const name = await seed();
  const order: string[] = [];
  const { config } = await exportThrough(name, async (method, path) => {
    if (isSnapshot(method, path)) order.push('snapshot');
    else if (path.includes('/points/scroll') && order.length > 0 && order.at(-1) !== 'read')
      order.push('read');
  });
  expect(config).toMatchObject({ method: 'snapshot', points: { count: POINTS, digested: POINTS } });
  expect(order).toEqual(['snapshot', 'read']);
});

test('while others write to another collection, points are read before and after a snapshot, which is then valid', async () => {
  const [name, other] = [await seed(), await seed()];
  let snapshots = 0;
  const { config, archive } = await exportThrough(name, async (method, path) => {
    if (!isSnapshot(method, path)) return;
    snapshots++;
    await ask(server, 'PUT', `/collections/${other}/points?wait=true`, {
      points: [{ id: snapshots, vector: [0, 0, 0, 0] }],
    });
  });
  expect(config).toMatchObject({ method: 'snapshot', points: { count: POINTS, digested: POINTS } });
  expect(snapshots).toBe(2);
  const { verified } = await restoreAll(openStore(server, { collections: [name] }), archive);
  expect(differencesOf(verified)).toMatchObject({ differences: 0, samples: [] });
});

test.each([
  ['the server counts writes', true, 4],
  ['the key may not read what the server counts', false, 3],
])('a write during a snapshot is detected if %s', async (_, telemetry, tries) => {
  const name = await seed();
  let snapshots = 0;
  const { config } = await exportThrough(
    name,
    async (method, path) => {
      if (!isSnapshot(method, path)) return;
      // The same number of points.
      await ask(server, 'PUT', `/collections/${name}/points?wait=true`, {
        points: [{ id: 500, vector: [snapshots++, 0, 0, 0] }],
      });
    },
    telemetry,
  );
  expect(config).toMatchObject({ method: 'points', points: { count: POINTS, digested: POINTS } });
  expect(snapshots).toBe(tries);
});

test('beyond the digested points, test load and verification compare a random sample', async () => {
  const name = await seed();
  const limits = { chunkBytes: 50_000, pieceBytes: 64 * 1024, sureBytesPerSecond: 0, digestedPoints: 10 };
  const store = openStore(server, { collections: [name] }, limits);
  const { archive, cursorCharacters } = await exportAll(store, legContext(), { stepsPerLeg: 1 });
  const entry = `vectors/${name}.config.json`;
  const config = JSON.parse(archive.text(entry)) as { sample: { ids: string[]; digest: string } };
  expect(config).toMatchObject({ method: 'snapshot', points: { count: POINTS, digested: 10 } });
  expect(new Set(config.sample.ids).size).toBe(50);
  expect(cursorCharacters).toBeLessThan(8 * 1024);
  expect(differencesOf((await restoreAll(store, archive)).verified)).toMatchObject({ differences: 0 });

  // None of the digested points, and the same number of points.
  const last = config.sample.ids
    .map(Number)
    .sort((one, other) => one - other)
    .at(-1);
  await ask(server, 'PUT', `/collections/${name}/points?wait=true`, {
    points: [{ id: last, vector: [0, 0, 0, 0], payload: { n: last } }],
  });
  const verified = await store.verify({ archive, options: REPLACE, cursor: null, context: legContext() });
  expect(differencesOf([verified]).samples).toEqual([
    `collection ${name} differs from the archive in a sample of 50 points`,
  ]);

  const other = { ...config, sample: { ...config.sample, digest: '0'.repeat(64) } };
  archive.files.set(entry, Buffer.from(JSON.stringify(other)));
  await expect(
    store.testLoad?.({ archive, options: REPLACE, cursor: null, context: legContext() }),
  ).rejects.toMatchObject({
    name: 'IntegrityError',
    message: expect.stringContaining('does not contain the points stated in the archive'),
  });
  await store.finish(legContext());

  // Archives of earlier versions have no sample.
  const { sample: _, ...earlier } = config;
  archive.files.set(entry, Buffer.from(JSON.stringify(earlier)));
  expect(differencesOf((await restoreAll(store, archive)).verified)).toMatchObject({ differences: 0 });
});

test('an archive can request nothing but points by their ids', async () => {
  const name = await seed();
  const { archive } = await exportAll(openStore(server, { collections: [name] }), legContext());
  const entry = `vectors/${name}.config.json`;
  const config = JSON.parse(archive.text(entry)) as object;
  const sample = { ids: ['1],"with_payload":false,"ids":[2'], digest: '0'.repeat(64) };
  archive.files.set(entry, Buffer.from(JSON.stringify({ ...config, sample })));
  await expect(readCollections(archive)).rejects.toMatchObject({ name: 'IntegrityError' });
});
