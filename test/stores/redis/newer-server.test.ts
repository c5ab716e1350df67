import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { installFalkordb } from '../../../local/install/python.ts';
import type { RedisProgram } from '../../../local/install/redis.ts';
import { contentOf, plant } from './content.ts';
import { HookProxy } from './hook-proxy.ts';
import { OwnServer } from './own-server.ts';
import {
  closeStores,
  connect,
  exportAll,
  freshPrefix,
  legContext,
  openStore,
  REPLACE,
  restoreAll,
  wipe,
} from './support.ts';

let server: OwnServer;
/** The newer server's program. */
let program: RedisProgram;
let newer: Redis;
/** The local stack's. */
let older: Redis;
const root = freshPrefix();
const scope = { prefix: root, separator: ':' };
const openNewer = () => openStore(scope, undefined, server.url);
const openOlder = () => openStore(scope);

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-falkordb-'));
  try {
    const programs = await installFalkordb({
      environment: process.env,
      signal: new AbortController().signal,
      log: join(folder, 'install.log'),
      onInstall: () => undefined,
    });
    program = programs;
    const module = ['--loadmodule', programs.module, 'THREAD_COUNT', '1', 'OMP_THREAD_COUNT', '1'];
    server = await OwnServer.start(module, program);
  } finally {
    await rm(folder, { recursive: true });
  }
  newer = connect(server.url);
  older = connect();
});
afterEach(async () => {
  await closeStores();
  await wipe(newer, root);
  await wipe(older, root);
});
afterAll(async () => {
  await newer.quit();
  await older.quit();
  await server.stop();
});

test('backups of each version are restored into the other, and back again', async () => {
  await plant(older, root);
  const before = await contentOf(older, root);
  const { archive, tallies } = await exportAll(openOlder);
  expect(await openNewer().admits({ archive, options: REPLACE, context: legContext() })).toEqual([]);
  const there = await restoreAll(openNewer(), archive);
  expect(there.verified).toMatchObject({ differences: 0, tallies });

  const again = await exportAll(openNewer);
  expect(again.tallies).toEqual(tallies);
  expect([...again.archive.files]).toEqual([...archive.files]);
  await wipe(older, root);
  const back = await restoreAll(openOlder(), again.archive);
  expect(back.verified).toMatchObject({ differences: 0, tallies });
  expect(await contentOf(older, root)).toEqual(before);
});

test('fields of hashes keep their expiry; a server without that feature refuses the archive', async () => {
  const later = Date.now() + 3_600_000;
  await newer.hset(`${root}h:1`, 'stays', '1', 'later', '2', 'soon', '3');
  await newer.call('HPEXPIREAT', `${root}h:1`, later, 'FIELDS', 1, 'later');
  await newer.call('HPEXPIREAT', `${root}h:1`, Date.now() + 60_000, 'FIELDS', 1, 'soon');
  const { archive, tallies } = await exportAll(openNewer);
  expect(archive.text('kv/h.typed.jsonl')).toContain(`["later","2",${later}]`);
  const fresh = await restoreAll(openNewer(), archive);
  expect(fresh.verified).toMatchObject({ differences: 0, tallies });

  // As if that minute had passed: an expired field is not restored, and its absence is not a difference.
  const name = 'kv/h.typed.jsonl';
  const aged = archive.text(name).replace(/(\["soon","3",)\d+\]/, `$1${Date.now() - 1}]`);
  archive.files.set(name, Buffer.from(aged));
  await wipe(newer, root);
  const { verified } = await restoreAll(openNewer(), archive);
  expect(verified.differences).toBe(0);
  expect(await newer.hgetall(`${root}h:1`)).toEqual({ stays: '1', later: '2' });
  expect(await newer.call('HPEXPIRETIME', `${root}h:1`, 'FIELDS', 2, 'stays', 'later')).toEqual([-1, later]);

  const [known] = (await older.call('COMMAND', 'INFO', 'HPEXPIRE')) as unknown[];
  if (known !== null) return;
  expect((await openOlder().admits({ archive, options: REPLACE, context: legContext() })).join()).toContain(
    'fields of hashes expire',
  );
  await expect(
    openOlder().load({ archive, options: REPLACE, cursor: null, context: legContext() }),
  ).rejects.toThrow("can't do");
  expect(await older.exists(`${root}h:1`)).toBe(0);
});

