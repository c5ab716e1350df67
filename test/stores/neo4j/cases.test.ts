import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import type { Tallies } from '../../../shared/core/digest.ts';
import { InvalidInputError, UnavailableError } from '../../../shared/core/errors.ts';
import type { Shard } from '../../../shared/stores/export-step.ts';
import type { Cursor } from '../../../shared/stores/leg.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { NIGHTLY } from '../../nightly.ts';
import { checkSealed } from '../checked.ts';
import { startCutProxy } from '../cut-proxy.ts';
import { exportAll, legContext, MemoryArchive, restoreAll, withStore } from '../memory-archive.ts';
import {
  dropSchema,
  EVERY_VALUE,
  graphContent,
  graphLeftovers,
  openGraph,
  plainDriver,
  run,
  type TestServer,
} from './graph.ts';
import { leaveServer, wholeServer } from './server.ts';

const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };
/** Labels of a graph with many: by day more than are cached, at night also more than a batch has records. */
const LABELS = NIGHTLY ? 4000 : 1200;

// Deadlines for hangs, not for speed: many of these build indexes on a shared server.

let server: TestServer;
let driver: Driver;

beforeAll(async () => {
  server = await wholeServer();
  driver = plainDriver(server);
});

beforeEach(async () => {
  await run(driver, 'MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS');
  await dropSchema(driver);
});

afterAll(async () => {
  await driver.close();
  await leaveServer();
});

const keyed = (label: string) => openGraph(server, { label, key_property: 'id' });

/** The lines of all entries whose names start with `prefix`. */
function linesOf(archive: MemoryArchive, prefix: string): Record<string, unknown>[] {
  return archive
    .names()
    .filter((name) => name.startsWith(prefix))
    .flatMap((name) => (archive.text(name) ?? '').trimEnd().split('\n'))
    .map((line) => JSON.parse(line));
}

