import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { LIMITS } from '../../../shared/stores/redis/keys.ts';
import { MemoryArchive } from '../memory-archive.ts';
import {
  closeStores,
  connect,
  exportAll,
  freshPrefix,
  legContext,
  openStore,
  REPLACE,
  restoreAll,
  runLegs,
  wipe,
} from './support.ts';

let redis: Redis;
let root: string;

beforeAll(() => {
  redis = connect();
});
beforeEach(() => {
  root = freshPrefix();
});
afterEach(async () => {
  await closeStores();
  await wipe(redis, root);
});
afterAll(async () => {
  await redis.quit();
});

/** Windows of a few keys, files and entries of a few kilobytes, so that their boundaries are frequent. */
const TINY = { ...LIMITS, keys: 50, fileBytes: 4096, entryBytes: 4096 };
const open = () => openStore({ prefix: root, separator: ':' }, TINY);

async function plantMany(count: number): Promise<void> {
  const pipeline = redis.pipeline();
  for (let number = 0; number < count; number++) {
    const namespace = ['full_docs', 'text_chunks', 'odd'][number % 3] ?? '';
    const key = `${root}${namespace}:${number.toString(36)}`;
    if (namespace === 'odd') pipeline.sadd(key, `a${number}`, `b${number}`);
    else
      pipeline.set(
        key,
        JSON.stringify({ number, text: 'x'.repeat(number % 97) }),
        'PXAT',
        Date.now() + 9e6 + number,
      );
  }
  await pipeline.exec();
}

/** Collections that are read page by page, and a string of several blocks. */
async function plantLarge(): Promise<void> {
  const fields = Array.from({ length: 1300 }, (_, index) => [`field ${index}`, `value ${index}`]).flat();
  await redis.hset(`${root}large:hash`, ...fields);
  await redis.rpush(`${root}large:list`, ...fields);
  await redis.sadd(`${root}large:set`, ...fields);
  await redis.zadd(`${root}large:zset`, ...fields.flatMap((member, index) => [index / 7, member]));
  const pipeline = redis.pipeline();
  for (let number = 1; number <= 1100; number++)
    pipeline.xadd(`${root}large:stream`, `${number}-0`, 'n', number);
  pipeline.xgroup('CREATE', `${root}large:stream`, 'g', '700-0');
  pipeline.xreadgroup('GROUP', 'g', 'c', 'COUNT', 30, 'STREAMS', `${root}large:stream`, '>');
  await pipeline.exec();
  await redis.setrange(`${root}large:text`, 9 * 1024 ** 2, 'ende');
  await redis.pexpireat(`${root}large:text`, Date.now() + 3_600_000);
}

describe('work in legs', () => {
  test('an export that is interrupted after every step produces the same archive as an uninterrupted one', async () => {
    await plantMany(400);
    await plantLarge();
    const whole = await exportAll(open);
    const cut = await exportAll(open, 1);
    expect(whole.legs).toBe(1);
    expect(cut.legs).toBeGreaterThan(20);
    expect(cut.tallies).toEqual(whole.tallies);
    // The server determines the pages of large collections; everything else is identical to the byte.
    const small = (files: Map<string, Buffer>) => [...files].filter(([name]) => !name.startsWith('kv/large'));
    expect(small(cut.archive.files).length).toBeGreaterThan(10);
    expect(small(cut.archive.files)).toEqual(small(whole.archive.files));
  });

  test('a restore that is interrupted at every check of the clock restores everything', async () => {
    await plantMany(300);
    await plantLarge();
    const { archive, tallies } = await exportAll(open);
    await wipe(redis, root);
    const { loaded, verified } = await restoreAll(open(), archive, REPLACE, 0);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    expect(loaded).toEqual(tallies);
    expect(verified.tallies).toEqual(tallies);
    expect((await exportAll(open)).tallies).toEqual(tallies);
    expect(await redis.keys(`${root}__ngbak*`)).toEqual([]);
  });

  test('every leg of a load may be repeated', async () => {
    await plantMany(60);
    await plantLarge();
    const { archive, tallies } = await exportAll(open);
    await wipe(redis, root);
    const store = open();
    await runLegs(async (cursor, context) => {
      await store.load({ archive, options: REPLACE, cursor, context: legContext(0) });
      return store.load({ archive, options: REPLACE, cursor, context });
    }, 0);
    const verified = await runLegs((cursor, context) =>
      store.verify({ archive, options: REPLACE, cursor, context }),
    );
    expect(verified).toMatchObject({ differences: 0, tallies });
  });

  test('keys that appear and disappear between two legs affect no other key', async () => {
    await plantMany(300);
    const archive = new MemoryArchive();
    const stay = new Set(await redis.keys(`${root}*`));
    let cursor = null;
    let round = 0;
    const exported = new Set<string>();
    do {
      let ended = true;
      for await (const step of open().export(
        { id: 'keys', params: {}, estimatedBytes: 0 },
        cursor,
        legContext(),
      )) {
        for (const piece of [step.piece, ...(step.companions ?? [])]) {
          await archive.add(piece);
          if (piece.name.endsWith('.expiry.jsonl')) continue;
          for (const [key] of archive.text(piece.name).matchAll(/ngbak-test-[^"]+/g)) {
            expect(exported.has(key)).toBe(false);
            exported.add(key);
          }
        }
        cursor = step.next;
        if (cursor !== null) {
          ended = false;
          break;
        }
      }
      if (ended) cursor = null;
      round++;
      const gone = [...stay].at(round);
      if (gone) {
        await redis.unlink(gone);
        stay.delete(gone);
      }
      await redis.set(`${root}full_docs:new${round}`, '1');
      await redis.set(`${root}aaa:new${round}`, '1');
    } while (cursor !== null);
    expect(round).toBeGreaterThan(5);
    expect([...stay].filter((key) => !exported.has(key))).toEqual([]);
  });

  test('a hash table that shrinks during the export neither loses nor duplicates a key', async () => {
    // Many keys outside of the scope share the table; deleting them makes SCAN return keys twice.
    const other = freshPrefix();
    await plantMany(150);
    const fill = redis.pipeline();
    for (let number = 0; number < 20_000; number++) fill.set(`${other}${number}`, '1');
    await fill.exec();
    const before = await exportAll(open);
    const wiping = wipe(redis, other);
    const during = await exportAll(open);
    await wiping;
    expect(during.tallies).toEqual(before.tallies);
  });
});

describe('a large key that changes while it is read', () => {
  test('is read again from its start, and the archive contains it once', async () => {
    await plantLarge();
    const store = open();
    const archive = new MemoryArchive();
    let touched = false;
    for await (const step of store.export(
      { id: 'keys', params: {}, estimatedBytes: 0 },
      null,
      legContext(),
    )) {
      for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
      if (!touched) await redis.hset(`${root}large:hash`, 'late', 'comer');
      touched = true;
    }
    await wipe(redis, root);
    const { verified } = await restoreAll(open(), archive);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    expect(await redis.hlen(`${root}large:hash`)).toBe(1301);
  });
});
