import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { addTallies, type Tallies } from '../../../shared/core/digest.ts';
import { InvalidInputError } from '../../../shared/core/errors.ts';
import type { LegContext } from '../../../shared/stores/leg.ts';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import { scopeText } from '../../../shared/stores/neo4j/scope.ts';
import type { RouteRequest } from '../../../shared/stores/route.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { checkSealed } from '../checked.ts';
import { exportAll, legContext, MemoryArchive, restoreAll, withStore } from '../memory-archive.ts';
import {
  dropSchema,
  graphLeftovers,
  openGraph,
  plainDriver,
  run,
  type TestServer,
  tenantContent,
} from './graph.ts';
import { leaveServer, wholeServer } from './server.ts';

const REQUEST: RouteRequest = { only: {}, rename: {}, sameProfile: true };
const STITCH = { mode: 'replace', onConflict: 'fail', dangling: 'stitch' } as const;

let server: TestServer;
let driver: Driver;

beforeAll(async () => {
  server = await wholeServer();
  driver = plainDriver(server);
});

/** Two tenants with the same keys, a node of neither, and relationships across. */
async function seed(): Promise<void> {
  await run(driver, 'MATCH (n) DETACH DELETE n');
  await dropSchema(driver);
  await run(
    driver,
    `UNWIND ['a', 'b'] AS group
     CREATE (x:Entity:Person {uuid: 'x', name: 'X', group_id: group, embedding: [0.5, 0.1]}),
            (y:Entity {uuid: 'y', name: 'Y', group_id: group}), (e:Episodic {uuid: 'e', group_id: group, content: group}),
            ({group_id: group, note: 'neither key nor label'})
     CREATE (x)-[:RELATES_TO {uuid: 'xy', group_id: group, fact: 'knows'}]->(y), (e)-[:MENTIONS {group_id: group}]->(x),
            (e)-[:MENTIONS]->(y)`,
  );
  await run(
    driver,
    `MATCH (xa:Entity {uuid: 'x', group_id: 'a'}), (yb:Entity {uuid: 'y', group_id: 'b'}), (ea:Episodic {group_id: 'a'})
     CREATE (n:Entity {uuid: 'z'}), (s:Shared {uuid: 's', group_id: 'c'})
     CREATE (xa)-[:SAME_AS {group_id: 'a'}]->(s), (s)-[:SAME_AS {group_id: 'b'}]->(ea), (n)-[:KNOWS]->(yb)`,
  );
}

afterAll(async () => {
  await driver?.close();
  await leaveServer();
});

const scopeOf = (...values: string[]): Neo4jScope => ({
  property: 'group_id',
  in: values,
  key_property: 'uuid',
});
const open = (...values: string[]) => openGraph(server, scopeOf(...values));
const contentOf = (value?: string) => tenantContent(driver, 'group_id', value);
const everything = async () =>
  Promise.all(['a', 'b', 'c', undefined].map((value) => tenantContent(driver, 'group_id', value)));

