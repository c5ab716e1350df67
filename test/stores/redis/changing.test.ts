import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { LIMITS } from '../../../shared/stores/redis/keys.ts';
import { CHANGING_LIMITS } from '../../../shared/stores/redis/large.ts';
import { checkSealed } from '../checked.ts';
import { MemoryArchive } from '../memory-archive.ts';
import { contentOf } from './content.ts';
import { HookProxy } from './hook-proxy.ts';
import { OwnServer } from './own-server.ts';
import { closeStores, exportAll, legContext, openStore, restoreAll } from './support.ts';

const SCOPE = { prefix: 'app:', separator: ':' };
/** Entries are small, so that parts of a key are in the archive before a change is detected. */
const SMALL_ENTRIES = { ...LIMITS, entryBytes: 16_384 };
/** No key is read with one command. */
const NO_REPLY = { ...CHANGING_LIMITS, replyBytes: 0, pausesMs: [1, 2, 3] };
const MIB = 1024 ** 2;

let server: OwnServer;
let redis: Redis;
let proxy: HookProxy;
let url: string;

beforeAll(async () => {
  server = await OwnServer.start();
  redis = new Redis(server.url, { protocol: 2 });
  proxy = new HookProxy(server.port);
  url = await proxy.listen();
});
beforeEach(async () => {
  await redis.flushall();
});
afterEach(async () => {
  proxy.reset();
  await closeStores();
});
afterAll(async () => {
  redis.disconnect();
  await proxy.close();
  await server.stop();
});

const open = (limits = SMALL_ENTRIES) => openStore(SCOPE, limits, url);

/** Exports through the proxy, restores into the emptied server, verifies, and returns the contents. */
async function roundTrip(limits = SMALL_ENTRIES, steps?: number): Promise<Record<string, unknown>> {
  const { archive, tallies } = await exportAll(() => open(limits), steps);
  proxy.reset();
  // A restarted read leaves lines in the archive that belong to no key.
  const sealed = { store: 'kv', kind: 'redis', tallies, scope: SCOPE } as const;
  expect(await checkSealed(archive, sealed)).toMatchObject({ problems: [], warnings: [] });
  await redis.flushall();
  const { verified } = await restoreAll(openStore(SCOPE, SMALL_ENTRIES, server.url), archive);
  expect(verified).toMatchObject({ differences: 0, samples: [], tallies });
  return contentOf(redis, 'app:');
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => `item ${index}`);

