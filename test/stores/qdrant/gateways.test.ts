import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { samePoint } from '../../../shared/stores/qdrant/compare.ts';
import { chooseMethod, snapshotBytes } from '../../../shared/stores/qdrant/method.ts';
import { parsePointLine } from '../../../shared/stores/qdrant/point-text.ts';
import { OwnServer, startGateway, startInterceptor } from './own-server.ts';
import {
  ask,
  closeStores,
  contentOf,
  differencesOf,
  exportAll,
  legContext,
  type MemoryArchive,
  openStore,
  restoreAll,
  result,
  SMALL,
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

function methodOf(archive: MemoryArchive, name: string): { method: string; reason: string } {
  return JSON.parse(archive.text(`vectors/${name}.config.json`)) as { method: string; reason: string };
}

/** Restores without the gateway, and compares everything. */
async function expectWhole(name: string, archive: MemoryArchive, before: string): Promise<void> {
  await ask(server, 'DELETE', `/collections/${name}`);
  const { verified } = await restoreAll(openStore(server, {}), archive);
  expect(differencesOf(verified).samples).toEqual([]);
  expect(await contentOf(server, name)).toBe(before);
  expect(await server.strayFiles()).toEqual([]);
}

test('a snapshot is read completely if ranges are ignored, in one leg and in many', async () => {
  await seedPlain(server, 'plain', 600, { dimensions: 64 });
  const before = await contentOf(server, 'plain');
  const gateway = await startGateway(server, { dropsRange: true });
  try {
    const store = openStore(
      { ...server, url: gateway.url, apiKey: server.apiKey },
      { method: 'snapshot' },
      SMALL,
    );
    for (const stepsPerLeg of [Number.POSITIVE_INFINITY, 1]) {
      const context = legContext();
      const { archive, legs } = await exportAll(store, context, { stepsPerLeg });
      await store.cleanup(context);
      if (stepsPerLeg === 1) expect(legs).toBeGreaterThan(2);
      await expectWhole('plain', archive, before);
    }
  } finally {
    await gateway.stop();
  }
});

test.each(['auto', 'snapshot'])(
  'a snapshot that takes longer than the timeout of a gateway is found on the server and used (%s)',
  async (method) => {
    await seedPlain(server, 'plain', 300, { dimensions: 64 });
    const before = await contentOf(server, 'plain');
    const gateway = await startGateway(server, {
      givesUp: (verb, path) => verb === 'POST' && /\/snapshots\?/.test(path),
    });
    try {
      const store = openStore({ url: gateway.url, apiKey: server.apiKey }, { method });
      const context = legContext();
      const { archive } = await exportAll(store, context);
      expect(gateway.seen).toHaveLength(1);
      expect(methodOf(archive, 'plain').method).toBe('snapshot');
      await store.cleanup(context);
      await expectWhole('plain', archive, before);
    } finally {
      await gateway.stop();
    }
  },
);

test('collections of a server that cannot write a snapshot are saved as points', async () => {
  await seedPlain(server, 'plain', 30);
  const before = await contentOf(server, 'plain');
  // A full disk; the response is the server's own.
  const interceptor = await startInterceptor(
    server,
    async () => undefined,
    (method, path, answer) => {
      if (method !== 'POST' || !path.includes('/snapshots')) return answer;
      return '{"status":{"error":"Service internal error: No space left on device (os error 28)"}}';
    },
    500,
  );
  try {
    const store = openStore({ url: interceptor.url, apiKey: server.apiKey }, {});
    const context = legContext();
    const { archive } = await exportAll(store, context);
    await store.cleanup(context);
    expect(methodOf(archive, 'plain')).toMatchObject({
      method: 'points',
      reason: expect.stringContaining('did not write a snapshot'),
    });
    await expectWhole('plain', archive, before);
  } finally {
    await interceptor.stop();
  }
});

test('behind a gateway that limits requests, collections are saved as points, and loaded in place', async () => {
  await seedPlain(server, 'plain', 500, { dimensions: 64 });
  const before = await contentOf(server, 'plain');
  const gateway = await startGateway(server, { bytesMax: 250_000 });
  const limited = { url: gateway.url, apiKey: server.apiKey };
  try {
    const { archive: snapshots } = await exportAll(openStore(server, { method: 'snapshot' }), legContext());
    const context = legContext();
    const store = openStore(limited, {});
    const { archive } = await exportAll(store, context);
    expect(methodOf(archive, 'plain')).toMatchObject({
      method: 'points',
      reason: expect.stringContaining('proxy'),
    });
    const limitedContext = legContext();
    await exportAll(openStore(limited, { method: 'snapshot' }), limitedContext);
    expect(limitedContext.warned).toContainEqual(expect.objectContaining({ code: 'upload-too-large' }));
    // A snapshot is refused before anything is changed.
    expect((await restoreAll(store, snapshots)).problems).toEqual([
      expect.stringMatching(/snapshot of collection "plain".*proxy.*413/),
    ]);
    expect(await contentOf(server, 'plain')).toBe(before);
  } finally {
    await gateway.stop();
  }
});

test('points are loaded in place if a gateway would refuse the exchange', async () => {
  await seedPlain(server, 'plain', 50);
  const before = await contentOf(server, 'plain');
  const gateway = await startGateway(server, { bytesMax: 20 * 1024 ** 2 });
  try {
    const { archive } = await exportAll(openStore(server, { method: 'points' }), legContext());
    await ask(server, 'POST', '/collections/plain/points/delete?wait=true', { points: [3] });
    const { verified } = await restoreAll(
      openStore({ url: gateway.url, apiKey: server.apiKey }, {}),
      archive,
    );
    expect(differencesOf(verified).samples).toEqual([]);
    expect(await contentOf(server, 'plain')).toBe(before);
    expect(gateway.seen).toEqual([expect.stringMatching(/^413 POST .*upload/)]);
  } finally {
    await gateway.stop();
  }
});

test('an upload that times out at the gateway is waited for, and not sent again', async () => {
  await seedPlain(server, 'plain', 300, { dimensions: 64 });
  const before = await contentOf(server, 'plain');
  const { archive } = await exportAll(openStore(server, { method: 'snapshot' }), legContext());
  await ask(server, 'POST', '/collections/plain/points/delete?wait=true', { points: [3] });
  const gateway = await startGateway(server, {
    givesUp: (verb, path) => verb === 'POST' && path.includes('/snapshots/upload'),
  });
  try {
    const { verified } = await restoreAll(
      openStore({ url: gateway.url, apiKey: server.apiKey }, {}),
      archive,
    );
    expect(differencesOf(verified).samples).toEqual([]);
    expect(await contentOf(server, 'plain')).toBe(before);
    expect(gateway.seen.filter((call) => call.startsWith('504') && !call.includes('expect'))).toHaveLength(1);
    expect(await server.strayFiles()).toEqual([]);
  } finally {
    await gateway.stop();
  }
});

test('a collection that hides points until they are optimized is waited for', async () => {
  await seedPlain(server, 'plain', 30);
  let looks = 0;
  // Qdrant 1.17 added the setting; the server here is older, so its responses are mocked.
  const interceptor = await startInterceptor(
    server,
    async () => undefined,
    (method, path, answer) => {
      if (method !== 'GET' || path !== '/collections/plain') return answer;
      const optimizing = answer.replace(
        '"optimizer_config":{',
        '"optimizer_config":{"prevent_unoptimized":true,',
      );
      return looks++ < 3 ? optimizing.replace('"status":"green"', '"status":"yellow"') : optimizing;
    },
  );
  try {
    const store = openStore({ url: interceptor.url, apiKey: server.apiKey }, { method: 'points' });
    const { tallies } = await exportAll(store, legContext());
    expect(looks).toBeGreaterThan(3);
    expect(tallies['points:plain']?.count).toBe(30);
    looks = 0;
    const impatient = exportAll(store, legContext(0));
    await expect(impatient).rejects.toMatchObject({ name: 'UnavailableError', retryable: true });
  } finally {
    await interceptor.stop();
  }
});

test('settings that change while points are saved fail the backup by name', async () => {
  await seedPlain(server, 'plain', 1500, { dimensions: 16 });
  const store = openStore(server, { method: 'points' }, SMALL);
  let legs = 0;
  const changed = exportAll(store, legContext(), {
    stepsPerLeg: 1,
    betweenLegs: async () => {
      if (legs++ > 0) return;
      await ask(server, 'DELETE', '/collections/plain');
      await seedPlain(server, 'plain', 1500, { dimensions: 8 });
    },
  });
  await expect(changed).rejects.toThrow('"plain" was recreated');
});

test('a snapshot that takes longer than any step is refused by the plan, with the remedy', async () => {
  const view = { params: { vectors: { size: 1536, distance: 'Cosine' } }, optimizer_config: {} };
  const facts = (count: number, scope: object) => ({
    view: { ...view, ...scope },
    bytes: snapshotBytes(view, count),
    peers: 1,
  });
  const scope = (method: 'auto' | 'snapshot' | 'points') => ({ method });
  expect(() => chooseMethod(scope('snapshot'), 'big', facts(10_000_000, {}))).toThrow('14 minutes');
  expect(chooseMethod(scope('auto'), 'big', facts(10_000_000, {})).method).toBe('points');
  expect(chooseMethod(scope('snapshot'), 'big', facts(1_000_000, {})).method).toBe('snapshot');
  const custom = { params: { ...view.params, sharding_method: 'custom' } };
  expect(() => chooseMethod(scope('auto'), 'big', facts(10_000_000, custom))).toThrow('14 minutes');
  // A data type of a later version: whether its points can be restored exactly is unknown.
  const lossy = { params: { vectors: { size: 4, distance: 'Dot', datatype: 'turbo4' } } };
  expect(() => chooseMethod(scope('points'), 'new', facts(10, lossy))).toThrow('"turbo4"');
  expect(chooseMethod(scope('auto'), 'new', facts(10, lossy)).method).toBe('snapshot');
});

test('vectors of cosine distance that were not of unit length are compared by direction', async () => {
  const point = (vector: string) => parsePointLine(`{"id":1,"payload":{},"vector":${vector}}`);
  const cosine = { half: new Set<string>(), cosine: new Set(['']) };
  expect(samePoint(point('[3.0,4.0]'), point('[0.6,0.8]'), cosine)).toBe(true);
  expect(samePoint(point('[3.0,4.0]'), point('[0.8,0.6]'), cosine)).toBe(false);
  // With unit length, every digit matters.
  expect(samePoint(point('[0.6,0.8]'), point('[0.6,0.8000001]'), cosine)).toBe(false);
  expect(samePoint(point('[3.0,4.0]'), point('[3.0,4.1]'), cosine)).toBe(false);
  expect(await result(server, 'GET', '/collections')).toEqual({ collections: [] });
});