describe('a graph archive', () => {
  test('holds every type of value that Cypher can store, and restores each', async () => {
    await run(driver, `CREATE (:V {${EVERY_VALUE}}), (:V {id: 'bytes', bytes: $bytes, integers: [1, -1]})`, {
      bytes: new Int8Array([1, -1, 127, -128]),
    });
    // A null property would not be stored, and prove nothing.
    const [row] = await run(
      driver,
      `MATCH (n:V {id: 'every value'}) RETURN size(keys(n)) AS stored, size(keys({${EVERY_VALUE}})) AS meant`,
    );
    expect(row?.stored).toBe(row?.meant);
    const before = await graphContent(driver, 'V');
    const { archive } = await exportAll(keyed('V'));
    await restoreAll(keyed('V'), archive);
    expect(await graphContent(driver, 'V')).toBe(before);
    const [types] = await run(
      driver,
      "MATCH (n:V {id: 'bytes'}) RETURN valueType(n.integers) AS integers, n.bytes AS bytes",
    );
    expect(types?.integers).toContain('LIST<INTEGER');
    expect(types?.bytes).toBeInstanceOf(Int8Array);
  });

  test('holds date-times with a zone beyond the years of JavaScript, or names the record that it cannot hold', async () => {
    await run(
      driver,
      `CREATE (:V {id: 'far', utc: datetime('+300000-01-01T00:00:00[UTC]'), zone: datetime('+300000-07-01T00:00:00[Europe/Berlin]'),
       old: datetime('-300000-07-01T00:00:00[Europe/Berlin]'), list: [datetime('+1999999-12-31T23:59:59.999999999[Asia/Tokyo]')]})`,
    );
    const asTexts = () =>
      run(
        driver,
        'MATCH (n:V) UNWIND n.list + [n.utc, n.zone, n.old] AS t RETURN toString(t) AS text ORDER BY text',
      );
    const before = await asTexts();
    const { archive } = await exportAll(keyed('V'));
    expect((await restoreAll(keyed('V'), archive)).samples).toEqual([]);
    expect(await asTexts()).toEqual(before);
    await run(
      driver,
      "CREATE (:V {id: 'farthest', t: datetime('+999999999-01-01T00:00:00[Europe/Berlin]')})",
    );
    await expect(exportAll(keyed('V'))).rejects.toThrow(
      /node \d+: Property "t" holds a date-time with a zone/,
    );
  });

  test('holds date-times whose zone is named by an offset, in the form that the server accepts', async () => {
    await run(
      driver,
      `CREATE (:V {id: 'offset', t: [datetime('2024-07-01T00:00:00[Etc/GMT+2]'), datetime('2024-07-01T00:00:00[Etc/GMT-14]'),
       datetime('1890-01-01T00:00:00.000000001[Etc/GMT-1]'), datetime('2024-07-01T00:00:00[GMT]')]})`,
    );
    const asTexts = () =>
      run(
        driver,
        'MATCH (n:V) UNWIND n.t AS t RETURN toString(t) AS text, t.epochSeconds AS at, t.timezone AS zone',
      );
    const before = await asTexts();
    const { archive } = await exportAll(keyed('V'));
    expect((await restoreAll(keyed('V'), archive)).samples).toEqual([]);
    expect(await asTexts()).toEqual(before);
    // Other products store this form; Neo4j has no such zone.
    await expect(run(driver, "RETURN datetime('2024-07-01T00:00:00[GMT+02:00]')")).rejects.toThrow(/parsed/);
  });

  test('of more labels and combinations of them than the caches hold is restored exactly', async () => {
    const count = LABELS;
    await run(
      driver,
      `UNWIND range(1, $count) AS i CREATE (n:Many {id: i})
       SET n:$('Own label ' + i):$('One of seven ' + (i % 7)):$('One of eleven ' + (i % 11))`,
      { count },
    );
    await run(
      driver,
      `MATCH (n:Many) WITH n ORDER BY n.id WITH collect(n) AS nodes UNWIND range(0, size(nodes) - 2) AS at
       WITH nodes[at] AS a, nodes[at + 1] AS b CREATE (a)-[:NEXT {of: a.id}]->(b)`,
    );
    const before = await graphContent(driver, 'Many');
    const { archive, tallies } = await exportAll(keyed('Many'));
    expect([tallies.nodes?.count, tallies.relationships?.count]).toEqual([count, count - 1]);
    expect((await restoreAll(keyed('Many'), archive)).samples).toEqual([]);
    expect(await graphContent(driver, 'Many')).toBe(before);
  });

  test('is split into entries of bounded size, and resumes at each of them', async () => {
    await run(
      driver,
      `UNWIND range(1, 32) AS i CREATE (n:Big {id: i, text: i + $text})
       CREATE (n)-[:SELF {text: left(n.text, 200000)}]->(n)`,
      { text: 'a node of this graph has some hundred kilobytes '.repeat(8000) },
    );
    const whole = await exportAll(keyed('Big'));
    const stopped = await exportAll(keyed('Big'), 1);
    const names = whole.archive.names();
    expect(names.filter((name) => name.startsWith('graph/nodes-')).length).toBeGreaterThan(2);
    expect(names.filter((name) => name.startsWith('graph/relationships-')).length).toBeGreaterThan(1);
    for (const name of names) expect((whole.archive.text(name) ?? '').length).toBeLessThan(10 * 1024 ** 2);
    expect(stopped.archive.names()).toEqual(names);
    for (const name of names) expect(stopped.archive.text(name)).toBe(whole.archive.text(name));
    expect(stopped.legs).toBe(names.length);
  });

  test('names nodes whose key moved to another node during the export, and refuses them if a constraint forbids that', async () => {
    const checkOf = async (archive: MemoryArchive, tallies: Tallies) => {
      const scope = { label: 'Twice', key_property: 'id' };
      const sealed = { store: 'graph', kind: 'neo4j', version: '5.26.30', edition: 'community' } as const;
      const { problems, warnings } = await checkSealed(archive, { ...sealed, scope, tallies });
      expect(problems).toEqual([]);
      return warnings;
    };
    // The one with the lowest internal ID is read first, regardless of the IDs that the server assigns.
    await run(
      driver,
      `UNWIND range(1, 3) AS i CREATE (n:Twice) WITH n ORDER BY id(n) WITH collect(n) AS nodes
       UNWIND range(0, 2) AS i WITH i, nodes[i] AS n
       SET n.id = ['first', 'second', 'third'][i], n.text = CASE i WHEN 0 THEN $text END`,
      // The first node fills an entry.
      { text: 'x'.repeat(4 * 1024 ** 2) },
    );
    const move = async (from: string, to: string) => {
      await run(driver, 'MATCH (n:Twice {id: $to}) SET n.id = randomUUID()', { to });
      await run(driver, 'MATCH (n:Twice {id: $from}) SET n.id = $to', { from, to });
    };
    const whileItRuns = (atSecond: () => Promise<void>) => {
      const open = keyed('Twice');
      return exportAll(() => {
        const store = open();
        const start = store.export.bind(store);
        store.export = async function* (shard, cursor, context) {
          if (cursor !== null && Object(cursor).chunk === 2) await atSecond();
          yield* start(shard, cursor, context);
        };
        return store;
      }, 1);
    };
    const free = await whileItRuns(() => move('third', 'first'));
    expect(await checkOf(free.archive, free.tallies)).toMatchObject([
      { code: 'nodes-with-equal-keys', count: 1, samples: ['first'] },
    ]);

    await run(driver, 'CREATE CONSTRAINT once FOR (n:Twice) REQUIRE n.id IS UNIQUE');
    const still = await exportAll(keyed('Twice'), 1);
    expect(await checkOf(still.archive, still.tallies)).toEqual([]);
    const broken = await whileItRuns(async () => {
      const [row] = await run(driver, 'MATCH (n:Twice) WITH n ORDER BY id(n) LIMIT 1 RETURN n.id AS key');
      await move('first', String(row?.key));
    });
    expect(await checkOf(broken.archive, broken.tallies)).toMatchObject([
      { code: 'constraint-broken', count: 1, text: expect.stringContaining('"once" allows only once') },
    ]);

    // Without the constraint, everything is restored, including both of them.
    await run(driver, 'DROP CONSTRAINT once');
    const restored = await restoreAll(keyed('Twice'), free.archive);
    expect([restored.samples, restored.readBack]).toEqual([[], free.tallies]);
  });

  test('has the same tallies if the server sorts instead of seeking', async () => {
    await run(driver, 'UNWIND range(1, 300) AS i CREATE (n:Sort {id: i})-[:NEXT {i: i}]->(:Sort {id: -i})');
    const { tallies } = await exportAll(keyed('Sort'));
    const sorted = await exportAll(() => {
      const store = keyed('Sort')();
      const seek = store.export.bind(store);
      store.export = (shard: Shard, cursor, context) => seek(sortedShard(shard), cursor, context);
      return store;
    });
    expect(sorted.tallies).toEqual(tallies);
  });

  test('has the same tallies regardless of the internal ids of the records, with and without keys', async () => {
    const twice = async (open: () => Store, create: string) => {
      await run(driver, create);
      const first = (await exportAll(open)).tallies;
      await run(driver, 'MATCH (n:T) DETACH DELETE n');
      await run(driver, 'UNWIND range(1, 100) AS i CREATE (:Filler)');
      await run(driver, create);
      const second = (await exportAll(open)).tallies;
      await run(driver, 'MATCH (n) DETACH DELETE n');
      return [first, second];
    };
    const create =
      "CREATE (a:T {id: 'a'})-[:R {w: 1}]->(b:T {id: 'b', list: [1]}), (b)-[:R]->(c:T {note: 'none'}), (c)-[:R]->(a)";
    const [first, second] = await twice(keyed('T'), create);
    expect(second).toEqual(first);
    const [third, fourth] = await twice(openGraph(server, { label: 'T' }), create);
    expect(fourth).toEqual(third);
  });

  test('reads a large property of a node once or twice, regardless of the number of its relationships', async () => {
    const text = 'x'.repeat(3_000_000);
    await run(driver, "CREATE (:Hub {n: 1, text: $text, list: ['a', 'b']})", { text });
    await run(
      driver,
      'MATCH (h:Hub) UNWIND range(1, 300) AS i CREATE (h)-[:R {i: i}]->(:Leaf {i: i})-[:S]->(h)',
    );
    const [host = '', port] = server.uri.replace('bolt://', '').split(':');
    const proxy = await startCutProxy(host, Number(port));
    try {
      // With each relationship, the property would be 1.8 GB.
      proxy.cutAfter(24_000_000);
      const open = openGraph({ ...server, uri: `bolt://127.0.0.1:${proxy.port}` });
      const { archive, tallies } = await exportAll(open);
      expect(proxy.cuts()).toBe(0);
      expect(tallies.relationships?.count).toBe(600);
      // The digest of archives from all versions: of labels and properties that are not lists.
      const body = `"labels":["Hub"],"properties":{"n":1,"text":${JSON.stringify(text)}}`;
      const digest = createHash('sha256').update(body).digest('hex').slice(0, 32);
      const ends = linesOf(archive, 'graph/relationships-').map(({ label, start, end }) =>
        label === 'R' ? start : end,
      );
      expect(new Set(ends.map((end) => (end as { digest: string }).digest))).toEqual(new Set([digest]));
      // A leg that starts at the relationships has not read the node.
      expect((await exportAll(open, 1)).tallies).toEqual(tallies);
      proxy.cutAfter(24_000_000);
      const restored = await restoreAll(open, archive);
      expect([restored.samples, restored.readBack.relationships]).toEqual([[], tallies.relationships]);
      expect(proxy.cuts()).toBe(0);
    } finally {
      await proxy.close();
    }
  });

  test('has another tally if a relationship has other ends, with and without keys', async () => {
    const relationships = async (open: () => Store, create: string) => {
      await run(driver, create);
      const { tallies } = await exportAll(open);
      await run(driver, 'MATCH (n:T) DETACH DELETE n');
      return tallies.relationships;
    };
    const one = "CREATE (a:T {id: 'a'}), (b:T {id: 'b'}), (c:T {id: 'c'}), (a)-[:R]->(b)";
    const other = "CREATE (a:T {id: 'a'}), (b:T {id: 'b'}), (c:T {id: 'c'}), (a)-[:R]->(c)";
    for (const open of [keyed('T'), openGraph(server, { label: 'T' })]) {
      expect(await relationships(open, one)).not.toEqual(await relationships(open, other));
    }
  });

  test('contains every unchanged record once, while others are added and deleted', async () => {
    // Half of them stay. They take several pages, and the relationships of the others as well.
    const count = 6000;
    await run(driver, 'UNWIND range(1, $count) AS i CREATE (:Churn {id: i, stays: i % 2 = 0})', { count });
    await run(
      driver,
      'MATCH (b:Churn {id: 2}) WITH b MATCH (a:Churn) WHERE a.stays CREATE (a)-[:R {of: a.id}]->(b)',
    );
    let going = true;
    const churn = (async () => {
      for (let round = 1; going; round++) {
        await run(driver, 'MATCH (n:Churn {stays: false}) WITH n LIMIT 300 DETACH DELETE n');
        await run(
          driver,
          `MATCH (b:Churn {id: 2}) UNWIND range(1, 300) AS i
           CREATE (:Churn {id: 'new ' + $round + ' ' + i, stays: false})-[:NEW]->(b)`,
          { round },
        );
      }
    })();
    const { archive } = await exportAll(keyed('Churn'), 1).finally(() => {
      going = false;
    });
    await churn;
    const stayed = linesOf(archive, 'graph/nodes-')
      .map(({ properties }) => properties as { id: number; stays: boolean })
      .filter(({ stays }) => stays)
      .map(({ id }) => id);
    expect(stayed.length).toBe(count / 2);
    expect(new Set(stayed).size).toBe(count / 2);
    const related = linesOf(archive, 'graph/relationships-')
      .filter(({ label }) => label === 'R')
      .map(({ properties }) => (properties as { of: number }).of);
    expect(related.length).toBe(count / 2);
    expect(new Set(related).size).toBe(count / 2);
    // Changes during the export leave no dangling relationships.
    const restored = await restoreAll(keyed('Churn'), archive);
    expect(restored.samples).toEqual([]);
    expect(await graphLeftovers(driver)).toEqual([]);
  });

  test('attaches no relationship to a node that reuses the id of the saved one', async () => {
    await run(driver, "CREATE (:Id {id: 'a'})-[:R]->(:Id {id: 'b'})");
    const { archive } = await exportAll(keyed('Id'));
    const [name = ''] = archive.names().filter((entry) => entry.startsWith('graph/relationships-'));
    archive.set(name, (archive.text(name) ?? '').replace('"id":"b"', '"id":"another"'));
    const restored = await restoreAll(keyed('Id'), archive);
    expect(restored.loaded.left_out?.count).toBe(1);
    expect(restored.differences).toBe(0);
    expect(await run(driver, 'MATCH (:Id)-[r]->() RETURN r')).toEqual([]);
  });
});