describe('a large key that changes while it is read is restored in its state at one instant', () => {
  test.each([
    ['once', (count: number) => count === 2],
    ['all the time', () => true],
  ])('a string that is overwritten with one of equal length, %s', async (_, isTime) => {
    const letters = ['a', 'b', 'c', 'd'];
    await redis.set('app:s:big', 'a'.repeat(9 * MIB));
    proxy.before('GETRANGE', (count) =>
      isTime(count) ? redis.set('app:s:big', (letters[count % 4] ?? '').repeat(9 * MIB)) : undefined,
    );
    await roundTrip();
    const value = (await redis.get('app:s:big')) ?? '';
    expect(value).toHaveLength(9 * MIB);
    expect(new Set(value).size).toBe(1);
  });

  test.each([
    ['from its tail to its head', 'RPOP', 'LPUSH'],
    ['from its head to its tail', 'LPOP', 'RPUSH'],
  ] as const)('a list that is rotated %s', async (_, take, put) => {
    await redis.rpush('app:l:queue', ...numbers(5_000));
    proxy.before('LRANGE', async () => {
      for (let turn = 0; turn < 50; turn++) {
        const item = await redis.call(take, 'app:l:queue');
        await redis.call(put, 'app:l:queue', String(item));
      }
    });
    await roundTrip();
    const items = await redis.lrange('app:l:queue', 0, -1);
    expect(items).toHaveLength(5_000);
    expect(new Set(items).size).toBe(5_000);
  });

  test('a hash, a set and a sorted set whose elements change in pairs', async () => {
    const names = numbers(3_000);
    await redis.hset('app:h:pairs', ...names.flatMap((name) => [name, 'round 0']));
    await redis.sadd('app:m:pairs', ...names);
    await redis.zadd('app:z:pairs', ...names.flatMap((name) => ['0', name]));
    const rounds = { HSCAN: 0, SSCAN: 0, ZSCAN: 0 };
    proxy.before('HSCAN', (count) => {
      rounds.HSCAN = count;
      return redis.hset('app:h:pairs', ...names.flatMap((name) => [name, `round ${count}`]));
    });
    proxy.before('SSCAN', async (count) => {
      rounds.SSCAN = count;
      const [from, to] = count % 2 === 1 ? ['item 7', 'other'] : ['other', 'item 7'];
      await redis.multi().srem('app:m:pairs', from).sadd('app:m:pairs', to).exec();
    });
    proxy.before('ZSCAN', (count) => {
      rounds.ZSCAN = count;
      return redis.zadd('app:z:pairs', ...names.flatMap((name) => [String(count), name]));
    });
    await roundTrip();
    expect(Math.min(...Object.values(rounds))).toBeGreaterThan(1);
    expect(new Set(await redis.hvals('app:h:pairs')).size).toBe(1);
    const members = await redis.smembers('app:m:pairs');
    expect(members).toHaveLength(3_000);
    expect(members.includes('item 7')).not.toBe(members.includes('other'));
    const scores = (await redis.zrange('app:z:pairs', 0, '-1', 'WITHSCORES')).filter((_, at) => at % 2 === 1);
    expect(new Set(scores).size).toBe(1);
  });

  test('a key that gets an expiry', async () => {
    await redis.rpush('app:l:queue', ...numbers(3_000));
    const expiry = Date.now() + 3_600_000;
    proxy.before('LRANGE', (count) => (count === 2 ? redis.pexpireat('app:l:queue', expiry) : undefined));
    await roundTrip();
    expect(await redis.call('PEXPIRETIME', 'app:l:queue')).toBe(expiry);
  });

  test('a key that is recreated with equal length between two legs', async () => {
    await redis.rpush('app:l:queue', ...numbers(3_000));
    await redis.set('app:z:last', '1');
    let legs = 0;
    const { archive } = await exportAll(() => {
      legs++;
      return open();
    }, 1);
    const quiet = legs;
    expect(quiet).toBeGreaterThan(2);
    legs = 0;
    const changed = new MemoryArchive();
    let cursor = null;
    do {
      let next = null;
      const store = open();
      for await (const step of store.export(
        { id: 'keys', params: {}, estimatedBytes: 0 },
        cursor,
        legContext(),
      )) {
        for (const piece of [step.piece, ...(step.companions ?? [])]) await changed.add(piece);
        next = step.next;
        if (next !== null) break;
      }
      cursor = next;
      await store.close();
      if (++legs === 1) {
        await redis.unlink('app:l:queue');
        await redis.rpush('app:l:queue', ...numbers(3_000).reverse());
      }
    } while (cursor !== null);
    for (const [taken, first] of [
      [archive, 'item 0'],
      [changed, 'item 2999'],
    ] as const) {
      await redis.flushall();
      expect((await restoreAll(open(), taken)).verified.differences).toBe(0);
      const items = await redis.lrange('app:l:queue', 0, -1);
      expect([items[0], new Set(items).size, items.length]).toEqual([first, 3_000, 3_000]);
    }
  });

  test('a key that is read over a connection that breaks, and changed before the next one', async () => {
    await redis.set('app:s:big', 'a'.repeat(9 * MIB));
    proxy.before('GETRANGE', async (count) => {
      if (count !== 4) return;
      await redis.set('app:s:big', 'b'.repeat(9 * MIB));
      proxy.cut();
    });
    await roundTrip();
    expect(new Set((await redis.get('app:s:big')) ?? '')).toEqual(new Set('b'));
  });

  test('fields that are overwritten together, in a hash small enough for one command', async () => {
    await redis.hset('app:h:small', 'one', '0', 'two', '0');
    proxy.before('HGETALL', (count) => redis.hset('app:h:small', { one: String(count), two: String(count) }));
    await roundTrip();
    expect(new Set(await redis.hvals('app:h:small')).size).toBe(1);
  });
});

