import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { QdrantStore, qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { OwnServer } from './own-server.ts';
import {
  ask,
  differencesOf,
  exportAll,
  legContext,
  type MemoryArchive,
  restoreAll,
  SMALL,
} from './support.ts';

let server: OwnServer;

beforeAll(async () => {
  server = await OwnServer.start();
});
afterAll(() => server.stop());

async function valuesOf(archive: MemoryArchive, field: string): Promise<string[] | undefined> {
  const what = { thing: 'entities', field, isThing: (name: string) => name === 'entities' };
  const values = await qdrantAdapter.values(archive, qdrantAdapter.Scope.parse({}), what);
  if (!values) return undefined;
  const found: string[] = [];
  for await (const run of values) found.push(...run);
  return found;
}

test('references of a collection that is saved as a snapshot can be counted in the archive', async () => {
  // The second name starts with the first one: its entries must not be mistaken for those of the first.
  for (const name of ['entities', 'entities.references-x']) {
    await ask(server, 'PUT', `/collections/${name}`, { vectors: { size: 4, distance: 'Dot' } });
    const points = Array.from({ length: 1500 }, (_, n) => ({
      id: n,
      vector: [n, 1, 2, 3],
      payload: { entity_name: `${name} ${n}`, content: 'x'.repeat(50) },
    }));
    await ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
  }
  const connection = qdrantAdapter.Connection.parse({ url: server.url, api_key: server.apiKey });
  const store = new QdrantStore(
    connection,
    qdrantAdapter.Scope.parse({ method: 'snapshot' }),
    { target: 'test', referenceFields: () => ['entity_name'] },
    SMALL,
  );
  try {
    for (const stepsPerLeg of [Number.POSITIVE_INFINITY, 1]) {
      const context = legContext();
      const { archive, cursorCharacters } = await exportAll(store, context, { stepsPerLeg });
      await store.cleanup(context);
      expect(cursorCharacters).toBeLessThan(8 * 1024);
      const values = await valuesOf(archive, 'entity_name');
      expect(values).toEqual(Array.from({ length: 1500 }, (_, n) => `entities ${n}`));
      // Fields that were not requested are absent; so is everything in an archive that lost an entry.
      expect(await valuesOf(archive, 'content')).toBeUndefined();
      const [entry = ''] = [...archive.files.keys()].filter((name) => name.startsWith('references/'));
      expect(archive.text(entry)).not.toContain('xxx');
      expect(archive.text(entry)).not.toContain('vector');
      expect(differencesOf((await restoreAll(store, archive)).verified).samples).toEqual([]);
      archive.files.delete(entry);
      expect(await valuesOf(archive, 'entity_name')).toBeUndefined();
    }
  } finally {
    await store.close();
  }
});