function sortedShard(shard: Shard): Shard {
  const params = structuredClone(shard.params) as Record<string, { access: string } | null>;
  for (const range of [params.nodes, params.relationships]) if (range) range.access = 'sort';
  return { ...shard, params: params as Shard['params'] };
}

describe('one label among several', () => {
  beforeEach(async () => {
    await run(
      driver,
      `CREATE (a:Mine {id: 'a'}), (b:Mine:Entity {id: 'b'}), (o:Other {id: 'o'}), (p:Other:Entity {id: 'p'}),
       (a)-[:IN]->(b), (a)-[:OUT {w: 1.0}]->(o), (p)-[:INTO]->(b), (o)-[:OTHERS]->(p)`,
    );
    await run(driver, 'CREATE INDEX mine FOR (n:Mine) ON (n.id)');
    await run(driver, 'CREATE INDEX others FOR (n:Other) ON (n.id)');
    await run(driver, 'CREATE FULLTEXT INDEX both FOR (n:Mine|Other) ON EACH [n.id]');
  });

  test('is saved with the relationships among its nodes, and separately those to other nodes', async () => {
    const { archive, tallies } = await exportAll(keyed('Mine'));
    expect([
      tallies.nodes?.count,
      tallies.relationships?.count,
      tallies.dangling?.count,
      tallies.schema?.count,
    ]).toEqual([2, 1, 2, 2]);
    const dangling = linesOf(archive, 'graph/dangling-');
    expect(dangling.map(({ label }) => label).sort()).toEqual(['INTO', 'OUT']);
    expect(dangling.find(({ label }) => label === 'OUT')).toMatchObject({
      start: { labels: ['Mine'], properties: { id: 'a' } },
      end: { labels: ['Other'], properties: { id: 'o' } },
    });
    const { counts } = await withStore(keyed('Mine'), (store) => store.probe(legContext()));
    expect(counts).toEqual({ nodes: 2, relationships: 1, dangling: 2, schema: 2 });
  });

  test('is restored without touching the others; relationships to other nodes are counted as left out', async () => {
    const others = await graphContent(driver, 'Other');
    const mine = await graphContent(driver, 'Mine');
    const { archive } = await exportAll(keyed('Mine'));
    await run(driver, "MATCH (n:Mine {id: 'b'}) DETACH DELETE n");
    await run(driver, 'DROP INDEX mine');
    const restored = await restoreAll(keyed('Mine'), archive);
    expect(restored.differences).toBe(0);
    expect(restored.loaded.left_out?.count).toBe(2);
    expect(await graphContent(driver, 'Other')).toBe(others);
    expect(await graphContent(driver, 'Mine')).toBe(mine);
  });
});