describe('a key that changes constantly and is too large for one command', () => {
  test('ends the export with its name', async () => {
    await redis.rpush('app:l:queue', ...numbers(3_000));
    proxy.before('LRANGE', () => redis.rpoplpush('app:l:queue', 'app:l:queue'));
    const promise = exportAll(() => open({ ...SMALL_ENTRIES, changing: NO_REPLY }));
    await expect(promise).rejects.toMatchObject({
      name: 'UnavailableError',
      message: expect.stringContaining('the list "app:l:queue" changed each time that it was read'),
    });
    expect(proxy.countOf('LRANGE')).toBe(4 * 6);
  });

  test('changes the fence, so that the consistency check reports it', async () => {
    await redis.rpush('app:l:queue', ...numbers(3_000));
    proxy.before('LRANGE', () => redis.rpoplpush('app:l:queue', 'app:l:queue'));
    const store = open({ ...SMALL_ENTRIES, changing: NO_REPLY });
    const first = await store.probe(legContext());
    expect((await store.probe(legContext())).fence).not.toEqual(first.fence);
  });
});

describe('a key that disappears while it is read', () => {
  const vanishing = async (command: string, act: () => Promise<unknown>) => {
    proxy.before(command, (count) => (count === 1 ? act() : undefined));
    return roundTrip();
  };
  const plantStream = async (entries: number) => {
    await redis.set('app:a:other', '1');
    const pipeline = redis.pipeline();
    for (let number = 1; number <= entries; number++)
      pipeline.xadd('app:x:stream', `${number}-0`, 'n', number);
    pipeline.xgroup('CREATE', 'app:x:stream', 'g', '0');
    pipeline.xgroup('CREATE', 'app:x:stream', 'h', '0');
    pipeline.xreadgroup('GROUP', 'g', 'c', 'COUNT', 2, 'STREAMS', 'app:x:stream', '>');
    await pipeline.exec();
  };

  test.each([5, 2_000])('a stream of %i entries that is deleted is left out', async (entries) => {
    await plantStream(entries);
    expect(Object.keys(await vanishing('XINFO', () => redis.del('app:x:stream')))).toEqual(['a:other']);
  });

  test.each([5, 2_000])('a stream of %i entries that becomes a string is saved as that', async (entries) => {
    await plantStream(entries);
    await vanishing('XINFO', () => redis.set('app:x:stream', '{"now": "a string"}'));
    expect(await redis.get('app:x:stream')).toBe('{"now": "a string"}');
  });

  test.each([5, 2_000])(
    'a group of a stream of %i entries that is destroyed is left out',
    async (entries) => {
      await plantStream(entries);
      await vanishing('XINFO', () => redis.xgroup('DESTROY', 'app:x:stream', 'g'));
      const groups = (await redis.xinfo('GROUPS', 'app:x:stream')) as unknown[][];
      expect(groups.map(([, name]) => name)).toEqual(['h']);
      expect(await redis.xlen('app:x:stream')).toBe(entries);
    },
  );

  test('a list that is partly in the archive already is left out', async () => {
    await redis.rpush('app:l:queue', ...numbers(5_000));
    await redis.set('app:m:other', '1');
    proxy.before('LRANGE', (count) => (count === 8 ? redis.del('app:l:queue') : undefined));
    expect(Object.keys(await roundTrip())).toEqual(['m:other']);
  });

  test('a list that becomes a small set is saved as that', async () => {
    await redis.rpush('app:l:queue', ...numbers(5_000));
    proxy.before('LRANGE', (count) =>
      count === 8 ? redis.multi().del('app:l:queue').sadd('app:l:queue', 'a').exec() : undefined,
    );
    await roundTrip();
    expect(await redis.smembers('app:l:queue')).toEqual(['a']);
  });

  test('a long string that becomes a long list is saved as that', async () => {
    await redis.set('app:s:big', 'a'.repeat(9 * MIB));
    proxy.before('GETRANGE', (count) =>
      count === 2
        ? redis
            .multi()
            .del('app:s:big')
            .rpush('app:s:big', ...numbers(900))
            .exec()
        : undefined,
    );
    await roundTrip();
    expect(await redis.lrange('app:s:big', 0, -1)).toEqual(numbers(900));
  });
});

