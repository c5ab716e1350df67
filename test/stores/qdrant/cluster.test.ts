import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { freePorts } from '../../../local/ports.ts';
import { OwnServer, startInterceptor } from './own-server.ts';
import {
  ask,
  closeStores,
  differencesOf,
  exportAll,
  legContext,
  openStore,
  restoreAll,
  result,
  seedPlain,
} from './support.ts';

let servers: OwnServer[] = [];

beforeAll(async () => {
  const [one = 0, two = 0] = await freePorts(2);
  const uri = (port: number) => `http://127.0.0.1:${port}`;
  const clustered = (port: number) => ({
    QDRANT__CLUSTER__ENABLED: 'true',
    QDRANT__CLUSTER__P2P__PORT: String(port),
  });
  const first = await OwnServer.start(clustered(one), ['--uri', uri(one)]);
  servers = [first];
  servers.push(await OwnServer.start(clustered(two), ['--uri', uri(two), '--bootstrap', uri(one)]));
});
afterEach(closeStores);
afterAll(async () => {
  for (const server of servers) await server.stop();
});

test('a collection on two servers is saved and restored completely, as points, and snapshots are refused', async () => {
  const [first, second] = servers;
  if (!first || !second) throw new Error('The cluster does not start.');
  await ask(first, 'PUT', '/collections/spread', { vectors: { size: 8, distance: 'Dot' }, shard_number: 4 });
  await seedPlain(first, 'spread', 500, { create: false });
  const { local_shards } = await result<{ local_shards: unknown[] }>(
    first,
    'GET',
    '/collections/spread/cluster',
  );
  expect(local_shards.length).toBeGreaterThan(0);
  expect(local_shards.length).toBeLessThan(4);

  const { archive, tallies } = await exportAll(openStore(first, {}), legContext());
  expect(tallies['points:spread']?.count).toBe(500);
  expect(JSON.parse(archive.text('vectors/spread.config.json'))).toMatchObject({
    method: 'points',
    reason: expect.stringContaining('2 servers'),
  });
  const forced = exportAll(openStore(first, { method: 'snapshot' }), legContext());
  await expect(forced).rejects.toThrow('contains the shards of one');

  await ask(first, 'DELETE', '/collections/spread');
  const { verified } = await restoreAll(openStore(second, {}), archive);
  expect(differencesOf(verified)).toEqual({ differences: 0, samples: [], tallies });

  // No snapshot can replace a collection that is distributed over several servers.
  await ask(first, 'POST', '/collections/spread/points/delete?wait=true', { points: [1, 2, 3] });
  const again = await restoreAll(openStore(second, {}), archive);
  expect(differencesOf(again.verified)).toEqual({ differences: 0, samples: [], tallies });
  for (const server of servers) expect(await server.strayFiles()).toEqual([]);
});

test('a collection with replicas is read with majority consistency, and written in one order', async () => {
  const [first, second] = servers;
  if (!first || !second) throw new Error('The cluster does not start.');
  const replicated = { vectors: { size: 8, distance: 'Dot' }, shard_number: 2, replication_factor: 2 };
  await ask(first, 'PUT', '/collections/twice', replicated);
  await seedPlain(first, 'twice', 300, { create: false });
  const calls: string[] = [];
  const interceptor = await startInterceptor(first, async (method, path) => {
    calls.push(`${method} ${path}`);
  });
  try {
    const scope = { collections: ['twice'] };
    const seen = { url: interceptor.url, apiKey: first.apiKey };
    const { archive, tallies } = await exportAll(openStore(seen, scope), legContext());
    await ask(first, 'POST', '/collections/twice/points/delete?wait=true', { points: [1, 2, 3] });
    const { verified } = await restoreAll(openStore(seen, scope), archive);
    expect(differencesOf(verified)).toEqual({ differences: 0, samples: [], tallies });
    // The other server has the same data at once.
    const other = await exportAll(openStore(second, scope), legContext());
    expect(other.tallies).toEqual(tallies);
    const reads = calls.filter((call) => /^POST .*twice\/points\/scroll/.test(call));
    const writes = calls.filter((call) => /^PUT .*twice\/points\?/.test(call));
    expect(reads.length).toBeGreaterThan(2);
    expect(writes.length).toBeGreaterThan(0);
    expect(reads.filter((call) => !call.includes('consistency=majority'))).toEqual([]);
    expect(writes.filter((call) => !call.includes('ordering=strong') || !call.includes('wait=true'))).toEqual(
      [],
    );
  } finally {
    await interceptor.stop();
  }
});