describe('clearing', () => {
  test('empties a scope in bounded transactions, regardless of the degree of its nodes', async () => {
    await run(driver, "CREATE (:Hub {id: 'hub'}), (:Stays {id: 's'})");
    await run(driver, "MATCH (h:Hub {id: 'hub'}) UNWIND range(1, 21000) AS i CREATE (h)-[:R]->(h)");
    await run(driver, 'MATCH (h:Hub), (s:Stays) CREATE (s)-[:R]->(h)');
    const clear = (cursor: Cursor | null) =>
      withStore(keyed('Hub'), (store) =>
        store.clear({
          archive: new MemoryArchive(),
          options: REPLACE,
          cursor,
          context: legContext({ timeLeft: () => 0 }),
        }),
      );
    let leg = await clear(null);
    let legs = 1;
    for (; leg.cursor !== null; legs++) leg = await clear(leg.cursor);
    // Two for the relationships, and one that finds nothing more.
    expect(legs).toBeGreaterThan(2);
    expect(await run(driver, 'MATCH (n) RETURN labels(n) AS labels')).toEqual([{ labels: ['Stays'] }]);
  });

  test('leaves everything unchanged before a merge', async () => {
    await run(driver, 'CREATE (:M {id: 1})');
    await withStore(keyed('M'), (store) =>
      store.clear({
        archive: new MemoryArchive(),
        options: { mode: 'merge', onConflict: 'keep' },
        cursor: null,
        context: legContext(),
      }),
    );
    expect(await run(driver, 'MATCH (n:M) RETURN n.id AS id')).toEqual([{ id: 1n }]);
  });
});