describe('a busy stream', () => {
  /** Adds an entry and delivers it, so that it is pending. */
  const produce = async () => {
    await redis.xadd('app:x:busy', '*', 'f', 'v');
    await redis.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10, 'STREAMS', 'app:x:busy', '>');
  };
  const plant = async (entries: number, pending: number) => {
    const pipeline = redis.pipeline();
    for (let number = 1; number <= entries; number++)
      pipeline.xadd('app:x:busy', `${number}-0`, 'n', 'x'.repeat(100));
    pipeline.xgroup('CREATE', 'app:x:busy', 'g', `${entries - pending}-0`);
    pipeline.xreadgroup('GROUP', 'g', 'c', 'COUNT', pending, 'STREAMS', 'app:x:busy', '>');
    await pipeline.exec();
  };
  const busy = (also: () => Promise<unknown> = async () => undefined) => {
    for (const command of ['XINFO', 'XRANGE']) {
      proxy.before(command, async () => {
        await produce();
        await also();
      });
    }
  };
  const pendingOf = async () => ((await redis.xpending('app:x:busy', 'g')) as [number])[0];

  test.each([
    ['small', 20, 20, CHANGING_LIMITS],
    ['read in one command', 3_000, 3_000, CHANGING_LIMITS],
    ['read in pages', 3_000, 20, { ...NO_REPLY, replyBytes: 100_000 }],
  ])(
    'with a consumer group, %s: entries and pending ids are from one instant',
    async (_, entries, pending, changing) => {
      await plant(entries, pending);
      busy();
      await roundTrip({ ...SMALL_ENTRIES, changing });
      const length = await redis.xlen('app:x:busy');
      expect(length).toBeGreaterThan(entries);
      expect(await pendingOf()).toBe(length - entries + pending);
    },
  );

  test('whose pending ids are too many for one command, and which eventually stops changing', async () => {
    await plant(1_000, 1_000);
    proxy.before('XPENDING', (count) => (count < 3 ? produce() : undefined));
    await roundTrip({ ...SMALL_ENTRIES, changing: { ...NO_REPLY, replyBytes: 1_000 } });
    expect(await redis.xlen('app:x:busy')).toBe(1_002);
    expect(await pendingOf()).toBe(1_002);
  });

  test('that is trimmed to a length all the time has no gap', async () => {
    await plant(3_000, 20);
    const length = 3_000;
    busy(() => redis.xtrim('app:x:busy', 'MAXLEN', length));
    await roundTrip({ ...SMALL_ENTRIES, changing: { ...CHANGING_LIMITS, pausesMs: [1, 1, 1] } });
    const ids = (await redis.xrange('app:x:busy', '-', '+')).map(([id]) => id);
    const kept = ids.filter((id) => id.endsWith('-0') && id.length < 8).map((id) => Number.parseInt(id, 10));
    expect(kept.at(-1)).toBe(3_000);
    expect(kept).toEqual(Array.from(kept, (_, index) => (kept[0] ?? 0) + index));
  });

  test('in legs of one step', async () => {
    await plant(1_500, 20);
    let turn = 0;
    proxy.before('XRANGE', () => (++turn < 40 ? produce() : undefined));
    await roundTrip(SMALL_ENTRIES, 1);
    expect(await pendingOf()).toBe((await redis.xlen('app:x:busy')) - 1_480);
  });

  test('with deleted entries that are pending: neither is saved', async () => {
    await plant(2_000, 20);
    proxy.before('XRANGE', (count) =>
      count === 1 ? redis.xdel('app:x:busy', '1999-0', '1998-0') : undefined,
    );
    await roundTrip();
    expect(await redis.xlen('app:x:busy')).toBe(1_998);
    expect(await pendingOf()).toBe(18);
  });
});