test('hashes with some or all fields expired since: no difference, and no obstacle to the others', async () => {
  const later = Date.now() + 3_600_000;
  const fields = (count: number) => Array.from({ length: count }, (_, index) => `f${index}`);
  for (const [key, count] of Object.entries({ small: 3, large: 1_500, half: 1_500 })) {
    const names = fields(count);
    await newer.hset(`${root}h:${key}`, ...names.flatMap((field) => [field, 'v'.repeat(20)]));
    await newer.call('HPEXPIREAT', `${root}h:${key}`, later, 'FIELDS', count, ...names);
  }
  await newer.hset(`${root}h:stays`, 'a', '1');
  const { archive } = await exportAll(openNewer);
  // As if that hour had passed, for all fields except those of the later parts of one hash.
  const name = 'kv/h.typed.jsonl';
  const aged = archive
    .text(name)
    .split('\n')
    .map((line) => {
      const kept = line.includes('h:half') && !line.includes('"f0"');
      return kept ? line : line.replaceAll(`,${later}]`, `,${Date.now() - 1}]`);
    });
  archive.files.set(name, Buffer.from(aged.join('\n')));
  await wipe(newer, root);
  const { verified } = await restoreAll(openNewer(), archive);
  expect(verified).toMatchObject({ differences: 0, samples: [] });
  expect((await newer.keys(`${root}*`)).sort()).toEqual([`${root}h:half`, `${root}h:stays`]);
  const left = await newer.hlen(`${root}h:half`);
  expect(left).toBeGreaterThan(0);
  expect(left).toBeLessThan(1_500);
  expect(await newer.hexists(`${root}h:half`, 'f0')).toBe(0);
});

test('fields that expire while they are compared are no difference; fields that are missing before their time are one', async () => {
  const names = Array.from({ length: 1_200 }, (_, index) => `f${index}`);
  const start = Date.now() + 600_000;
  const plantFields = async (key: string, count: number) => {
    const own = names.slice(0, count);
    const pipeline = newer.pipeline();
    pipeline.hset(key, ...own.flatMap((field) => [field, 'v']));
    for (const [index, field] of own.entries())
      pipeline.call('HPEXPIREAT', key, start + index, 'FIELDS', 1, field);
    await pipeline.exec();
  };
  await plantFields(`${root}h:small`, 5);
  await plantFields(`${root}h:large`, 1_200);
  const { archive } = await exportAll(openNewer);
  const proxy = new HookProxy(server.port);
  const store = openStore(scope, undefined, await proxy.listen());
  try {
    const context = legContext();
    await restoreAll(store, archive);
    // Between reading the archive and reading the target: the first ones are deleted, as if expired.
    const verify = () => store.verify({ archive, options: REPLACE, cursor: null, context });
    const gone = async (from: number) => {
      for (const [key, count] of [
        ['small', 5],
        ['large', 700],
      ] as const)
        await newer.hdel(`${root}h:${key}`, ...names.slice(from, from + count));
    };
    await gone(0);
    expect(await verify()).toMatchObject({ differences: 2 });
    const now = Date.now;
    try {
      // The step finds the clock of the server past the expiry of those 700 only when it reads the target.
      let passed = false;
      const look = async () => {
        passed = true;
      };
      for (const command of ['HGETALL', 'HSCAN']) proxy.before(command, look);
      Date.now = () => now() + (passed ? 600_700 : 0);
      expect(await verify()).toMatchObject({ differences: 0 });
    } finally {
      Date.now = now;
    }
  } finally {
    await proxy.close();
  }
});

