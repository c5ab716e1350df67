import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { StoreProof } from '../../../shared/stores/proof.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { OwnServer, startInterceptor } from './own-server.ts';
import { ask, closeStores, contentOf, exportAll, freshName, legContext, openStore } from './support.ts';

/** What proves that collections did not change, on a server that a test may restart. */

let server: OwnServer;

beforeAll(async () => {
  server = await OwnServer.start();
});
afterEach(closeStores);
afterAll(() => server.stop());

const SETTINGS = {
  vectors: { size: 4, distance: 'Dot' },
  optimizers_config: { default_segment_number: 2 },
  shard_number: 2,
};

async function seed(): Promise<string> {
  const name = freshName('proof').replaceAll(' ', '-');
  await ask(server, 'PUT', `/collections/${name}`, SETTINGS);
  const points = Array.from({ length: 200 }, (_, n) => ({
    id: n,
    vector: [n, 1, 2, 3],
    payload: { n, a: 'b' },
  }));
  await ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
  return name;
}

const prove = async (store: Store): Promise<StoreProof> => {
  const proof = await store.prove?.(legContext());
  if (!proof) throw new Error('no proof');
  return proof;
};
/** The values of the proof, once the server has nothing to optimize. */
async function valuesOf(store: Store): Promise<Readonly<Record<string, string>>> {
  for (let tries = 0; ; tries++) {
    const { values, reason } = await prove(store);
    if (values) return values;
    if (!/optimized|are changing|written to/.test(reason) || tries === 600) throw new Error(reason);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const open = (name: string, url = server.url) =>
  openStore({ url, apiKey: server.apiKey }, { collections: [name] });

test('the proof is the same after everything that a backup reads, and differs after every change', async () => {
  const name = await seed();
  const path = `/collections/${name}`;
  const store = open(name);
  let before = await valuesOf(store);
  const content = await contentOf(server, name);
  await store.probe(legContext());
  const { archive } = await exportAll(store, legContext());
  expect([...archive.files.keys()].some((entry) => entry.endsWith('.snapshot'))).toBe(true);
  await ask(server, 'POST', `${path}/points/search`, { vector: [1, 1, 1, 1], limit: 3 });
  expect(await valuesOf(store)).toEqual(before);
  // Waiting for operations changes nothing.
  expect(await contentOf(server, name)).toBe(content);

  const changes: Record<string, () => Promise<unknown>> = {
    'equal content': () =>
      ask(server, 'PUT', `${path}/points?wait=true`, {
        points: [{ id: 1, vector: [1, 1, 2, 3], payload: { n: 1, a: 'b' } }],
      }),
    'a vector': () =>
      ask(server, 'PUT', `${path}/points/vectors?wait=true`, { points: [{ id: 2, vector: [9, 9, 9, 9] }] }),
    'a payload': () =>
      ask(server, 'POST', `${path}/points/payload?wait=true`, { payload: { a: 'c' }, points: [3] }),
    'a key of a payload': () =>
      ask(server, 'POST', `${path}/points/payload/delete?wait=true`, { keys: ['a'], points: [4] }),
    'a deletion': () => ask(server, 'POST', `${path}/points/delete?wait=true`, { points: [5] }),
    'the point again': () =>
      ask(server, 'PUT', `${path}/points?wait=true`, {
        points: [{ id: 5, vector: [5, 1, 2, 3], payload: { n: 5, a: 'b' } }],
      }),
    'a request that is not waited for': () =>
      ask(server, 'PUT', `${path}/points?wait=false`, { points: [{ id: 6, vector: [6, 6, 6, 6] }] }),
    'a payload index': () =>
      ask(server, 'PUT', `${path}/index?wait=true`, { field_name: 'n', field_schema: 'integer' }),
    'a setting': () => ask(server, 'PATCH', path, { hnsw_config: { m: 24 } }),
    'an alias': () =>
      ask(server, 'POST', '/collections/aliases', {
        actions: [{ create_alias: { collection_name: name, alias_name: `${name}-alias` } }],
      }),
    'a restart': async () => {
      await server.kill();
      await server.up();
    },
    'a new collection of the same name': async () => {
      await ask(server, 'DELETE', path);
      await ask(server, 'PUT', path, SETTINGS);
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    await change();
    const after = await valuesOf(store);
    expect({ what, isSame: JSON.stringify(after) === JSON.stringify(before) }).toEqual({
      what,
      isSame: false,
    });
    before = after;
  }
});

test('a request that is refused in the middle changes nothing, or the proof', async () => {
  const name = await seed();
  const store = open(name);
  let before = { values: await valuesOf(store), content: await contentOf(server, name) };
  const changed: boolean[] = [];
  // Points of one shard, and of both: each shard refuses its part by itself.
  for (const ids of [
    [7, 8],
    [20, 21, 22, 23, 24, 25, 26, 27],
    [40, 41, 42, 43, 44, 45, 46, 47],
  ]) {
    const points = ids.map((id, at) => ({ id, vector: at === ids.length - 1 ? [8] : [id, 7, 7, 7] }));
    const refused = ask(server, 'PUT', `/collections/${name}/points?wait=true`, { points });
    await expect(refused).rejects.toThrow(/dimension/);
    const after = { values: await valuesOf(store), content: await contentOf(server, name) };
    changed.push(after.content !== before.content);
    if (after.content !== before.content) expect(after.values).not.toEqual(before.values);
    before = after;
  }
  expect(changed).toContain(true);
});

test('the proof differs if a snapshot was loaded and then as much was written as before, with other content', async () => {
  const name = await seed();
  const path = `/collections/${name}`;
  const store = open(name);
  await valuesOf(store);
  const { name: snapshot } = JSON.parse(await ask(server, 'POST', `${path}/snapshots?wait=true`)).result;
  const put = (value: number) =>
    ask(server, 'PUT', `${path}/points?wait=true`, { points: [{ id: 9, vector: [value, 0, 0, 0] }] });
  const manifests = async () => {
    const segments: unknown[] = [];
    for (const shard of [0, 1]) {
      const text = await ask(server, 'GET', `${path}/shards/${shard}/snapshot/partial/manifest`);
      segments.push(
        Object.values(
          JSON.parse(text).result as Record<string, { segment_id: string; segment_version: number }>,
        )
          .map(({ segment_id, segment_version }) => `${segment_id} ${segment_version}`)
          .sort(),
      );
    }
    return segments;
  };
  await put(1);
  const before = await valuesOf(store);
  const segments = await manifests();
  const file = await (
    await fetch(`${server.url}${path}/snapshots/${snapshot}`, { headers: { 'api-key': server.apiKey } })
  ).blob();
  const form = new FormData();
  form.append('snapshot', file, 'old.snapshot');
  const loaded = await fetch(`${server.url}${path}/snapshots/upload?priority=snapshot&wait=true`, {
    method: 'POST',
    headers: { 'api-key': server.apiKey },
    body: form,
  });
  expect(loaded.ok).toBe(true);
  await put(2);
  // As many operations as there were by the test itself and by the proof.
  await prove(store);
  expect(await manifests()).toEqual(segments);
  expect(await valuesOf(store)).not.toEqual(before);
});

test('there is no proof while an accepted operation is carried out, which the segments already show', async () => {
  const name = await seed();
  const path = `/collections/${name}`;
  const points = Array.from({ length: 20_000 }, (_, n) => ({
    id: n,
    vector: [n, 7, 7, 7],
    payload: { n, a: 'z' },
  }));
  const store = open(name);
  for (let round = 0; round < 3; round++) {
    const writing = ask(server, 'PUT', `${path}/points?wait=false`, { points });
    const during = await prove(store);
    const seen = during.values && (await contentOf(server, name));
    await writing;
    // Whatever the proof says, it is about all points: equal values have equal content.
    const after = await valuesOf(store);
    if (during.values && JSON.stringify(during.values) === JSON.stringify(after)) {
      expect(await contentOf(server, name)).toBe(seen);
    }
  }
});

test('there is no proof on other versions, in clusters, and for keys that may not write', async () => {
  const name = await seed();
  const reasons: Record<string, string | undefined> = {};
  const through = async (
    what: string,
    wanted: string,
    rewrite: (answer: string) => string,
    status?: number,
  ) => {
    const proxy = await startInterceptor(
      server,
      async () => undefined,
      (_method, path, answer) => (path.split('?')[0] === wanted ? rewrite(answer) : answer),
      status,
    );
    try {
      reasons[what] = (await prove(open(name, proxy.url))).reason;
    } finally {
      await proxy.stop();
    }
  };
  await through('version', '/', (answer) => answer.replace(/"version":"[^"]+"/, '"version":"1.17.0"'));
  await through('cluster', '/cluster', (answer) => answer.replace('"disabled"', '"enabled"'));
  await through('key', `/collections/${name}/points/delete`, () => '{"status":{"error":"forbidden"}}', 403);
  await through('telemetry', '/telemetry', () => '{"result":{},"status":"ok"}');
  expect(reasons).toEqual({
    version: expect.stringMatching(/1\.17\.0 is not known/),
    cluster: expect.stringMatching(/shards of a cluster can move/),
    key: expect.stringMatching(/cannot be read/),
    telemetry: expect.stringMatching(/does not report/),
  });
});
