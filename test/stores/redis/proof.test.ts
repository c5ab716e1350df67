import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import type { StoreProof } from '../../../shared/stores/proof.ts';
import { proofOf } from '../../../shared/stores/redis/proof.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { until } from '../../support/until.ts';
import { OwnServer } from './own-server.ts';
import { closeStores, exportAll, legContext, openStore } from './support.ts';

/** What proves that keys did not change, on a server that a test may configure, restart and make a replica. */

const SCOPE = { prefix: 'app:', separator: ':' };
let server: OwnServer;
let redis: Redis;

beforeAll(async () => {
  server = await OwnServer.start();
});
beforeEach(async () => {
  redis = new Redis(server.url, { maxRetriesPerRequest: 5 });
  await redis.flushall();
  await redis.set('app:docs:1', 'one');
  await redis.hset('app:docs:h', { a: '1', b: '2' });
  await redis.rpush('app:docs:l', 'x', 'y');
  await redis.xadd('app:docs:x', '1-1', 'f', 'v');
  await redis.xgroup('CREATE', 'app:docs:x', 'group', '0');
  await redis.pfadd('app:docs:pf', 'a');
  await redis.pfadd('app:docs:pf', 'b');
});
afterEach(async () => {
  redis.disconnect();
  await closeStores();
});
afterAll(() => server.stop());

function open(url = server.url, extra: object = {}): Store {
  return openStore(SCOPE, undefined, url, extra);
}
const prove = async (store: Store = open()): Promise<StoreProof> => {
  const proof = await store.prove?.(legContext());
  if (!proof) throw new Error('no proof');
  return proof;
};

