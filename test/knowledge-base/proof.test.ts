import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import { loadKnowledgeBase } from '../../local/knowledge-base/load.ts';
import { compareProofs, type Proof, type ProofComparison, readEverything } from '../../local/proof/proof.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { ownLayout, removeKnowledgeBase, smallBlueprint } from './small.ts';

const layout = ownLayout();
const { label, keyPrefix } = layout;
const { entities, chunks } = layout.collections;
const connections = {
  neo4j: servers.neo4j,
  qdrant: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
  redis: { url: servers.redis.url, password: servers.redis.password },
};
const scope = { label, collections: [entities, chunks], keyPrefix };

let driver: Driver;
let redis: Redis;
let folder: string;
let before: Proof;

/** One Cypher statement. */
const cypher = (statement: string) => driver.executeQuery(statement);

/** One request to Qdrant; the body is JSON text, because ids need more digits than a number has. */
async function qdrant(method: string, path: string, body?: string): Promise<string> {
  const answer = await fetch(`${servers.qdrant.url}${path}`, {
    method,
    headers: { 'api-key': servers.qdrant.apiKey, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text;
}
const points = (collection: string, rest: string) => `/collections/${collection}/points${rest}?wait=true`;

/** A point for tests of damage: its id is beyond 2^53, its vectors are set by hand. */
const ID = '18446744073709551557';
const dense = Array.from({ length: 384 }, (_, at) => (at === 0 ? 1 : 0));
function pointWith({ id = ID, second = 0, weight = '0.5', rank = '1', name = 'ONE' }): string {
  const vector = { dense: dense.map((value, at) => (at === 1 ? second : value)) };
  return `{"points":[{"id":${id},"vector":{"dense":${JSON.stringify(vector.dense)},
    "sparse":{"indices":[1,4294967295],"values":[${weight},2]}},
    "payload":{"entity_name":"${name}","rank":${rank}}}]}`;
}
const writePoint = (changes: Parameters<typeof pointWith>[0]) =>
  qdrant('PUT', points(entities, ''), pointWith(changes));
const deletePoint = (id: string) => qdrant('POST', points(entities, '/delete'), `{"points":[${id}]}`);

const key = (name: string) => `${keyPrefix}:extras:${name}`;
const LATER = 4_000_000_000_000;

async function read(name: string): Promise<Proof> {
  return await readEverything(connections, { folder: join(folder, name), scope });
}

async function compareNow(): Promise<ProofComparison> {
  return await compareProofs(before, await read('after'));
}

/** The data that the damages need, in addition to the knowledge base itself. */
async function writeExtras(): Promise<void> {
  await cypher(`CREATE (a:\`${label}\`:PACKAGE {id: 'A', rank: 1, at: datetime('2026-01-01T00:00:00.000000001Z')})
    CREATE (b:\`${label}\`:PACKAGE {id: 'B', tags: ['x', 'y']})
    CREATE (a)-[:RELATED {weight: 1.0}]->(b)`);
  await cypher(`CREATE INDEX \`${label}_type\` FOR (n:\`${label}\`) ON (n.entity_type)`);
  await cypher('CALL db.awaitIndexes(300)');
  await writePoint({});
  await qdrant(
    'PUT',
    `/collections/${entities}/index?wait=true`,
    '{"field_name":"rank","field_schema":"integer"}',
  );
  await qdrant(
    'POST',
    '/collections/aliases',
    aliasAction('create_alias', `,"collection_name":"${entities}"`),
  );
  await redis.set(key('string'), '{"a": 1}', 'PXAT', LATER);
  await redis.set(key('text'), 'no JSON', 'PXAT', LATER);
  await redis.rpush(key('list'), 'first', 'second');
  await redis.sadd(key('set'), 'one', 'two');
  await redis.zadd(key('zset'), '0.1', 'member');
  await redis.hset(key('hash'), 'field', 'value');
  await redis.set(Buffer.concat([Buffer.from(key('')), Buffer.from([0xff, 0x00])]), Buffer.from([0x80]));
  await redis.xadd(key('stream'), '1-1', 'field', 'value');
  await redis.xgroup('CREATE', key('stream'), 'group', '0');
  await redis.xreadgroup('GROUP', 'group', 'consumer', 'STREAMS', key('stream'), '>');
}

function aliasAction(action: string, rest = ''): string {
  return `{"actions":[{"${action}":{"alias_name":"${label}_alias"${rest}}}]}`;
}

beforeAll(async () => {
  driver = neo4j.driver(servers.neo4j.uri, neo4j.auth.basic(servers.neo4j.username, servers.neo4j.password));
  redis = new Redis(servers.redis.url, { password: servers.redis.password });
  folder = await mkdtemp(join(tmpdir(), 'ngbak-proof-'));
  await loadKnowledgeBase({
    ...connections,
    namespace: 'unused',
    layout,
    blueprint: await smallBlueprint(6),
  });
  await writeExtras();
  before = await read('before');
});

afterAll(async () => {
  await cypher(`DROP INDEX \`${label}_type\` IF EXISTS`);
  await removeKnowledgeBase(connections, layout);
  redis.disconnect();
  await driver.close();
  await rm(folder, { recursive: true });
});

interface Damage {
  readonly damage: string;
  readonly part: () => string;
  readonly problem: RegExp;
  readonly does: () => Promise<unknown>;
  readonly undoes: () => Promise<unknown>;
}

const A = `MATCH (a:\`${label}\` {id: 'A'})`;
const AB = `MATCH (a:\`${label}\` {id: 'A'})-[r:RELATED]->(b:\`${label}\` {id: 'B'})`;
const constraint = (name: string) =>
  cypher(`CREATE CONSTRAINT \`${name}\` FOR (n:\`${label}\`) REQUIRE n.id IS UNIQUE`);
const setTo = (expression: string) => () => cypher(`${A} SET ${expression}`);
const write = (changes: Parameters<typeof pointWith>[0]) => () => writePoint(changes);
const part = (name: string) => () => name;
const pointsPart = part(`points ${entities}`);
const keysPart = part('keys extras');

const DAMAGES: readonly Damage[] = [
  {
    damage: 'a node is missing',
    part: part('nodes'),
    problem: /is missing/,
    does: () => cypher(`MATCH (b:\`${label}\` {id: 'B'}) DETACH DELETE b`),
    undoes: () =>
      cypher(`${A} CREATE (a)-[:RELATED {weight: 1.0}]->(:\`${label}\`:PACKAGE {id: 'B', tags: ['x', 'y']})`),
  },
  {
    damage: 'a node was added',
    part: part('nodes'),
    problem: /was not there before/,
    does: () => cypher(`CREATE (:\`${label}\` {id: 'C'})`),
    undoes: () => cypher(`MATCH (c:\`${label}\` {id: 'C'}) DELETE c`),
  },
  {
    damage: 'a label is missing',
    part: part('nodes'),
    problem: /label PACKAGE is missing/,
    does: () => cypher(`${A} REMOVE a:PACKAGE`),
    undoes: setTo('a:PACKAGE'),
  },
  {
    damage: 'a property is missing',
    part: part('nodes'),
    problem: /property rank is missing/,
    does: () => cypher(`${A} REMOVE a.rank`),
    undoes: setTo('a.rank = 1'),
  },
  {
    damage: 'an integer became a float',
    part: part('nodes'),
    problem: /property rank is different/,
    does: setTo('a.rank = 1.0'),
    undoes: setTo('a.rank = 1'),
  },
  {
    damage: 'a time lost a nanosecond',
    part: part('nodes'),
    problem: /property at is different/,
    does: setTo("a.at = datetime('2026-01-01T00:00:00Z')"),
    undoes: setTo("a.at = datetime('2026-01-01T00:00:00.000000001Z')"),
  },
  {
    damage: 'a time became its text',
    part: part('nodes'),
    problem: /property at is different/,
    does: setTo('a.at = toString(a.at)'),
    undoes: setTo("a.at = datetime('2026-01-01T00:00:00.000000001Z')"),
  },
  {
    damage: 'a list changed its order',
    part: part('nodes'),
    problem: /property tags is different/,
    does: () => cypher(`MATCH (b:\`${label}\` {id: 'B'}) SET b.tags = ['y', 'x']`),
    undoes: () => cypher(`MATCH (b:\`${label}\` {id: 'B'}) SET b.tags = ['x', 'y']`),
  },
  {
    damage: 'a relationship is missing',
    part: part('relationships'),
    problem: /is missing/,
    does: () => cypher(`${AB} DELETE r`),
    undoes: () => cypher(`${A} MATCH (b:\`${label}\` {id: 'B'}) CREATE (a)-[:RELATED {weight: 1.0}]->(b)`),
  },
  {
    damage: 'a relationship exists twice',
    part: part('relationships'),
    problem: /was not there before/,
    does: () => cypher(`${AB} CREATE (a)-[:RELATED {weight: 1.0}]->(b)`),
    undoes: () => cypher(`${AB} WITH r LIMIT 1 DELETE r`),
  },
  {
    damage: 'a relationship runs the other way',
    part: part('relationships'),
    problem: /is missing|was not there before/,
    does: () => cypher(`${AB} DELETE r CREATE (b)-[:RELATED {weight: 1.0}]->(a)`),
    undoes: () =>
      cypher(
        `MATCH (b:\`${label}\` {id: 'B'})-[r]->(a:\`${label}\` {id: 'A'}) DELETE r CREATE (a)-[:RELATED {weight: 1.0}]->(b)`,
      ),
  },
  {
    damage: 'a weight changed',
    part: part('relationships'),
    problem: /property weight is different/,
    does: () => cypher(`${AB} SET r.weight = 1.0000000000000002`),
    undoes: () => cypher(`${AB} SET r.weight = 1.0`),
  },
  {
    damage: 'the constraint is missing',
    part: part('constraints'),
    problem: /is missing/,
    does: () => cypher(`DROP CONSTRAINT \`${label}_id\``),
    undoes: () => constraint(`${label}_id`),
  },
  {
    damage: 'an index is missing',
    part: part('indexes'),
    problem: /is missing/,
    does: () => cypher(`DROP INDEX \`${label}_type\``),
    undoes: async () => {
      await cypher(`CREATE INDEX \`${label}_type\` FOR (n:\`${label}\`) ON (n.entity_type)`);
      await cypher('CALL db.awaitIndexes(300)');
    },
  },
  {
    damage: 'a point is missing',
    part: pointsPart,
    problem: /is missing/,
    does: () => deletePoint(ID),
    undoes: write({}),
  },
  {
    damage: 'a point has an adjacent id, which is the same number to JavaScript',
    part: pointsPart,
    problem: /is missing|was not there before/,
    does: () => Promise.all([deletePoint(ID), writePoint({ id: '18446744073709551558' })]),
    undoes: () => Promise.all([deletePoint('18446744073709551558'), writePoint({})]),
  },
  {
    damage: 'a vector changed by the smallest possible amount',
    part: pointsPart,
    problem: /vector dense is different/,
    does: write({ second: 1e-38 }),
    undoes: write({}),
  },
  {
    damage: 'a sparse weight changed',
    part: pointsPart,
    problem: /vector sparse is different/,
    does: write({ weight: '0.50000006' }),
    undoes: write({}),
  },
  {
    damage: 'a payload text changed',
    part: pointsPart,
    problem: /payload entity_name is different/,
    does: write({ name: 'TWO' }),
    undoes: write({}),
  },
  {
    damage: 'a payload integer became a float',
    part: pointsPart,
    problem: /payload rank is different/,
    does: write({ rank: '1.0' }),
    undoes: write({}),
  },
  {
    damage: 'a payload index is missing',
    part: part('collections'),
    problem: /payload index rank is missing/,
    does: () => qdrant('DELETE', `/collections/${entities}/index/rank?wait=true`),
    undoes: () =>
      qdrant(
        'PUT',
        `/collections/${entities}/index?wait=true`,
        '{"field_name":"rank","field_schema":"integer"}',
      ),
  },
  {
    damage: 'an alias is missing',
    part: part('collections'),
    problem: /alias GraphRAG_.* is missing/,
    does: () => qdrant('POST', '/collections/aliases', aliasAction('delete_alias')),
    undoes: () =>
      qdrant('POST', '/collections/aliases', aliasAction('create_alias', `,"collection_name":"${entities}"`)),
  },
  {
    damage: 'a collection has other settings',
    part: part('collections'),
    problem: /setting optimizer_config is different/,
    does: () =>
      qdrant('PATCH', `/collections/${chunks}`, '{"optimizers_config":{"indexing_threshold":77777}}'),
    undoes: () =>
      qdrant('PATCH', `/collections/${chunks}`, '{"optimizers_config":{"indexing_threshold":10000}}'),
  },
  {
    damage: 'a key is missing',
    part: keysPart,
    problem: /is missing/,
    does: () => redis.del(key('string')),
    undoes: () => redis.set(key('string'), '{"a": 1}', 'PXAT', LATER),
  },
  {
    damage: 'a value has the same meaning in other bytes',
    part: keysPart,
    problem: /value is different/,
    does: () => redis.set(key('string'), '{"a":1}', 'KEEPTTL'),
    undoes: () => redis.set(key('string'), '{"a": 1}', 'KEEPTTL'),
  },
  {
    damage: 'a key expires a millisecond later',
    part: keysPart,
    problem: /expiry is different/,
    does: () => redis.pexpireat(key('string'), LATER + 1),
    undoes: () => redis.pexpireat(key('string'), LATER),
  },
  {
    damage: 'a key no longer expires',
    part: keysPart,
    problem: /expiry is different/,
    does: () => redis.persist(key('text')),
    undoes: () => redis.pexpireat(key('text'), LATER),
  },
  {
    damage: 'a list became a set',
    part: keysPart,
    problem: /type is different/,
    does: async () => [await redis.del(key('list')), await redis.sadd(key('list'), 'first', 'second')],
    undoes: async () => [await redis.del(key('list')), await redis.rpush(key('list'), 'first', 'second')],
  },
  {
    damage: 'a list changed its order',
    part: keysPart,
    problem: /value is different/,
    does: () => redis.rpoplpush(key('list'), key('list')),
    undoes: () => redis.rpoplpush(key('list'), key('list')),
  },
  {
    damage: 'a set lost a member',
    part: keysPart,
    problem: /value is different/,
    does: () => redis.srem(key('set'), 'one'),
    undoes: () => redis.sadd(key('set'), 'one'),
  },
  {
    damage: 'a score changed by the smallest possible amount',
    part: keysPart,
    problem: /value is different/,
    does: () => redis.zadd(key('zset'), '0.10000000000000002', 'member'),
    undoes: () => redis.zadd(key('zset'), '0.1', 'member'),
  },
  {
    damage: 'a hash field changed',
    part: keysPart,
    problem: /value is different/,
    does: () => redis.hset(key('hash'), 'field', 'other'),
    undoes: () => redis.hset(key('hash'), 'field', 'value'),
  },
  {
    damage: 'a binary value changed',
    part: keysPart,
    problem: /value is different/,
    does: () =>
      redis.set(Buffer.concat([Buffer.from(key('')), Buffer.from([0xff, 0x00])]), Buffer.from([0x81])),
    undoes: () =>
      redis.set(Buffer.concat([Buffer.from(key('')), Buffer.from([0xff, 0x00])]), Buffer.from([0x80])),
  },
];

describe('the proof', () => {
  it('finds no difference, also by digest, if nothing changed', async () => {
    const again = await read('after');
    expect(await compareProofs(before, again)).toMatchObject({ identical: true, total: 0, differences: [] });
    expect(again.parts).toEqual(before.parts);
    expect(Object.values(before.parts).every((proof) => proof.count > 0)).toBe(true);
    expect(Object.keys(before.parts)).toEqual([
      'collections',
      'constraints',
      'indexes',
      'keys community_reports',
      'keys extras',
      'keys full_docs',
      'keys llm_response_cache',
      'keys text_chunks',
      'nodes',
      `points ${chunks}`,
      `points ${entities}`,
      'relationships',
    ]);
  });

  it.each(DAMAGES)('notices when $damage', async ({ part: damaged, problem, does, undoes }) => {
    await does();
    const found = await compareNow();
    await undoes();
    expect(found.identical).toBe(false);
    const differences = found.differences.filter((difference) => difference.part === damaged());
    expect(differences.map((difference) => difference.problem).join('\n')).toMatch(problem);
    expect(await compareNow()).toMatchObject({ identical: true });
  });

  it('notices when a whole collection is missing', async () => {
    const other = await readEverything(connections, {
      folder: join(folder, 'after'),
      scope: { ...scope, collections: [entities] },
    });
    const { parts, total } = await compareProofs(before, other);
    expect(parts[`points ${chunks}`]).toMatchObject({
      missing: before.parts[`points ${chunks}`]?.count,
      after: 0,
    });
    expect(parts.collections).toMatchObject({ missing: 1 });
    expect(total).toBe((before.parts[`points ${chunks}`]?.count ?? 0) + 1);
  });

  it('notices an entry that a consumer group no longer has', async () => {
    await redis.xack(key('stream'), 'group', '1-1');
    const { differences } = await compareNow();
    expect(differences).toEqual([
      { part: 'keys extras', thing: key('stream'), problem: 'value is different' },
    ]);
  });

  it('counts a key that expired in between as expired, not as missing', async () => {
    const count = (before.parts['keys extras']?.count ?? 0) + 1;
    let lifetimeMs = 250;
    const earlier = await until(
      'the key is read before it expires',
      async () => {
        lifetimeMs *= 2;
        await redis.set(key('brief'), 'soon gone', 'PX', lifetimeMs);
        return read('earlier');
      },
      { holds: ({ parts }) => parts['keys extras']?.count === count },
    );
    await until('the key has expired', async () => (await redis.exists(key('brief'))) === 0);
    const { identical, parts } = await compareProofs(earlier, await read('after'));
    expect({ identical, expired: parts['keys extras']?.expired }).toEqual({ identical: true, expired: 1 });
  });

  it('lists at most as many differences as requested, and states the total', async () => {
    const empty = await readEverything(connections, {
      folder: join(folder, 'after'),
      scope: { ...scope, keyPrefix: 'nothing-is-called-so' },
    });
    const { differences, total } = await compareProofs(before, empty, 3);
    expect(differences).toHaveLength(3);
    expect(total).toBe(
      Object.entries(before.parts).reduce(
        (sum, [name, { count }]) => sum + (name.startsWith('keys ') ? count : 0),
        0,
      ),
    );
  });
});