describe('a restore', () => {
  test('that is started again under the same job, from the start, loads everything again', async () => {
    await run(driver, 'UNWIND range(1, 3000) AS i CREATE (n:Again {id: i})-[:R]->(n)');
    const { archive, tallies } = await exportAll(keyed('Again'));
    await restoreAll(keyed('Again'), archive, { unfinished: true });
    const restored = await restoreAll(keyed('Again'), archive);
    expect([restored.samples, restored.loaded, restored.readBack]).toEqual([[], tallies, tallies]);
  });

  test('takes over what a restore of another job left unfinished', async () => {
    await run(driver, 'UNWIND range(1, 3000) AS i CREATE (n:Again {id: i})-[:R]->(n)');
    const before = await graphContent(driver, 'Again');
    const { archive } = await exportAll(keyed('Again'));
    const context = legContext({ jobId: 'one-that-died', timeLeft: () => 0 });
    await withStore(keyed('Again'), async (store) => {
      await store.clear({
        archive,
        options: REPLACE,
        cursor: null,
        context: legContext({ jobId: 'one-that-died' }),
      });
      const { cursor } = await store.load({ archive, options: REPLACE, cursor: null, context });
      const next = await store.load({ archive, options: REPLACE, cursor, context });
      await store.load({ archive, options: REPLACE, cursor: next.cursor, context });
    });
    const { warnings } = await withStore(keyed('Again'), (store) => store.probe(legContext()));
    expect(warnings).toEqual([expect.objectContaining({ code: 'unfinished-restore' })]);
    const restored = await restoreAll(keyed('Again'), archive);
    expect(restored.samples).toEqual([]);
    expect(await graphContent(driver, 'Again')).toBe(before);
    expect(await graphLeftovers(driver)).toEqual([]);
  });
});

