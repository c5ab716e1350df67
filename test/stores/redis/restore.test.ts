import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Redis } from 'ioredis';
import { viewWholeKeys } from '../../../shared/stores/redis/ngraf-023.ts';
import { RedisScope } from '../../../shared/stores/redis/scope.ts';
import { viewKeys } from '../../../shared/stores/redis/view.ts';
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

const open = (scope: object = {}) => openStore({ prefix: root, separator: ':', ...scope });

function archiveOf(files: Record<string, string>): MemoryArchive {
  const archive = new MemoryArchive();
  for (const [name, text] of Object.entries(files))
    archive.files.set(name, Buffer.from(text.replaceAll('ROOT:', root)));
  return archive;
}

describe('a restore', () => {
  test('touches no key outside of its scope, in either mode', async () => {
    const neighbour = `${root.slice(0, -1)}-neighbour:`;
    await redis.set(`${neighbour}full_docs:1`, 'theirs');
    await redis.set(`${root}full_docs:1`, '"ours"');
    await redis.set(`${root}full_docs:stale`, '"stale"');
    const { archive } = await exportAll(() => open());
    archive.files.delete('kv/full_docs-00002.json');
    await restoreAll(open(), archive);
    expect(await redis.get(`${neighbour}full_docs:1`)).toBe('theirs');
    await wipe(redis, neighbour);
  });

  test('revives no key that has expired, and does not report it as a difference', async () => {
    const [soon, later, last] = [1, 2, 3].map((hours) => Date.now() + hours * 3_600_000) as [
      number,
      number,
      number,
    ];
    await redis.set(`${root}cache:long`, '1', 'PXAT', last);
    await redis.set(`${root}cache:short`, '2', 'PXAT', soon);
    await redis.set(`${root}cache:later`, '3', 'PXAT', later);
    await redis.hset(`${root}cache:hash`, 'a', 'b');
    await redis.pexpireat(`${root}cache:hash`, soon);
    const { archive, tallies } = await exportAll(() => open());
    expect(tallies['keys:cache']?.count).toBe(4);
    /** As if this time had come: in the archive, and for the key on the server. */
    const pass = async (time: number, key: string) => {
      for (const name of archive.names())
        archive.set(name, archive.text(name).replaceAll(String(time), String(Date.now() - 1)));
      await redis.pexpire(`${root}cache:${key}`, 0);
    };
    await pass(soon, 'short');
    const store = open();
    await store.clear({ archive, options: REPLACE, cursor: null, context: legContext() });
    const load = await store.load({ archive, options: REPLACE, cursor: null, context: legContext() });
    expect(load.tallies['keys:cache']?.count).toBe(2);
    await pass(later, 'later');
    let cursor = null;
    let differences = 0;
    do {
      const leg = await store.verify({ archive, options: REPLACE, cursor, context: legContext() });
      cursor = leg.cursor;
      differences += leg.differences;
    } while (cursor !== null);
    expect(differences).toBe(0);
    expect(await redis.keys(`${root}*`)).toEqual([`${root}cache:long`]);
  });

  test('gives keys of NGRAF-023 the expiries that its archives lack, under new names too', async () => {
    const later = Date.now() + 3_600_000;
    const archive = archiveOf({
      'kv/llm_response_cache.json': '{"a": {"return": "x"}, "b": 1}',
      'kv/community_reports.json': '{"c": {}}',
      'kv/full_docs.json': '{"d": {}}',
    });
    const view = viewWholeKeys(archive, { llm_response_cache: later, community_reports: Date.now() - 1 });
    const saved = RedisScope.parse({ prefix: 'nano_graphrag:', separator: ':' });
    const scope = RedisScope.parse({ prefix: root, separator: ':' });
    const renamed = viewKeys(view, { saved, scope, names: {}, changes: ['keys'] });
    const { verified } = await restoreAll(open(), renamed);
    expect(verified).toMatchObject({ differences: 0, samples: [] });
    // Keys that have expired by then are not restored.
    expect((await redis.keys(`${root}*`)).sort()).toEqual(
      ['full_docs:d', 'llm_response_cache:a', 'llm_response_cache:b'].map((name) => root + name),
    );
    expect(await redis.pexpiretime(`${root}llm_response_cache:b`)).toBe(later);
    expect(await redis.pexpiretime(`${root}full_docs:d`)).toBe(-1);
  });

  test('finds every kind of difference, and names the key', async () => {
    for (const name of ['same', 'value', 'expiry', 'type', 'missing'])
      await redis.set(`${root}n:${name}`, `"${name}"`);
    await redis.rpush(`${root}n:list`, 'a', 'b');
    await redis.zadd(`${root}n:zset`, '1', 'a');
    await redis.xadd(`${root}n:stream`, '1-1', 'a', 'b');
    const { archive, tallies } = await exportAll(() => open());
    await redis.set(`${root}n:value`, '"Value"');
    await redis.pexpireat(`${root}n:expiry`, Date.now() + 100_000);
    await redis.del(`${root}n:type`, `${root}n:missing`);
    await redis.sadd(`${root}n:type`, 'type');
    await redis.lset(`${root}n:list`, 1, 'c');
    await redis.zadd(`${root}n:zset`, '1.5', 'a');
    await redis.xgroup('CREATE', `${root}n:stream`, 'group', '$');
    await redis.set(`${root}n:extra`, '1');
    await redis.set(`${root}other:extra`, '1');
    const store = open();
    const samples: string[] = [];
    let cursor = null;
    let matching = 0;
    do {
      const leg = await store.verify({ archive, options: REPLACE, cursor, context: legContext() });
      cursor = leg.cursor;
      matching += leg.tallies['keys:n']?.count ?? 0;
      samples.push(
        ...leg.samples.map(({ thing, problem }) => `${thing.replace(`key ${root}`, '')} ${problem}`),
      );
    } while (cursor !== null);
    expect(samples.sort()).toEqual([
      'n:expiry expires at another time',
      'n:extra is in the target, but not in the archive',
      'n:list has different content (list)',
      'n:missing is missing in the target',
      'n:stream has different last IDs, groups or pending entries',
      'n:type is a string in the archive and has a different type in the target',
      'n:value has another value',
      'n:zset has different content (zset)',
      'other:extra is in the target, but not in the archive',
    ]);
    expect(tallies['keys:n']?.count).toBe(8);
    expect(matching).toBe(1);
  });

  test('entries of streams keep the exact millisecond of their delivery; another one is a difference', async () => {
    const stream = `${root}n:stream`;
    const delivered = Array.from({ length: 60 }, (_, index) => Date.now() - 100_000 + 7 * index);
    await redis.xgroup('CREATE', stream, 'group', '0', 'MKSTREAM');
    const claim = (id: string, time: number) =>
      redis.call('XCLAIM', stream, 'group', 'reader', 0, id, 'TIME', time, 'FORCE', 'JUSTID');
    for (const [index, time] of delivered.entries()) {
      await redis.xadd(stream, `${index + 1}-0`, 'f', 'v');
      await claim(`${index + 1}-0`, time);
    }
    const { archive } = await exportAll(() => open());
    const times = (text: string) =>
      [...text.matchAll(/\["\d+-0","reader",(\d+),1\]/g)].map(([, time]) => time);
    expect(times(archive.text('kv/n.typed.jsonl'))).toEqual(delivered.map(String));
    const { verified } = await restoreAll(open(), archive);
    expect(verified.differences).toBe(0);
    const again = await exportAll(() => open());
    expect(times(again.archive.text('kv/n.typed.jsonl'))).toEqual(delivered.map(String));

    await claim('3-0', (delivered[2] ?? 0) - 60_000);
    const { samples } = await open().verify({
      archive,
      options: REPLACE,
      cursor: null,
      context: legContext(),
    });
    expect(samples.map(({ problem }) => problem)).toEqual([
      'has entries that were delivered at another time',
    ]);
  });

  test('pending entries that were delivered in one millisecond are written together, each with its consumer and count', async () => {
    const stream = `${root}n:stream`;
    const count = 6000;
    const adding = redis.pipeline();
    for (let id = 1; id <= count; id++) adding.xadd(stream, `${id}-0`, 'f', 'v');
    await adding.exec();
    await redis.xgroup('CREATE', stream, 'group', '0');
    const read = (consumer: string, most: number) =>
      redis.xreadgroup('GROUP', 'group', consumer, 'COUNT', most, 'STREAMS', stream, '>');
    // More than one command takes; then other consumers, other times and other counts among them. A busy server needs
    // several milliseconds for one reply.
    await read('first', 2500);
    await read('second 1', 2500);
    await read('second', 1000);
    await redis.xclaim(stream, 'group', 'third', 0, '1-0', '2499-0', '3000-0', 'RETRYCOUNT', 7);
    await redis.xack(stream, 'group', '5-0', '2600-0');
    const pending = async () => JSON.stringify(await redis.xinfo('STREAM', stream, 'FULL', 'COUNT', count));
    // The time since a consumer was last seen is not saved.
    const state = async () => (await pending()).replace(/"seen-time",\d+/g, '');
    const claims = async () =>
      Number(/cmdstat_xclaim:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1]);
    const before = await state();
    const { archive } = await exportAll(() => open());
    const from = await claims();
    const { verified } = await restoreAll(open(), archive);
    expect([verified.differences, await state()]).toEqual([0, before]);
    expect((await claims()) - from).toBeLessThan(count / 10);
  });

  test('merging keeps, overwrites, or refuses existing keys with different content; twice is the same as once', async () => {
    await redis.set(`${root}n:a`, '"archive"');
    await redis.set(`${root}n:b`, '"archive"');
    await redis.sadd(`${root}n:set`, 'archive');
    await redis.hset(`${root}n:large`, ...Array.from({ length: 2000 }, (_, index) => `f${index}`));
    const { archive } = await exportAll(() => open());
    const change = async () => {
      await redis.set(`${root}n:a`, '"target"');
      await redis.del(`${root}n:b`, `${root}n:set`, `${root}n:large`);
      await redis.sadd(`${root}n:set`, 'target');
      await redis.hset(`${root}n:large`, 'target', '1');
      await redis.set(`${root}n:own`, '"own"');
    };

    await change();
    const merge = (onConflict: 'keep' | 'overwrite' | 'fail') => ({ mode: 'merge' as const, onConflict });
    for (let times = 0; times < 2; times++) {
      const kept = await restoreAll(open(), archive, merge('keep'));
      expect(kept.verified.differences).toBe(0);
      expect(kept.loaded['keys:n']?.count ?? 0).toBe(times === 0 ? 1 : 0);
      expect(await redis.mget(`${root}n:a`, `${root}n:b`, `${root}n:own`)).toEqual([
        '"target"',
        '"archive"',
        '"own"',
      ]);
      expect(await redis.smembers(`${root}n:set`)).toEqual(['target']);
      expect(await redis.hlen(`${root}n:large`)).toBe(1);
    }

    await change();
    const untouched = await redis.dumpBuffer(`${root}n:a`);
    const refused = await open().admits({ archive, options: merge('fail'), context: legContext() });
    expect(refused.join()).toMatch(/has the key ".*n:(a|set|large)" with different content/);
    expect(await redis.dumpBuffer(`${root}n:a`)).toEqual(untouched);
    expect(await redis.exists(`${root}n:b`)).toBe(0);
    await expect(
      open().load({ archive, options: merge('fail'), cursor: null, context: legContext() }),
    ).rejects.toThrow(/has the key ".*n:(a|set|large)" with different content/);
    await redis.del(`${root}n:a`, `${root}n:set`, `${root}n:large`);
    for (let times = 0; times < 2; times++) await restoreAll(open(), archive, merge('fail'));

    await change();
    for (let times = 0; times < 2; times++) {
      const { verified } = await restoreAll(open(), archive, merge('overwrite'));
      expect(verified.differences).toBe(0);
      expect(await redis.mget(`${root}n:a`, `${root}n:b`, `${root}n:own`)).toEqual([
        '"archive"',
        '"archive"',
        '"own"',
      ]);
      expect(await redis.smembers(`${root}n:set`)).toEqual(['archive']);
      expect(await redis.hlen(`${root}n:large`)).toBe(1000);
    }
    expect(await redis.keys(`${root}__ngbak*`)).toEqual([]);
  });

  test("accepts an archive whose JSON was written by Python's json module", async () => {
    const archive = archiveOf({
      'kv/full_docs.json':
        '{\n  "ROOT:full_docs:doc-1": {\n    "content": "\\u00e4\\ud83d\\ude00",\n    "n": 1e5\n  },\n  "ROOT:full_docs:\\u00e4" : [ ]  ,\n"ROOT:full_docs:t":"a\\"}{,:b"}\n',
    });
    const { verified } = await restoreAll(open(), archive);
    expect(verified).toMatchObject({ differences: 0 });
    expect(await redis.get(`${root}full_docs:doc-1`)).toBe(
      '{\n    "content": "\\u00e4\\ud83d\\ude00",\n    "n": 1e5\n  }',
    );
    expect(await redis.get(`${root}full_docs:ä`)).toBe('[ ]');
    expect(await redis.get(`${root}full_docs:t`)).toBe('"a\\"}{,:b"');
  });

  test('removes temporary keys of an interrupted load', async () => {
    await redis.set(`${root}__ngbak:0123`, 'left over');
    const store = open();
    expect((await store.probe(legContext())).counts).toEqual({});
    await store.finish(legContext());
    expect(await redis.keys(`${root}*`)).toEqual([]);
  });
});