function linesOf(archive: MemoryArchive, prefix: string): Record<string, unknown>[] {
  return archive
    .names()
    .filter((name) => name.startsWith(prefix))
    .flatMap((name) => archive.text(name).trimEnd().split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

async function warningsOf(...values: string[]): Promise<Record<string, StoreWarning>> {
  const { warnings } = await withStore(open(...values), (store) => store.probe(legContext()));
  return Object.fromEntries(warnings.map((warning) => [warning.code, warning]));
}

/** Restores into the scope of a route, from the archive as viewed at the destination. */
async function restoreTo(
  archive: MemoryArchive,
  saved: Neo4jScope,
  target: Neo4jScope,
  request: Partial<RouteRequest> = {},
) {
  const route = await neo4jAdapter.route(archive, saved, target, { ...REQUEST, ...request });
  const view = neo4jAdapter.view(archive, route);
  return { route, restored: await restoreAll(openGraph(server, Neo4jScope.parse(route.scope)), view) };
}

describe('one tenant among several, by a property', () => {
  beforeEach(seed);
  test('is saved with the relationships among its nodes, and separately those to other nodes', async () => {
    const { archive, tallies } = await exportAll(open('a'));
    expect(tallies).toMatchObject({
      nodes: { count: 4 },
      relationships: { count: 3 },
      dangling: { count: 2 },
    });
    const groups = linesOf(archive, 'graph/nodes-').map(({ properties }) => properties);
    expect(groups).toEqual(Array.from({ length: 4 }, () => expect.objectContaining({ group_id: 'a' })));
    expect(linesOf(archive, 'graph/dangling-')).toEqual([
      expect.objectContaining({
        start: expect.not.objectContaining({ outside: expect.anything() }),
        end: expect.objectContaining({ outside: { value: 'c' } }),
      }),
      expect.objectContaining({
        start: expect.objectContaining({ outside: { value: 'c' } }),
        end: expect.not.objectContaining({ outside: expect.anything() }),
      }),
    ]);
    const { counts } = await withStore(open('a'), (store) => store.probe(legContext()));
    expect(counts).toEqual({ nodes: 4, relationships: 3, dangling: 2, schema: 0 });
    // The other end has no such property.
    const probe = await withStore(open('b'), (store) => store.probe(legContext()));
    expect([probe.counts.dangling, (await exportAll(open('b'))).tallies.dangling?.count]).toEqual([1, 1]);
    const checked = await checkSealed(archive, {
      store: 'graph',
      kind: 'neo4j',
      tallies,
      scope: { property: 'group_id', in: ['a'], key_property: 'uuid' },
    });
    expect([checked.problems, checked.warnings]).toEqual([[], []]);
  });

  test('is wiped and restored, and the other tenants stay as they are, also with relationships across', async () => {
    const before = await everything();
    const { archive, tallies } = await exportAll(open('a'));
    await run(driver, "MATCH (n {group_id: 'a'}) DETACH DELETE n");
    const { differences, readBack, loaded } = await restoreAll(open('a'), archive, { options: STITCH });
    expect([differences, loaded.stitched?.count]).toEqual([0, 2]);
    expect(readBack).toMatchObject({ nodes: tallies.nodes, relationships: tallies.relationships });
    expect(await everything()).toEqual(before);
    expect(await graphLeftovers(driver)).toEqual([]);
  });

  test('loses only relationships across if they are not attached, and counts them as left out', async () => {
    const { archive } = await exportAll(open('a'));
    const { loaded, differences } = await restoreAll(open('a'), archive, { hurried: true, repeated: true });
    expect([differences, loaded.left_out?.count]).toEqual([0, expect.any(Number)]);
    const [row] = await run(
      driver,
      "MATCH (n {group_id: 'a'})--(m) WHERE m.group_id <> 'a' RETURN count(*) AS found",
    );
    expect(row?.found).toBe(0n);
    const [others] = await run(
      driver,
      "MATCH (n) WHERE coalesce(n.group_id, '') <> 'a' RETURN count(n) AS found",
    );
    expect(others?.found).toBe(6n);
  });

  test('is as before after a restore that fails halfway and is rolled back from a safety backup of its destination', async () => {
    const { archive } = await exportAll(open('a'));
    await run(
      driver,
      "CREATE (:Entity {uuid: 'later', group_id: 'new'})-[:KNOWS {group_id: 'new'}]->(:Entity {uuid: 'x', group_id: 'new'})",
    );
    await run(driver, "MATCH (n {uuid: 'later'}), (s {uuid: 's'}) CREATE (n)-[:SAME_AS]->(s)");
    const contents = async () => [...(await everything()), await contentOf('new')];
    const before = await contents();
    const route = await neo4jAdapter.route(archive, scopeOf('a'), scopeOf('new'), REQUEST);
    const place = openGraph(server, Neo4jScope.parse(route.scope));
    const safety = await exportAll(place);
    expect(safety.tallies).toMatchObject({ nodes: { count: 2 }, dangling: { count: 1 } });
    const [entry = ''] = archive.names().filter((name) => name.startsWith('graph/relationships-'));
    archive.set(entry, `${archive.text(entry)}{"type":"relationship"}\n`);
    await expect(restoreAll(place, neo4jAdapter.view(archive, route), { unfinished: true })).rejects.toThrow(
      entry,
    );
    expect(await contentOf('new')).not.toEqual(before.at(-1));

    const back = await neo4jAdapter.route(safety.archive, scopeOf('new'), scopeOf('new'), REQUEST);
    const { differences } = await restoreAll(place, neo4jAdapter.view(safety.archive, back), {
      options: STITCH,
      context: { asIs: true, jobId: 'rollback' },
    });
    expect(differences).toBe(0);
    expect(await contents()).toEqual(before);
    expect(await graphLeftovers(driver)).toEqual([]);
  });

  test('can be several tenants at once, which keep the relationships between them', async () => {
    await run(
      driver,
      "MATCH (x {uuid: 'x', group_id: 'a'}), (y {uuid: 'y', group_id: 'b'}) CREATE (x)-[:LINK {n: 1}]->(y)",
    );
    const before = await everything();
    const { archive, tallies } = await exportAll(open('a', 'b'));
    expect(tallies).toMatchObject({ nodes: { count: 8 }, relationships: { count: 7 } });
    await run(driver, "MATCH (n) WHERE n.group_id IN ['a', 'b'] DETACH DELETE n");
    expect((await restoreAll(open('a', 'b'), archive, { options: STITCH })).differences).toBe(0);
    expect(await everything()).toEqual(before);
  });

  test('is the same in several shards, and if the server sorts instead of seeking', async () => {
    const whole = await exportAll(open('a'));
    const context = legContext();
    const shards = await withStore(open('a'), async (store) => {
      const probe = await store.probe(context);
      return store.plan(context, { ...probe, estimatedBytes: 5 * 1024 ** 3 });
    });
    expect(shards).toHaveLength(3);
    for (const access of ['seek', 'sort']) {
      let tallies: Tallies = {};
      for (const shard of shards) {
        const params = JSON.parse(
          JSON.stringify(shard.params).replaceAll(/"access":"\w+"/g, `"access":"${access}"`),
        );
        await withStore(open('a'), async (store) => {
          for await (const step of store.export({ ...shard, params }, null, context)) {
            tallies = addTallies(tallies, step.tallies);
          }
        });
      }
      expect([access, tallies]).toEqual([access, whole.tallies]);
    }
  });

  test('is merged without touching nodes of other tenants that have the same key', async () => {
    const { archive } = await exportAll(open('a'));
    const before = await contentOf('b');
    await run(driver, "MATCH (n {group_id: 'a'}) WHERE n.uuid IS NULL OR n.uuid = 'y' DETACH DELETE n");
    await run(driver, "MATCH (n {group_id: 'a', uuid: 'x'}) SET n.name = 'changed'");
    const keyed = new Map(archive.files);
    for (const [name, data] of keyed) {
      const lines = data.toString().trimEnd().split('\n');
      if (name.startsWith('graph/nodes-'))
        archive.set(name, `${lines.filter((line) => line.includes('uuid')).join('\n')}\n`);
    }
    const options = { mode: 'merge', onConflict: 'overwrite' } as const;
    expect((await restoreAll(open('a'), archive, { options })).differences).toBe(0);
    expect(await contentOf('b')).toBe(before);
    const names = await run(driver, "MATCH (n:Entity {group_id: 'a'}) RETURN n.name AS name ORDER BY name");
    expect(names.map(({ name }) => name)).toEqual(['X', 'Y']);
  });

  test('verifies the data of the target: a node that got the value meanwhile is a difference', async () => {
    const { archive } = await exportAll(open('a'));
    const { differences, samples } = await restoreAll(open('a'), archive, {
      beforeVerify: async () => {
        await run(driver, "MATCH (n:Entity {uuid: 'z'}) SET n.group_id = 'a'");
      },
    });
    expect([differences, samples]).toEqual([1, [expect.stringContaining('is not in the archive')]]);
  });
});

describe('the property of a scope', () => {
  beforeEach(seed);
  test('never matches another type, a part of a text or an element of a list, and a warning names such nodes', async () => {
    await run(
      driver,
      `CREATE (:Odd {group_id: ['7', 'x']}), (:Odd {group_id: 7}), (:Odd {group_id: '77'}), (:Odd {group_id: []}),
              (:Odd {group_id: date('2024-01-01')}), (:Odd {group_id: 7.5}), (:Odd {group_id: true}), (:Own {group_id: '7'})`,
    );
    const { tallies } = await exportAll(open('7'));
    expect(tallies.nodes?.count).toBe(1);
    const found = await warningsOf('7');
    expect(found['graph-scope-other-types']).toMatchObject({
      count: 2,
      samples: [expect.any(String), expect.any(String)],
    });
    await run(driver, 'CREATE INDEX odd FOR (n:Odd) ON (n.group_id)');
    await run(driver, 'CALL db.awaitIndexes(60)');
    expect((await warningsOf('7'))['graph-scope-other-types']).toEqual(found['graph-scope-other-types']);
    expect((await warningsOf('a'))['graph-scope-other-types']).toBeUndefined();
  });

  test('of relationships does not decide what is saved: a warning counts those with a value of the scope and other ends', async () => {
    await run(
      driver,
      `MATCH (x:Entity {uuid: 'x', group_id: 'b'}), (y:Entity {uuid: 'y', group_id: 'b'})
       CREATE (x)-[:RELATES_TO {group_id: 'a'}]->(y), (y)-[:RELATES_TO {group_id: ['a']}]->(x)`,
    );
    const outside = { count: 1, samples: [expect.stringMatching(/^RELATES_TO \d+$/)] };
    expect((await warningsOf('a'))['graph-scope-relationships-outside']).toMatchObject(outside);
    await run(driver, 'CREATE INDEX relates FOR ()-[r:RELATES_TO]-() ON (r.group_id)');
    await run(driver, 'CALL db.awaitIndexes(60)');
    expect((await warningsOf('a'))['graph-scope-relationships-outside']).toMatchObject(outside);
    expect((await warningsOf('b'))['graph-scope-relationships-foreign']).toMatchObject({ count: 2 });
    expect((await warningsOf('c'))['graph-scope-relationships-outside']).toBeUndefined();
  });

  test('needs an index on each label and relationship type that has it: a warning names those without one', async () => {
    const samples = [
      '(:Entity)',
      '(:Episodic)',
      '(:Person)',
      '(:no label)',
      '[:MENTIONS]',
      '[:RELATES_TO]',
      '[:SAME_AS]',
    ];
    expect((await warningsOf('a'))['graph-scope-not-indexed']).toMatchObject({
      count: samples.length,
      samples,
    });
    await run(driver, 'CREATE INDEX of_entities FOR (n:Entity) ON (n.group_id)');
    await run(driver, 'CREATE INDEX of_episodes FOR (n:Episodic) ON (n.group_id)');
    await run(driver, 'CREATE INDEX two FOR ()-[r:SAME_AS]-() ON (r.group_id, r.uuid)');
    for (const type of ['MENTIONS', 'RELATES_TO']) {
      await run(driver, `CREATE INDEX ${type} FOR ()-[r:${type}]-() ON (r.group_id)`);
    }
    await run(driver, 'CALL db.awaitIndexes(60)');
    expect((await warningsOf('a'))['graph-scope-not-indexed']).toMatchObject({
      count: 2,
      samples: ['(:no label)', '[:SAME_AS]'],
    });
  });

  test('finds every node once, with and without indexes on some of its labels', async () => {
    const before = await exportAll(open('a'));
    await run(driver, 'CREATE INDEX of_entities FOR (n:Entity) ON (n.group_id)');
    await run(driver, 'CREATE INDEX of_persons FOR (n:Person) ON (n.group_id)');
    await run(driver, 'CALL db.awaitIndexes(60)');
    const [scoped, after] = [
      await withStore(open('a'), (store) => store.probe(legContext())),
      await exportAll(open('a')),
    ];
    expect(scoped.counts).toMatchObject({ nodes: 4, relationships: 3, dangling: 2, schema: 2 });
    expect({ ...after.tallies, schema: undefined }).toEqual({ ...before.tallies, schema: undefined });
    const { find, parameters } = scopeText(scopeOf('a'), { labels: ['Entity', 'Person'] });
    const { summary } = await driver.executeQuery(
      `EXPLAIN ${find('n', '-[r]->(b)')} RETURN count(r)`,
      parameters,
    );
    const plan = JSON.stringify(summary.plan, (_, value) => (typeof value === 'bigint' ? `${value}` : value));
    // For so few nodes, the server may prefer a scan of the label for some of them.
    expect(plan).toContain('"NodeIndexSeek@');
  });

  test('and its values never become part of a query', async () => {
    const value = "' OR 1=1 } RETURN n //\\u0027";
    const property = 'group`) DETACH DELETE n //\\u0060';
    const quoted = '`group``) DETACH DELETE n //\\u005Cu0060`';
    await run(
      driver,
      `CREATE (:Entity {uuid: 'own', ${quoted}: $value}), (:Entity {uuid: 'other', ${quoted}: 'x'})`,
      { value },
    );
    const before = await everything();
    const scope = { property, in: [value], key_property: 'uuid' };
    const { archive, tallies } = await exportAll(openGraph(server, scope));
    expect(tallies.nodes?.count).toBe(1);
    expect((await restoreAll(openGraph(server, scope), archive)).differences).toBe(0);
    expect(await everything()).toEqual(before);
  });
});

describe('the destination of a tenant', () => {
  beforeEach(seed);
  test('can be another tenant: the value is rewritten on nodes and relationships, and the first one stays', async () => {
    const { archive } = await exportAll(open('a'));
    await run(driver, "CREATE (:Entity {uuid: 'replaced', group_id: 'new'})");
    const before = await everything();
    const { route, restored } = await restoreTo(archive, scopeOf('a'), scopeOf('new'));
    expect(route).toMatchObject({ names: { a: 'new' }, changes: ['group_id "a" becomes "new"'] });
    expect(restored.differences).toBe(0);
    expect(await everything()).toEqual(before);
    const [renamed, original] = [await contentOf('new'), await contentOf('a')];
    expect(renamed).not.toContain('"group_id"="a"');
    // The copy has no relationships to other tenants; all the rest is the same.
    const nodes = (text: string) => text.split('\n').filter((line) => line.startsWith('('));
    expect(nodes(renamed)).toEqual(
      nodes(original).map((line) => line.replace('"group_id"="a"', '"group_id"="new"')),
    );
    const values = await run(
      driver,
      "MATCH ({group_id: 'new'})-[r]->() RETURN type(r) AS type, r.group_id AS value ORDER BY type, value",
    );
    expect(values).toEqual([
      { type: 'MENTIONS', value: 'new' },
      { type: 'MENTIONS', value: null },
      { type: 'RELATES_TO', value: 'new' },
    ]);
  });

  test('is the part of the configuration that the archive contains: other tenants of the target are not cleared', async () => {
    const { archive } = await exportAll(open('a'));
    const before = await contentOf('b');
    const { route, restored } = await restoreTo(archive, scopeOf('a'), scopeOf('a', 'b'));
    expect(route.scope).toEqual(scopeOf('a'));
    expect(restored.differences).toBe(0);
    expect(await contentOf('b')).toBe(before);
  });

  test('follows the configuration even if the manifest states the scope of another tenant', async () => {
    const { archive } = await exportAll(open('a'));
    const route = await neo4jAdapter.route(archive, scopeOf('b'), scopeOf('a'), REQUEST);
    expect(route.scope).toEqual(scopeOf('a'));
    const before = await everything();
    const view = neo4jAdapter.view(archive, route);
    await expect(restoreAll(openGraph(server, scopeOf('a')), view, { unfinished: true })).rejects.toThrow(
      /has no value of its scope in "group_id"/,
    );
    // The workflow rolls back what was cleared; the other tenants lost nothing but relationships to it.
    const others = (texts: readonly string[]) =>
      texts.slice(1).map((text) => text.split('\n').filter((line) => !/SAME_AS|__ngbak/.test(line)));
    expect(others(await everything())).toEqual(others(before));
  });

  test('refuses nodes of other tenants that an archive contains', async () => {
    const { archive } = await exportAll(open('b'));
    await expect(restoreAll(open('a'), archive)).rejects.toThrow(InvalidInputError);
    const problems = await withStore(open('a'), (store) =>
      store.admits({ archive, options: { mode: 'replace', onConflict: 'fail' }, context: legContext() }),
    );
    expect(problems).toEqual([
      expect.stringContaining('outside of the target\'s scope (property "group_id" in "a")'),
    ]);
  });

  test('can be a part by label, whose relationships to the rest are attached again', async () => {
    const { archive } = await exportAll(open('a'));
    const before = await everything();
    await run(driver, "MATCH (n:Entity {group_id: 'a'}) SET n.name = 'changed'");
    const route = await neo4jAdapter.route(archive, scopeOf('a'), scopeOf('a'), {
      ...REQUEST,
      only: { label: 'Entity' },
    });
    expect(route).toMatchObject({
      scope: { ...scopeOf('a'), label: 'Entity' },
      changes: ['only the nodes of label "Entity"'],
    });
    const place = openGraph(server, Neo4jScope.parse(route.scope));
    const { differences } = await restoreAll(place, neo4jAdapter.view(archive, route), { options: STITCH });
    expect(differences).toBe(0);
    expect(await everything()).toEqual(before);
    await expect(
      neo4jAdapter.route(archive, scopeOf('a'), scopeOf('a'), { ...REQUEST, only: { label: 'Typo' } }),
    ).rejects.toThrow('no node with label "Typo"');
  });

  test('can be saved as a part by label, which a restore puts back without the rest', async () => {
    const part = neo4jAdapter.narrow(scopeOf('a'), { label: 'Entity' });
    const place = openGraph(server, Neo4jScope.parse(part));
    const { archive, tallies } = await exportAll(place);
    expect(tallies).toMatchObject({
      nodes: { count: 2 },
      relationships: { count: 1 },
      dangling: { count: 3 },
    });
    const before = await everything();
    await run(driver, "MATCH (n:Entity {group_id: 'a'}) DETACH DELETE n");
    expect((await restoreAll(place, archive, { options: STITCH })).differences).toBe(0);
    expect(await everything()).toEqual(before);
  });

  test('can be the scratch place of a drill, which leaves every tenant and index as it is', async () => {
    await run(driver, 'CREATE CONSTRAINT entity_uuid FOR (n:Entity) REQUIRE (n.uuid, n.group_id) IS UNIQUE');
    const before = await everything();
    const { archive } = await exportAll(open('a'));
    const { scratch } = neo4jAdapter;
    const route = await scratch?.route(archive, scopeOf('a'), scopeOf('a'), 'job-1');
    if (!route || !scratch) throw new Error('no scratch place');
    const scope = Neo4jScope.parse(route.scope);
    expect(scope).toEqual(scopeOf('ngbak_drill_job-1'));
    const place = openGraph(server, scope);
    const context: LegContext = legContext();
    expect(await withStore(place, (store) => store.occupied(context))).toEqual([]);
    expect((await restoreAll(place, neo4jAdapter.view(archive, route))).differences).toBe(0);
    expect(await withStore(place, (store) => store.occupied(context))).toEqual(['4 nodes']);
    for (const question of neo4jAdapter.questions(scopeOf('a'))) {
      const there = scratch.question(question, scopeOf('a'), route);
      const asked = await withStore(open('a'), (store) => store.smoke(question, context));
      expect(there).toEqual(question);
      expect([question, await withStore(place, (store) => store.smoke(there, context))]).toEqual([
        question,
        String(question).includes('-[r]->') ? expect.any(String) : asked,
      ]);
    }
    expect(scratch.question('MATCH (n:Entity) RETURN count(n)', scopeOf('a'), route)).toBeUndefined();
    const [labels] = await run(
      driver,
      "MATCH (n {group_id: 'ngbak_drill_job-1', uuid: 'x'}) RETURN labels(n) AS labels",
    );
    expect(labels?.labels).toEqual(['ngbak_drill_of_Entity', 'ngbak_drill_of_Person']);
    for (let done = false; !done; ) {
      done = (await withStore(place, (store) => store.remove(context))).cursor === null;
    }
    expect(await withStore(place, (store) => store.occupied(context))).toEqual([]);
    expect(await everything()).toEqual(before);
    await expect(scratch.route(archive, scopeOf('a'), {}, 'job-1')).rejects.toThrow('whole database');
  });
});

describe('a scope by a property', () => {
  test.each<[string, unknown]>([
    ['a property without values', { property: 'group_id' }],
    ['values without a property', { in: ['a'] }],
    ['no values', { property: 'group_id', in: [] }],
    ['values that are not texts', { property: 'group_id', in: [7] }],
    ['a value twice', { property: 'group_id', in: ['a', 'a'] }],
    ['too many values', { property: 'group_id', in: Array.from({ length: 1001 }, (_, at) => `v${at}`) }],
    ['a value that is too long', { property: 'group_id', in: ['v'.repeat(1001)] }],
    ['a value with a meaning of its own in JavaScript', { property: 'group_id', in: ['__proto__'] }],
    ['a reserved property', { property: '__ngbak_id', in: ['a'] }],
    ['a name that no property can have', { property: 'a\0b', in: ['a'] }],
    ['the key as the property', { property: 'uuid', in: ['a'], key_property: 'uuid' }],
  ])('is rejected in a configuration or a manifest with %s', (_, scope) => {
    expect(Neo4jScope.safeParse(scope).success).toBe(false);
  });
});

describe('the destination of a tenant by a property', () => {
  test.each<[string, Neo4jScope | undefined, Neo4jScope, Partial<RouteRequest>, RegExp]>([
    ['a whole database', scopeOf('a'), {}, {}, /the target's scope is the whole database/],
    ['a label', scopeOf('a'), { label: 'L' }, {}, /the target's scope is label "L"/],
    ['another property', scopeOf('a'), { property: 'tenant', in: ['a'] }, {}, /property "tenant"/],
    ['a tenant, from a whole database', {}, scopeOf('a'), {}, /the archive contains the whole database/],
    ['a tenant, from an archive without a scope', undefined, scopeOf('a'), {}, /does not state its scope/],
    [
      'some of its tenants and one other',
      scopeOf('a', 'b'),
      scopeOf('b', 'c'),
      {},
      /not clear which value becomes which/,
    ],
    ['fewer tenants', scopeOf('a', 'b'), scopeOf('a'), {}, /not clear which value becomes which/],
    [
      'others by position, with another profile',
      scopeOf('a', 'b'),
      scopeOf('c', 'd'),
      { sameProfile: false },
      /not clear/,
    ],
    [
      'a label by renaming',
      scopeOf('a'),
      scopeOf('a'),
      { rename: { label: 'L' } },
      /no label that could be renamed/,
    ],
    ['the scratch place of a drill', scopeOf('a'), scopeOf('ngbak_drill_1'), {}, /reserved for drills/],
  ])('cannot be %s', async (_, saved, target, request, message) => {
    const archive = new MemoryArchive();
    await expect(neo4jAdapter.route(archive, saved, target, { ...REQUEST, ...request })).rejects.toThrow(
      message,
    );
  });
});

describe('two places on one server', () => {
  const place = (scope: Neo4jScope) => ({
    connection: { uri: 'bolt://one', username: 'u', password: 'p' },
    scope,
  });

  test.each<[string, Neo4jScope, Neo4jScope, boolean]>([
    ['other values of one property', scopeOf('a'), scopeOf('b', 'c'), false],
    ['a common value', scopeOf('a', 'b'), scopeOf('b'), true],
    ['other properties', scopeOf('a'), { property: 'tenant', in: ['b'] }, true],
    ['a value and a label', scopeOf('a'), { label: 'L' }, true],
    ['a value and a whole database', {}, scopeOf('a'), true],
  ])('with %s overlap: %#', (_, one, other, isShared) => {
    expect(neo4jAdapter.overlaps(place(one), place(other))).toBe(isShared);
    expect(neo4jAdapter.overlaps(place(other), place(one))).toBe(isShared);
  });
});