describe('a merge', () => {
  const saved =
    "CREATE (a:M:Old {id: 'a', v: 1}), (b:M {id: 'b', v: 1}), (c:M {id: 'c'}), (a)-[:R {w: 1}]->(b), (b)-[:R {w: 1}]->(c), (b)-[:S]->(c), (b)-[:S]->(c)";
  const target =
    "CREATE (a:M:New {id: 'a', v: 2}), (b:M {id: 'b', v: 1}), (x:M {id: 'x'}), (a)-[:R {w: 2}]->(b), (a)-[:R {w: 3}]->(b), (x)-[:R]->(a)";
  const nodes = () => run(driver, 'MATCH (n:M) RETURN n.id AS id, n.v AS v, labels(n) AS labels ORDER BY id');
  const relationships = async () =>
    (
      await run(
        driver,
        "MATCH (a:M)-[r]->(b:M) RETURN a.id + ' ' + type(r) + ' ' + coalesce(r.w, '') + ' ' + b.id AS text ORDER BY text",
      )
    ).map(({ text }) => text);
  let archive: MemoryArchive;

  beforeEach(async () => {
    await run(driver, saved);
    ({ archive } = await exportAll(keyed('M')));
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await run(driver, target);
  });

  test('with "overwrite" gives existing records the state of the archive, and leaves the others', async () => {
    const options = { mode: 'merge', onConflict: 'overwrite' } as const;
    for (let time = 0; time < 2; time++) {
      const restored = await restoreAll(keyed('M'), archive, {
        options,
        hurried: time === 1,
        repeated: time === 1,
      });
      expect(restored.samples).toEqual([]);
      expect((await nodes()).map(({ id, v, labels }) => [id, v, [...(labels as string[])].sort()])).toEqual([
        ['a', 1n, ['M', 'Old']],
        ['b', 1n, ['M']],
        ['c', null, ['M']],
        ['x', null, ['M']],
      ]);
      expect(await relationships()).toEqual(['a R 1 b', 'b R 1 c', 'b S  c', 'b S  c', 'x R  a']);
      expect(await graphLeftovers(driver)).toEqual([]);
    }
  });

  test('with "keep" adds what is missing, and leaves existing records', async () => {
    const options = { mode: 'merge', onConflict: 'keep' } as const;
    for (let time = 0; time < 2; time++) {
      const restored = await restoreAll(keyed('M'), archive, {
        options,
        hurried: time === 1,
        repeated: time === 1,
      });
      expect(restored.samples).toEqual([]);
      expect((await nodes()).map(({ id, v }) => [id, v])).toEqual([
        ['a', 2n],
        ['b', 1n],
        ['c', null],
        ['x', null],
      ]);
      expect(await relationships()).toEqual(['a R 2 b', 'a R 3 b', 'b R 1 c', 'b S  c', 'b S  c', 'x R  a']);
      expect(await graphLeftovers(driver)).toEqual([]);
    }
  });

  test('with "fail" reports the differences before it writes anything', async () => {
    const before = await graphContent(driver, 'M');
    const options = { mode: 'merge', onConflict: 'fail' } as const;
    await expect(restoreAll(keyed('M'), archive, { options })).rejects.toThrow(/a different node .*"a"/);
    await withStore(keyed('M'), (store) => store.finish(legContext()));
    expect(await graphContent(driver, 'M')).toBe(before);
  });

  test('with "fail" succeeds if both sides are the same', async () => {
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await run(driver, saved);
    const before = await graphContent(driver, 'M');
    const restored = await restoreAll(keyed('M'), archive, {
      options: { mode: 'merge', onConflict: 'fail' },
    });
    expect(restored.samples).toEqual([]);
    expect(await graphContent(driver, 'M')).toBe(before);
  });

  test('into a whole database finds nodes by their labels and key', async () => {
    const open = openGraph(server, { key_property: 'id' });
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await run(driver, 'CREATE (:P {id: 1, v: 1})-[:R]->(:Q {id: 1, v: 1})');
    const whole = (await exportAll(open)).archive;
    await run(driver, 'MATCH (n:P) SET n.v = 2');
    const restored = await restoreAll(open, whole, { options: { mode: 'merge', onConflict: 'overwrite' } });
    expect(restored.samples).toEqual([]);
    expect(await run(driver, 'MATCH (p:P)-[r:R]->(q:Q) RETURN p.v AS p, q.v AS q')).toEqual([
      { p: 1n, q: 1n },
    ]);
    expect(await run(driver, 'MATCH (n) RETURN count(n) AS count')).toEqual([{ count: 2n }]);
  });

  test('is refused if no key is configured to identify nodes', async () => {
    const problems = await withStore(openGraph(server, { label: 'M' }), (store) =>
      store.admits({ archive, options: { mode: 'merge', onConflict: 'keep' }, context: legContext() }),
    );
    expect(problems).toEqual([expect.stringContaining('key_property')]);
  });

  test('is refused if a node has no key, or two have the same', async () => {
    const options = { mode: 'merge', onConflict: 'overwrite' } as const;
    const [name = ''] = archive.names();
    const text = archive.text(name) ?? '';
    archive.set(name, text.replace('"id":"a"', '"id":"b"'));
    await expect(restoreAll(keyed('M'), archive, { options })).rejects.toThrow(/two of node/);
    archive.set(name, text.replace('"id":"a"', '"key":"a"'));
    await expect(restoreAll(keyed('M'), archive, { options })).rejects.toThrow(InvalidInputError);
  });
});