describe('an invalid archive is refused before anything is written:', () => {
  test.each<[string, string, string]>([
    ['a key outside of the scope', 'kv/a.json', '{"elsewhere:1": 1}'],
    [
      'a typed key outside of the scope',
      'kv/a.typed.jsonl',
      '{"key":"elsewhere","type":"set","members":["a"]}\n',
    ],
    ['no JSON', 'kv/a.json', 'PK\u0003\u0004'],
    ['a list, as NGRAF-023 wrote for file storage', 'kv/full_docs.json', '[{"content": "x"}]'],
    ['a truncated object', 'kv/a.json', '{"ROOT:a": {"b": 1}, "ROOT:c": '],
    ['two objects', 'kv/a.json', '{"ROOT:a": 1}{"ROOT:a": 2}'],
    ['a value that is not JSON', 'kv/a.json', '{"ROOT:a": tru}'],
    ['a missing value', 'kv/a.json', '{"ROOT:a": , "ROOT:b": 1}'],
    ['a missing comma', 'kv/a.json', '{"ROOT:a": 1 "ROOT:b": 2}'],
    ['brackets that do not match', 'kv/a.json', '{"ROOT:a": [1}]}'],
    ['a trailing comma', 'kv/a.json', '{"ROOT:a": 1,}'],
    ['half a surrogate pair in a key', 'kv/a.json', '{"ROOT:a\\ud800": 1}'],
    ['a key that is too long', 'kv/a.json', `{"ROOT:${'x'.repeat(3000)}": 1}`],
    ['nesting without end', 'kv/a.json', `{"ROOT:a": ${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['an unknown type', 'kv/a.typed.jsonl', '{"key":"ROOT:a","type":"graph"}\n'],
    ['content of another type', 'kv/a.typed.jsonl', '{"key":"ROOT:a","type":"set","items":["a"]}\n'],
    ['two contents', 'kv/a.typed.jsonl', '{"key":"ROOT:a","type":"set","members":["a"],"items":["a"]}\n'],
    [
      'a score that is not a number',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"zset","members":[["a","NaN"]]}\n',
    ],
    [
      'a score beyond a double',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"zset","members":[["a","1e999"]]}\n',
    ],
    ['invalid base64', 'kv/a.typed.jsonl', '{"key":"ROOT:a","type":"string","value":{"base64":"%%%"}}\n'],
    [
      'an expiry that is not a time',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"string","value":"x","expires_at":-5}\n',
    ],
    [
      'a field that this version does not know',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"string","value":"x","eval":"y"}\n',
    ],
    [
      'a stream entry without fields',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"stream","entries":[["1-1"]],"stream":{"last_id":"1-1","groups":[]}}\n',
    ],
    [
      'a stream id that is a command',
      'kv/a.typed.jsonl',
      '{"key":"ROOT:a","type":"stream","entries":[["*","a","b"]],"stream":{"last_id":"1-1","groups":[]}}\n',
    ],
    ['an entry of the files adapter', 'kv/files/kv_store_full_docs.json', '{}'],
    ['an entry of no known store', 'kv/notes.txt', 'hello'],
  ])('%s', async (_, name, text) => {
    await redis.set(`${root}live`, 'untouched');
    const archive = archiveOf({ [name]: text });
    const problems = await open().admits({ archive, options: REPLACE, context: legContext() });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(name.slice(0, 60));
    await expect(
      open().load({ archive, options: REPLACE, cursor: null, context: legContext() }),
    ).rejects.toThrow(name.slice(0, 60));
    expect(await redis.keys(`${root}*`)).toEqual([`${root}live`]);
  });

  test('expiries in an invalid form', async () => {
    const archive = archiveOf({
      'kv/a.json': '{"ROOT:a": 1}',
      'kv/a.expiry.jsonl': '{"key":"ROOT:a","expires_at":"soon"}\n',
    });
    expect((await open().admits({ archive, options: REPLACE, context: legContext() })).join()).toContain(
      'kv/a.expiry.jsonl line 1',
    );
  });
});

describe('the backup', () => {
  test('keys without a namespace are saved, or left out with a warning, as the scope says', async () => {
    await redis.set(`${root}docs:1`, '1');
    await redis.set(`${root}stray`, '1');
    await redis.sadd(`${root}index`, '1');
    const namespaces = [{ name: 'docs', prefix: `${root}docs:`, also: [`${root}ind?x`] }];
    const included = openStore({ prefix: root, namespaces });
    expect((await included.probe(legContext())).counts).toEqual({ 'keys:_other': 1, 'keys:docs': 2 });
    const excluded = openStore({ prefix: root, namespaces, others: 'exclude' });
    const probe = await excluded.probe(legContext());
    expect(probe.counts).toEqual({ 'keys:docs': 2 });
    expect(probe.warnings).toEqual([expect.objectContaining({ code: 'keys-outside-namespaces', count: 1 })]);
    const { archive } = await exportAll(() => openStore({ prefix: root, namespaces, others: 'exclude' }));
    const { verified } = await restoreAll(excluded, archive);
    expect(verified.differences).toBe(0);
    expect(await redis.exists(`${root}stray`)).toBe(1);
  });

  test('keys that a pattern excludes are neither saved nor cleared nor compared, and a warning names them', async () => {
    await redis.set(`${root}docs:1`, '1');
    await redis.set(`${root}docs:tmp1`, 'here');
    const excluding = () => openStore({ prefix: root, separator: ':', exclude: [`${root}docs:tmp*`] });
    const probe = await excluding().probe(legContext());
    expect(probe.counts).toEqual({ 'keys:docs': 1 });
    expect(probe.warnings).toEqual([
      expect.objectContaining({ code: 'keys-excluded', count: 1, samples: [`${root}docs:tmp1`] }),
    ]);
    const { archive, tallies } = await exportAll(excluding);
    expect((await restoreAll(excluding(), archive)).verified).toMatchObject({ differences: 0, tallies });
    expect(await redis.get(`${root}docs:tmp1`)).toBe('here');
  });

  test('keys outside of the common prefix of all namespaces are counted as well', async () => {
    await redis.set(`${root}kv_a:1`, '1');
    await redis.set(`${root}unknown:1`, '1');
    const namespaces = [{ name: 'a', prefix: `${root}kv_a:` }];
    const probe = await openStore({ prefix: root, namespaces, others: 'exclude' }).probe(legContext());
    expect(probe.warnings).toEqual([
      expect.objectContaining({ code: 'keys-outside-namespaces', count: 1, samples: [`${root}unknown:1`] }),
    ]);
  });

  test('a key with a very long name fails the backup, or is left out with a warning, as the scope says', async () => {
    const long = `${root}docs:${'x'.repeat(2_048)}`;
    await redis.set(`${root}docs:1`, '1');
    await redis.set(long, 'here');
    await expect(exportAll(() => open())).rejects.toMatchObject({
      remedy: expect.stringContaining('"unsupported"'),
    });
    const skipping = () => open({ unsupported: 'skip' });
    const probe = await skipping().probe(legContext());
    expect(probe.warnings).toEqual([expect.objectContaining({ code: 'keys-unsupported', count: 1 })]);
    const { archive, tallies } = await exportAll(skipping);
    expect(tallies['keys:docs']?.count).toBe(1);
    expect((await restoreAll(skipping(), archive)).verified).toMatchObject({ differences: 0, tallies });
    expect(await redis.get(long)).toBe('here');
  });

  test('namespaces with any name get entry names that every system can unpack', async () => {
    for (const name of ['A', 'a', 'x y', 'p/../q', '.hidden', 'n-00002', 'n', 'ä', 'x'.repeat(100)]) {
      await redis.set(`${root}${name}:1`, `"${name}"`);
    }
    const { archive, tallies } = await exportAll(() => open());
    const names = [...archive.files.keys()];
    expect(names).toEqual(
      [
        'kv/%2Ehidden.json',
        'kv/%41.json',
        'kv/_other.json',
        'kv/a.json',
        'kv/n.json',
        'kv/n%2D00002.json',
        'kv/p%2F%2E.%2Fq.json',
        'kv/x%20y.json',
      ].sort((left, right) => names.indexOf(left) - names.indexOf(right)),
    );
    expect(tallies['keys:_other']?.count).toBe(2);
    await wipe(redis, root);
    expect((await restoreAll(open(), archive)).verified).toMatchObject({ differences: 0, tallies });
  });

  test('the fence changes with every change of a key, and only then', async () => {
    await redis.set(`${root}a:1`, '1');
    await redis.hset(`${root}a:2`, 'f', 'v');
    const fence = async () => (await open().probe(legContext())).fence;
    let last = await fence();
    expect(await fence()).toEqual(last);
    for (const change of [
      () => redis.set(`${root}a:1`, '2'),
      () => redis.pexpire(`${root}a:1`, 1e7),
      () => redis.hset(`${root}a:2`, 'f', 'w'),
      () => redis.rename(`${root}a:2`, `${root}a:3`),
      () => redis.set(`${root}b:1`, '1'),
      () => redis.del(`${root}a:3`),
    ]) {
      await change();
      const now = await fence();
      expect(now).not.toEqual(last);
      last = now;
    }
  });
});