describe('the proof that keys did not change', () => {
  test('is the same after everything that a backup reads, and after reads of other clients', async () => {
    const before = await prove();
    expect(before.values).toBeDefined();
    await open().probe(legContext());
    await exportAll(() => open());
    await redis.multi().get('app:docs:1').hgetall('app:docs:h').exec();
    await redis.xrange('app:docs:x', '-', '+');
    await redis.eval("return redis.call('get', KEYS[1])", 1, 'app:docs:1');
    await redis.publish('channel', 'message');
    await redis.config('GET', 'maxmemory');
    expect(await prove()).toEqual(before);
  });

  test.each<[string, (redis: Redis) => Promise<unknown>]>([
    ['SET to the same value', (client) => client.set('app:docs:1', 'one')],
    ['HSET', (client) => client.hset('app:docs:h', 'a', '3')],
    ['RPOPLPUSH', (client) => client.rpoplpush('app:docs:l', 'app:docs:l')],
    [
      'XREADGROUP, which changes pending entries',
      (client) => client.xreadgroup('GROUP', 'group', 'me', 'STREAMS', 'app:docs:x', '>'),
    ],
    ['PFCOUNT, which changes the cached count', (client) => client.pfcount('app:docs:pf')],
    ['EVAL', (client) => client.eval("return redis.call('set', KEYS[1], 'two')", 1, 'app:docs:1')],
    ['MULTI', (client) => client.multi().set('app:docs:1', 'two').exec()],
    [
      'a function',
      async (client) => {
        await client.call(
          'FUNCTION',
          'LOAD',
          'REPLACE',
          "#!lua name=lib\nredis.register_function('f', function(keys) return redis.call('set', keys[1], 'two') end)",
        );
        return client.call('FCALL', 'f', 1, 'app:docs:1');
      },
    ],
    ['DEL', (client) => client.del('app:docs:1')],
    ['FLUSHDB', (client) => client.flushdb()],
    ['SWAPDB', (client) => client.swapdb(0, 1)],
    ['MOVE', (client) => client.move('app:docs:1', 1)],
    ['RENAME', (client) => client.rename('app:docs:1', 'app:docs:2')],
    [
      'a write to another database',
      async (client) => {
        await client.select(1);
        return client.set('other', '1');
      },
    ],
  ])('differs after %s', async (_what, change) => {
    const before = await prove();
    expect(before.values).toBeDefined();
    await change(redis);
    const after = await prove();
    expect(after.values).toBeDefined();
    expect(after).not.toEqual(before);
  });

  test('differs after a change and a save within one second, although the counter of changes is the same', async () => {
    // In one second by the clock of the server: otherwise again.
    await until('both saves are in one second', async () => {
      await redis.save();
      const before = await prove();
      await redis.set('app:docs:1', `changed ${Date.now()}`);
      await redis.save();
      const after = await prove();
      expect(after).not.toEqual(before);
      const saves = (proof: StoreProof) => proof.values?.changes?.replace(/save \d*@/, 'save @');
      return saves(after) === saves(before);
    });
  });

  test('is refused after the counters were reset, also if they have the same values again', async () => {
    const before = await prove();
    await redis.config('RESETSTAT');
    expect((await prove()).reason).toContain('CONFIG RESETSTAT');
    expect(before.values).toBeDefined();
    await server.kill();
    await server.run();
    expect((await prove()).values).toBeDefined();
  });

  test('differs after a restart, although the same commands were called since', async () => {
    redis.disconnect();
    const writes = async (value: string) => {
      await server.kill();
      await server.run();
      const client = new Redis(server.url);
      await client.set('app:docs:1', value);
      client.disconnect();
      return prove();
    };
    const before = await writes('one');
    const after = await writes('two');
    // A server without saves counts changes since its start, whose second may differ.
    const restarted = { server: '', replication: '', changes: '' };
    expect({ ...after.values, ...restarted }).toEqual({ ...before.values, ...restarted });
    const count = (proof: StoreProof) => proof.values?.changes?.replace(/@\d+$/, '');
    expect(count(after)).toBe(count(before));
    expect(after.values?.server).not.toBe(before.values?.server);
  });

  test('is refused while keys of the database expire, also before the server has removed them', async () => {
    await redis.set('app:docs:1', 'one', 'PX', 60_000);
    expect((await prove()).reason).toContain('expire');
    expect((await prove(open(server.url, { db: 1 }))).values).toBeDefined();
    await redis.persist('app:docs:1');
    expect((await prove()).values).toBeDefined();
  });

  test('differs behind the same address if the server was a replica in between, and is refused while it is one', async () => {
    const other = await OwnServer.start();
    try {
      const before = await prove();
      await redis.replicaof('127.0.0.1', other.port);
      await until('the server is a replica', async () =>
        (await redis.info('replication')).includes('master_link_status:up'),
      );
      const replica = proofOf(await redis.info('everything'), 0);
      expect(replica.reason).toContain('replica');
      await redis.replicaof('NO', 'ONE');
      expect(await redis.get('app:docs:1')).toBeNull();
      expect(await prove()).not.toEqual(before);
      // Another server with the same history of commands.
      expect((await prove(open(other.url))).values?.server).not.toBe(before.values?.server);
    } finally {
      await other.stop();
    }
  });

  test.each<[string, RegExp, string, string]>([
    ['a server before 7.0', /^redis_version:.*$/m, 'redis_version:6.2.14', 'before Redis 7'],
    ['a cluster', /^cluster_enabled:0/m, 'cluster_enabled:1', 'slots'],
    ['another implementation', /^redis_version:/m, 'server_name:other\r\nredis_version:', 'is not known'],
    ['a server that loads its data', /^loading:0/m, 'loading:1', 'loading'],
    ['a server with modules', /^# Keyspace/m, 'module:name=search\r\n# Keyspace', 'modules'],
    ['fields of hashes that expire', /avg_ttl=0/, 'avg_ttl=0,subexpiry=1', 'expire'],
    ['a server that does not count', /^cmdstat_info:.*$/m, '', 'calls of info'],
  ])('is refused by %s', async (_what, found, instead, reason) => {
    // The replies of other servers, made from the reply of this one.
    const reply = await redis.info('everything');
    expect(proofOf(reply, 0).values).toBeDefined();
    expect(reply).toMatch(found);
    expect(proofOf(reply.replace(found, instead), 0).reason).toContain(reason);
  });
});