describe('the schema', () => {
  const lineOf = (change: object) =>
    JSON.stringify({
      type: 'constraint',
      name: 'k',
      kind: 'NODE_KEY',
      entity: 'NODE',
      tokens: ['K'],
      properties: ['id'],
      config: {},
      ...change,
    });

  test('is refused before the restore if Community Edition does not support it', async () => {
    const archive = new MemoryArchive();
    const kinds = [
      {},
      { name: 'e', kind: 'NODE_PROPERTY_EXISTENCE' },
      { name: 't', kind: 'RELATIONSHIP_PROPERTY_TYPE', entity: 'RELATIONSHIP', property_type: 'STRING' },
    ];
    archive.set('graph/schema.jsonl', kinds.map((kind) => `${lineOf(kind)}\n`).join(''));
    const problems = await withStore(keyed('K'), (store) =>
      store.admits({ archive, options: REPLACE, context: legContext() }),
    );
    expect(problems.length).toBe(3);
    for (const problem of problems) expect(problem).toContain('Enterprise');
  });

  test('is refused before the restore if another object of the target has its name', async () => {
    await run(driver, 'CREATE INDEX k FOR (n:Foreign) ON (n.id)');
    const archive = new MemoryArchive();
    archive.set('graph/schema.jsonl', `${lineOf({ kind: 'UNIQUENESS' })}\n`);
    const admits = (store: Store) => store.admits({ archive, options: REPLACE, context: legContext() });
    expect(await withStore(keyed('K'), admits)).toEqual([expect.stringContaining('"k"')]);
    // A restore of the whole database drops it before.
    expect(await withStore(openGraph(server), admits)).toEqual([]);
  });

  test('of another scope that is the same already is not changed', async () => {
    await run(driver, 'CREATE INDEX k FOR (n:K) ON (n.id)');
    const { archive } = await exportAll(keyed('K'));
    const restored = await restoreAll(keyed('K'), archive, {
      options: { mode: 'merge', onConflict: 'keep' },
    });
    expect(restored.samples).toEqual([]);
    expect(await run(driver, "SHOW INDEXES YIELD name WHERE name = 'k' RETURN name")).toEqual([
      { name: 'k' },
    ]);
  });
});

