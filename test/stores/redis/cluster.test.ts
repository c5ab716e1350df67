import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Cluster, Redis } from 'ioredis';
import { LIMITS } from '../../../shared/stores/redis/keys.ts';
import { until } from '../../support/until.ts';
import { OwnServer } from './own-server.ts';
import { closeStores, exportAll, legContext, openStore, REPLACE, restoreAll } from './support.ts';

const SLOTS = 16_384;
const servers: OwnServer[] = [];
let cluster: Cluster;

/** Three masters with a third of the hash slots each. */
beforeAll(async () => {
  for (let number = 0; number < 3; number++) {
    // The bus uses another port, below the range of outgoing connections as well.
    servers.push(
      await OwnServer.start(async (port) => [
        '--cluster-enabled',
        'yes',
        '--cluster-port',
        String(port - 9_000),
        '--cluster-node-timeout',
        '2000',
      ]),
    );
  }
  for (const [index, server] of servers.entries()) {
    const node = new Redis(server.url, { protocol: 2 });
    const first = Math.ceil((index * SLOTS) / 3);
    const last = Math.ceil(((index + 1) * SLOTS) / 3) - 1;
    await node.call('CLUSTER', 'ADDSLOTSRANGE', first, last);
    for (const other of servers) {
      if (other !== server) await node.call('CLUSTER', 'MEET', '127.0.0.1', other.port, other.port - 9_000);
    }
    await node.quit();
  }
  await until('every node knows the cluster', async () => {
    const states: boolean[] = [];
    for (const server of servers) {
      const node = new Redis(server.url, { protocol: 2 });
      states.push(String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
      await node.quit();
    }
    return states.every(Boolean);
  });
  cluster = new Cluster([{ host: '127.0.0.1', port: servers[0]?.port ?? 0 }], {
    redisOptions: { protocol: 2 },
  });
});
afterEach(async () => {
  await closeStores();
});
afterAll(async () => {
  cluster?.disconnect();
  for (const server of servers) await server.stop();
});

const open = () =>
  openStore(
    { prefix: 'app:', separator: ':' },
    { ...LIMITS, keys: 200, entryBytes: 16_384 },
    servers[0]?.url ?? '',
    { cluster: true },
  );

test('a cluster of three masters: every key of every slot and type is restored, and nothing else is touched', async () => {
  for (let number = 0; number < 900; number++) {
    await cluster.set(`app:docs:${number}`, JSON.stringify({ number }), 'PX', 3_600_000 + number);
  }
  for (let number = 0; number < 30; number++) {
    await cluster.sadd(`app:sets:{tag${number}}x`, 'a', 'b');
    await cluster.set(`app:odd:}${number}{`, 'no json');
    await cluster.set(`other:${number}`, '1');
  }
  const items = Array.from({ length: 1500 }, (_, index) => `item ${index}`);
  for (const name of ['one', 'two', '}three{', '{}four']) await cluster.rpush(`app:lists:${name}`, ...items);
  await cluster.xadd('app:streams:1', '1-1', 'a', 'b');

  const probe = await open().probe(legContext());
  expect(probe.counts).toEqual({
    'keys:docs': 900,
    'keys:sets': 30,
    'keys:odd': 30,
    'keys:lists': 4,
    'keys:streams': 1,
  });
  const { archive, tallies } = await exportAll(open, 2);
  expect(tallies['keys:docs']?.count).toBe(900);
  await cluster.del('app:docs:1');
  await cluster.set('app:docs:extra', '1');
  const { loaded, verified } = await restoreAll(open(), archive);
  expect(verified).toMatchObject({ differences: 0, samples: [], tallies });
  expect(loaded).toEqual(tallies);
  expect(await cluster.lrange('app:lists:}three{', 0, -1)).toEqual(items);
  expect(await cluster.exists('app:docs:extra')).toBe(0);
  expect(await cluster.get('other:7')).toBe('1');
  expect((await open().probe(legContext())).fence).toEqual(probe.fence);
});

test('the address of a cluster configured as a single server is an error, not a partial backup', async () => {
  const single = openStore({ prefix: 'app:', separator: ':' }, undefined, servers[0]?.url ?? '');
  await expect(single.probe(legContext())).rejects.toThrow(/is a node of a cluster/);
  await expect(
    single.load({
      archive: (await exportAll(open)).archive,
      options: REPLACE,
      cursor: null,
      context: legContext(),
    }),
  ).rejects.toThrow(/cluster/);
});

test('a cluster is found by an IPv6 address', async () => {
  const node = await OwnServer.start(async (port) => [
    ...['--bind', '::1', '127.0.0.1', '--cluster-enabled', 'yes', '--cluster-port', String(port - 9_000)],
    // A node that has not met another one does not know its address.
    ...['--cluster-announce-ip', '::1'],
  ]);
  try {
    const direct = new Redis({ host: '::1', port: node.port, protocol: 2 });
    await direct.call('CLUSTER', 'ADDSLOTSRANGE', 0, SLOTS - 1);
    await until('the node is a cluster', async () =>
      String(await direct.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
    );
    await direct.rpush('app:l:1', ...Array.from({ length: 900 }, (_, index) => `item ${index}`));
    await direct.quit();
    const store = () =>
      openStore({ prefix: 'app:' }, undefined, `redis://[::1]:${node.port}`, { cluster: true });
    const { archive, tallies } = await exportAll(store);
    expect((await restoreAll(store(), archive)).verified).toMatchObject({ differences: 0, tallies });
    expect(Object.values(tallies).map(({ count }) => count)).toEqual([1]);
  } finally {
    await closeStores();
    await node.stop();
  }
});
