import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { LIMITS } from '../../../shared/stores/redis/keys.ts';
import { checkSealed } from '../checked.ts';
import { contentOf } from './content.ts';
import { OwnServer } from './own-server.ts';
import { closeStores, exportAll, legContext, openStore, REPLACE, restoreAll } from './support.ts';

const SCOPE = { prefix: 'app:', separator: ':' };
const ITEMS = 600;
const ROUNDS = 2;
/** Interval between the steps of each writer, in ms: the test is about interleaving, not about load. */
const PACE_MS = 3;

let server: OwnServer;
let redis: Redis;

beforeAll(async () => {
  server = await OwnServer.start();
  redis = new Redis(server.url, { protocol: 2 });
});
afterEach(async () => {
  await closeStores();
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

const open = (target = server.url) => openStore(SCOPE, { ...LIMITS, entryBytes: 32_768 }, target);
const items = (round: number) => Array.from({ length: ITEMS }, (_, index) => `${round}.${index}`);

/** Changes of keys by writers, each step one transaction; the content states its step. */
const WRITERS: Record<string, (writer: Redis, step: number) => Promise<unknown>> = {
  string: async (writer, step) => {
    await writer.set('app:t:string', String(step % 10).repeat(8.5 * 1024 ** 2));
    await sleep(10 * PACE_MS);
  },
  list: (writer) => writer.rpoplpush('app:t:list', 'app:t:list'),
  set: (writer, step) =>
    writer
      .multi()
      .del('app:t:set')
      .sadd('app:t:set', ...items(step))
      .exec(),
  hash: (writer, step) => writer.hset('app:t:hash', ...items(0).flatMap((field) => [field, String(step)])),
  zset: (writer, step) => writer.zadd('app:t:zset', ...items(0).flatMap((member) => [String(step), member])),
  stream: (writer, step) =>
    writer
      .multi()
      .xadd('app:t:stream', '*', 'step', step)
      .xreadgroup('GROUP', 'g', 'c', 'STREAMS', 'app:t:stream', '>')
      .exec(),
  capped: (writer, step) => writer.xadd('app:t:capped', 'MAXLEN', ITEMS, `${step + ITEMS}-0`, 'step', step),
  small: (writer, step) =>
    writer
      .multi()
      .set('app:s:small', `{"step": ${step}}`)
      .pexpireat('app:s:small', FAR + step)
      .exec(),
  fleeting: (writer, step) =>
    writer
      .multi()
      .xadd(`app:f:${step % 20}`, '*', 'a', 'b')
      .xgroup('CREATE', `app:f:${step % 20}`, `g${step}`, '0')
      .unlink(`app:f:${(step + 10) % 20}`)
      .exec(),
  retyped: (writer, step) =>
    step % 2 === 0
      ? writer.set('app:t:retyped', 'text')
      : writer
          .multi()
          .del('app:t:retyped')
          .rpush('app:t:retyped', ...items(step))
          .exec(),
};
const FAR = Date.now() + 36_000_000;

test('a backup during writes to keys of every type: each key is restored in its state at one instant', async () => {
  await redis.rpush('app:t:list', ...items(0));
  const pipeline = redis.pipeline();
  for (let number = 1; number <= ITEMS; number++) {
    pipeline.xadd('app:t:stream', `${number}-0`, 'step', 0);
    pipeline.xadd('app:t:capped', `${number}-0`, 'step', number - ITEMS);
  }
  pipeline.xgroup('CREATE', 'app:t:stream', 'g', `${ITEMS}-0`);
  await pipeline.exec();
  // Every key exists from the start.
  for (const [name, write] of Object.entries(WRITERS)) if (name !== 'capped') await write(redis, 0);
  let isOver = false;
  let steps = 0;
  const work = Object.values(WRITERS).map(async (write) => {
    const writer = new Redis(server.url, { protocol: 2 });
    try {
      for (let step = 1; !isOver; step++, steps++) {
        await write(writer, step);
        await sleep(PACE_MS);
      }
    } finally {
      writer.disconnect();
    }
  });
  const archives = [];
  try {
    for (let round = 0; round < ROUNDS; round++) archives.push(await exportAll(() => open()));
  } finally {
    isOver = true;
    await Promise.all(work);
  }
  expect(steps).toBeGreaterThan(100);

  for (const { archive, tallies } of archives) {
    const sealed = { store: 'kv', kind: 'redis', tallies } as const;
    // The next entry may continue a key that began in one that could not be read at once.
    expect(await checkSealed(archive, sealed, { legs: true })).toMatchObject({ problems: [], warnings: [] });
    expect(await checkSealed(archive, sealed, { legs: true, resumeAbove: 1000 })).toMatchObject({
      problems: [],
      warnings: [{ code: 'counts-not-compared' }],
    });
    await redis.flushall();
    const store = open();
    expect(await store.admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
    expect((await restoreAll(store, archive)).verified).toMatchObject({ differences: 0, tallies });

    expect(new Set((await redis.get('app:t:string')) ?? '').size).toBe(1);
    const list = await redis.lrange('app:t:list', 0, -1);
    const first = list.indexOf('0.0');
    expect([...list.slice(first), ...list.slice(0, first)]).toEqual(items(0));
    const members = await redis.smembers('app:t:set');
    expect(members).toHaveLength(ITEMS);
    expect(new Set(members.map((member) => member.split('.')[0])).size).toBe(1);
    expect(await redis.hlen('app:t:hash')).toBe(ITEMS);
    expect(new Set(await redis.hvals('app:t:hash')).size).toBe(1);
    const scores = (await redis.zrange('app:t:zset', 0, '-1', 'WITHSCORES')).filter((_, at) => at % 2 === 1);
    expect([scores.length, new Set(scores).size]).toEqual([ITEMS, 1]);
    const added = (await redis.xrange('app:t:stream', '-', '+')).slice(ITEMS);
    expect(added.map(([, fields]) => Number(fields[1]))).toEqual(added.map((_, index) => index));
    expect(((await redis.xpending('app:t:stream', 'g')) as [number])[0]).toBe(added.length);
    const ids = (await redis.xrange('app:t:capped', '-', '+')).map(([id]) => Number.parseInt(id, 10));
    expect(ids).toEqual(Array.from({ length: ITEMS }, (_, index) => (ids[0] ?? 0) + index));
    const { step } = JSON.parse((await redis.get('app:s:small')) ?? '') as { step: number };
    expect(await redis.call('PEXPIRETIME', 'app:s:small')).toBe(FAR + step);
    const content = (await contentOf(redis, 'app:'))['t:retyped'] as { type: string; value: Buffer[] };
    if (content.type === 'list') expect(content.value).toHaveLength(ITEMS);
    else expect(String(content.value)).toBe('text');
  }
});