describe('an invalid archive', () => {
  test.each([
    ['graph/nodes-00001.jsonl', '{"type":"node","id":"1","labels":["H"],"properties":{"__ngbak_id":"2"}}\n'],
    ['graph/nodes-00001.jsonl', '{"type":"node","id":"1","labels":["H"],"properties":{"a":{}}}\n'],
    ['graph/relationships-00001.jsonl', '{"type":"relationship"}\n'],
    ['graph/schema.jsonl', '{"kind":"MAGIC"}\n'],
  ])('is refused with entry and line: %s %s', async (name, text) => {
    const archive = new MemoryArchive();
    archive.set(name, text);
    const error = await restoreAll(keyed('H'), archive).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(InvalidInputError);
    expect((error as Error).message).toContain(`${name}, line 1`);
  });
});

describe('a broken connection', () => {
  test('is reconnected in the middle of an export, which neither loses nor duplicates a record', async () => {
    await run(driver, 'UNWIND range(1, 3000) AS i CREATE (:Cut {id: i, text: $text + i})', {
      text: 'some text that fills the line of this node '.repeat(20),
    });
    const { port, hostname } = new URL(server.uri.replace(/^[^:]+/, 'http'));
    const proxy = await startCutProxy(hostname, Number(port));
    try {
      const open = openGraph(
        { ...server, uri: `bolt://127.0.0.1:${proxy.port}` },
        { label: 'Cut', key_property: 'id' },
      );
      const whole = await exportAll(open);
      proxy.cutAfter(1_500_000);
      const cut = await exportAll(open);
      expect(proxy.cuts()).toBeGreaterThan(0);
      expect(cut.tallies).toEqual(whole.tallies);
      expect(cut.archive.names().map((name) => cut.archive.text(name))).toEqual(
        whole.archive.names().map((name) => whole.archive.text(name)),
      );
    } finally {
      await proxy.close();
    }
  });

  test('during a load leaves complete batches, and the repeated leg neither loses nor duplicates one', async () => {
    await run(driver, 'UNWIND range(1, 5000) AS i CREATE (n:Cut {id: i})-[:R {i: i}]->(n)');
    const { archive, tallies } = await exportAll(keyed('Cut'));
    await run(driver, 'MATCH (n:Cut) DETACH DELETE n');
    const { port, hostname } = new URL(server.uri.replace(/^[^:]+/, 'http'));
    const proxy = await startCutProxy(hostname, Number(port));
    try {
      const open = openGraph(
        { ...server, uri: `bolt://127.0.0.1:${proxy.port}` },
        { label: 'Cut', key_property: 'id' },
      );
      const load = (cursor: Cursor | null, timeLeft: () => number) =>
        withStore(open, (store) =>
          store.load({ archive, options: REPLACE, cursor, context: legContext({ timeLeft }) }),
        );
      // Each leg is cut somewhere, also between a commit and its answer; then it is repeated from its start.
      for (const bytes of [1_000, 4_000, 6_000, 9_000]) {
        proxy.cutAfter(bytes);
        await load(null, () => 60_000).catch((error: unknown) =>
          expect(error).toBeInstanceOf(UnavailableError),
        );
      }
      expect(proxy.cuts()).toBeGreaterThan(0);
      proxy.cutAfter(Number.POSITIVE_INFINITY);
      const leg = await load(null, () => 60_000);
      expect(leg.cursor).toBeNull();
      expect(leg.tallies).toEqual(tallies);
      const verified = await withStore(open, (store) =>
        store.verify({ archive, options: REPLACE, cursor: null, context: legContext() }),
      );
      expect([verified.samples, verified.differences, verified.tallies]).toEqual([[], 0, tallies]);
      await withStore(open, (store) => store.finish(legContext()));
      expect(await graphLeftovers(driver)).toEqual([]);
    } finally {
      await proxy.close();
    }
  });
});