test("a key of a module's type is refused by name and type; a scope without it is saved", async () => {
  await newer.set(`${root}doc:1`, '{"a":1}');
  await newer.call('GRAPH.QUERY', `${root}graph:g`, 'CREATE (:A {x: 1})-[:R]->(:B)');
  await expect(exportAll(openNewer)).rejects.toMatchObject({
    message: expect.stringMatching(/key of type "graphdata", ".*graph:g", which a server module made/),
    remedy: expect.stringContaining('Narrow the scope'),
  });
  await closeStores();
  const { tallies } = await exportAll(() => openStore({ prefix: `${root}doc:` }, undefined, server.url));
  expect(Object.values(tallies).map(({ count }) => count)).toEqual([1]);
});

test("a key of a module's type is left out if the scope says so, and still exists after a restore", async () => {
  await newer.set(`${root}doc:1`, '{"a":1}');
  await newer.call('GRAPH.QUERY', `${root}doc:g`, 'CREATE (:A {x: 1})-[:R]->(:B)');
  const skipping = () => openStore({ ...scope, unsupported: 'skip' }, undefined, server.url);
  const probe = await skipping().probe(legContext());
  expect(probe.counts).toEqual({ 'keys:doc': 1 });
  expect(probe.warnings).toEqual([
    expect.objectContaining({ code: 'keys-unsupported', count: 1, samples: [`${root}doc:g`] }),
  ]);
  const { archive, tallies } = await exportAll(skipping);
  expect((await restoreAll(skipping(), archive)).verified).toMatchObject({ differences: 0, tallies });
  expect(await newer.type(`${root}doc:g`)).toBe('graphdata');
});

test('a hash whose fields change with their expiries while it is read is restored in its state at one instant', async () => {
  const proxy = new HookProxy(server.port);
  const url = await proxy.listen();
  try {
    const expiry = Date.now() + 3_600_000;
    const names = Array.from({ length: 1_000 }, (_, index) => `field ${index}`);
    for (const [key, fields] of [
      [`${root}h:small`, names.slice(0, 5)],
      [`${root}h:large`, names],
    ] as const) {
      await newer.hset(key, ...fields.flatMap((field) => [field, '0']));
      let round = 0;
      // Value and expiry of each field contain the same number.
      const change = async () => {
        if (++round > 3) return;
        const at = expiry + round;
        await newer
          .multi()
          .hset(key, ...fields.flatMap((field) => [field, String(round)]))
          .call('HPEXPIREAT', key, at, 'FIELDS', fields.length, ...fields)
          .exec();
      };
      for (const command of ['HPEXPIRETIME', 'HSCAN', 'HGETALL']) proxy.before(command, change);
      const { archive } = await exportAll(() => openStore({ prefix: key }, undefined, url));
      proxy.reset();
      await wipe(newer, key);
      const { verified } = await restoreAll(openStore({ prefix: key }, undefined, server.url), archive);
      expect(verified.differences).toBe(0);
      const values = new Set(await newer.hvals(key));
      const times = new Set(
        (await newer.call('HPEXPIRETIME', key, 'FIELDS', fields.length, ...fields)) as number[],
      );
      expect([values.size, times.size]).toEqual([1, 1]);
      const [value] = values;
      expect([...times]).toEqual([value === '0' ? -1 : expiry + Number(value)]);
    }
  } finally {
    await proxy.close();
  }
});

test('a server whose fields expire without a command that reports when: a warning', async () => {
  const hiding = await OwnServer.start(['--rename-command', 'HPEXPIRETIME', ''], program);
  try {
    const direct = connect(hiding.url);
    await direct.hset(`${root}h:1`, 'a', '1');
    await direct.quit();
    const probe = await openStore(scope, undefined, hiding.url).probe(legContext());
    expect(probe.warnings).toEqual([expect.objectContaining({ code: 'field-expiries-unreadable' })]);
    expect((await openNewer().probe(legContext())).warnings).toEqual([]);
  } finally {
    await closeStores();
    await hiding.stop();
  }
});
