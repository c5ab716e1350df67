import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { OwnServer } from './own-server.ts';
import { ask, closeStores, exportAll, freshName, legContext, openStore } from './support.ts';

/** More than the consistency check digests: of the rest, only the server's count of writes tells whether it changed. */
const POINTS = 1100;

let server: OwnServer;

// Of its own: the count is that of the whole server.
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

test('what a backup itself asks of the server is not a change of its collections; a write to a point is', async () => {
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
