import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import neo4j, { type Driver } from 'neo4j-driver';
import type { EntryReader } from '../../../shared/archive/format/types.ts';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import type { Cursor } from '../../../shared/stores/leg.ts';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import { qdrantAdapter } from '../../../shared/stores/qdrant/adapter.ts';
import { redisAdapter } from '../../../shared/stores/redis/adapter.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import type { RouteRequest } from '../../../shared/stores/route.ts';
import type { Store, StoreAdapter } from '../../../shared/stores/store.ts';
import { servers } from '../../servers.ts';
import { exportAll, legContext, restoreAll } from '../../stores/memory-archive.ts';

/**
 * Restores under other names, and of subsets, on the real servers: the contract of `route` and `view` of each adapter.
 */

const RUN = `Dest${process.pid}`;
const DEFAULT_REQUEST: RouteRequest = { only: {}, rename: {}, sameProfile: true };

/** Restores an archive saved from one scope into another one, as the workflow does. */
async function restoreInto(
  adapter: StoreAdapter,
  connection: object,
  archive: EntryReader,
  saved: object | undefined,
  target: object,
  request: Partial<RouteRequest> = {},
  options: LoadOptions = { mode: 'replace', onConflict: 'fail' },
) {
  const parse = (scope: object) => adapter.Scope.parse(scope);
  const route = await adapter.route(archive, saved && parse(saved), parse(target), {
    ...DEFAULT_REQUEST,
    ...request,
  });
  // Plans store routes as JSON.
  const kept = JSON.parse(JSON.stringify(route)) as typeof route;
  const scope = parse(kept.scope as object);
  const view = adapter.view(archive, { ...kept, scope });
  const open = opener(adapter, connection, scope as object);
  const restored = await restoreAll(open, view, { options });
  const store = open();
  try {
    // A leg after each page, as if there were never time left.
    const context = { ...legContext(), timeLeft: () => 0 };
    for (let cursor: Cursor | null = null, isFirst = true; route.origin && store.label; isFirst = false) {
      if (!isFirst && cursor === null) break;
      ({ cursor } = await store.label({ archive: view, route: kept, cursor, context }));
    }
    // It follows the labels.
    await store.finish(legContext());
  } finally {
    await store.close();
  }
  return { ...restored, changes: route.changes };
}

function opener(adapter: StoreAdapter, connection: object, scope: object): () => Store {
  return () =>
    adapter.create(adapter.Connection.parse(connection), adapter.Scope.parse(scope), { target: 'test' });
}

describe('the graph', () => {
  const connection = () => ({
    uri: servers.neo4j.uri,
    username: servers.neo4j.username,
    password: servers.neo4j.password,
  });
  let driver: Driver;
  const cypher = async (query: string) =>
    (await driver.executeQuery(query)).records.map((record) => record.toObject() as Record<string, unknown>);
  const graph = async (label: string) =>
    JSON.stringify(
      [
        await cypher(
          `MATCH (n:${label}) RETURN [l IN labels(n) WHERE l <> '${label}'] AS labels, properties(n) AS p ORDER BY n.id`,
        ),
        await cypher(
          `MATCH (a:${label})-[r]->(b:${label}) RETURN a.id AS a, b.id AS b, type(r) AS t, properties(r) AS p ORDER BY a, b, t`,
        ),
      ],
      (_, value) => (typeof value === 'bigint' ? `${value}n` : value),
    );
  const [from, to] = [`${RUN}From`, `${RUN}To`];
  const clean = async () => {
    await cypher(`MATCH (n) WHERE any(l IN labels(n) WHERE l STARTS WITH '${RUN}') DETACH DELETE n`);
    for (const { name } of await cypher(
      `SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE labelsOrTypes[0] STARTS WITH '${RUN}' RETURN name`,
    ))
      await cypher(`DROP CONSTRAINT \`${name}\` IF EXISTS`);
  };
  beforeAll(async () => {
    const { uri, username, password } = servers.neo4j;
    driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
    await clean();
    await cypher(
      `UNWIND range(1, 50) AS i CREATE (n:${from}:Thing {id: 'n' + i, at: i, born: date('2024-02-03')}) WITH collect(n) AS all
       UNWIND range(0, 48) AS i WITH all[i] AS a, all[i + 1] AS b CREATE (a)-[:RELATED {w: 1.0}]->(b)`,
    );
    await cypher(`MATCH (n:${from} {id: 'n1'}) CREATE (n)-[:OUT]->(:${RUN}Elsewhere {id: 'x'})`);
    await cypher(`CREATE CONSTRAINT ${RUN}_${from}_id FOR (n:${from}) REQUIRE n.id IS UNIQUE`);
  });
  afterAll(async () => {
    await clean();
    await driver.close();
  });

  const scope = (label: string) => ({ label, key_property: 'id' });

  test('is restored under another label next to the original, which is not touched', async () => {
    const before = await graph(from);
    const { archive } = await exportAll(opener(neo4jAdapter, connection(), scope(from)));
    const restored = await restoreInto(neo4jAdapter, connection(), archive, scope(from), scope(to));
    expect(restored.samples).toEqual([]);
    expect(restored.changes).toEqual([`label "${from}" becomes "${to}"`]);
    expect(await graph(to)).toBe(before);
    expect(await graph(from)).toBe(before);
    expect(restored.readBack.nodes?.count).toBe(50);
    const constraints = await cypher(
      `SHOW CONSTRAINTS YIELD name, labelsOrTypes WHERE labelsOrTypes[0] STARTS WITH '${RUN}' RETURN labelsOrTypes[0] AS label ORDER BY label`,
    );
    expect(constraints.map(({ label }) => label)).toEqual([from, to]);
  });

  test('is verified under the other label, and later changes are found', async () => {
    const { archive } = await exportAll(opener(neo4jAdapter, connection(), scope(from)));
    const route = await neo4jAdapter.route(archive, scope(from), scope(to), DEFAULT_REQUEST);
    const restored = await restoreAll(
      opener(neo4jAdapter, connection(), route.scope),
      neo4jAdapter.view(archive, route),
      {
        beforeVerify: async () => void (await cypher(`MATCH (n:${to} {id: 'n7'}) SET n.at = 8`)),
      },
    );
    expect(restored.samples.join()).toContain('"n7"');
  });

  test('is refused if a node has the new label already', async () => {
    await cypher(`MATCH (n:${from} {id: 'n3'}) SET n:${RUN}Twin`);
    const { archive } = await exportAll(opener(neo4jAdapter, connection(), scope(from)));
    await cypher(`MATCH (n:${from} {id: 'n3'}) REMOVE n:${RUN}Twin`);
    await expect(
      restoreInto(neo4jAdapter, connection(), archive, scope(from), scope(`${RUN}Twin`)),
    ).rejects.toThrow('could not be distinguished');
    expect(await cypher(`MATCH (n:${RUN}Twin) RETURN n`)).toEqual([]);
  });

  test('of nodes that do not have the label of the target is not admitted', async () => {
    const { archive } = await exportAll(opener(neo4jAdapter, connection(), scope(from)));
    const store = opener(neo4jAdapter, connection(), scope(to))();
    try {
      const context = {
        jobId: 'j',
        timeLeft: () => 1000,
        signal: new AbortController().signal,
        progress: () => undefined,
        warn: () => undefined,
        log: () => undefined,
      };
      expect(
        await store.admits({ archive, options: { mode: 'merge', onConflict: 'keep' }, context }),
      ).toEqual([expect.stringContaining(`label "${to}"`)]);
    } finally {
      await store.close();
    }
  });
});

describe('key-value data', () => {
  const { url, password } = servers.redis;
  const connection = { url, ...(password === '' ? {} : { password }) };
  const redis = new Redis(url, { ...(password === '' ? {} : { password }), lazyConnect: true });
  const content = async (prefix: string) => {
    const keys = (await redis.keys(`${prefix}*`)).sort();
    return Promise.all(
      keys.map(async (key) => [
        key.slice(prefix.length),
        await redis.pexpiretime(key),
        (await redis.dumpBuffer(key))?.toString('base64'),
      ]),
    );
  };
  const clean = async () => {
    const keys = await redis.keys(`${RUN}*`);
    if (keys.length > 0) await redis.del(keys);
  };
  beforeAll(async () => {
    await redis.connect();
    await clean();
    const expires = Date.now() + 86_400_000;
    for (let i = 0; i < 30; i++) {
      await redis.set(`${RUN}a:docs:${i}`, JSON.stringify({ content: `é ${i}` }), 'PXAT', expires + i);
      await redis.set(`${RUN}a:cache:${i}`, 'no JSON');
    }
    await redis.hset(`${RUN}a:meta:h`, { f: 'v', g: 'w' });
  });
  afterAll(async () => {
    await clean();
    redis.disconnect();
  });
  const scope = (name: string) => ({ prefix: `${RUN}${name}:`, separator: ':' });

  test('is restored under another prefix with types and expiries; the original is not touched', async () => {
    const before = await content(`${RUN}a:`);
    const { archive } = await exportAll(opener(redisAdapter, connection, scope('a')));
    const restored = await restoreInto(redisAdapter, connection, archive, scope('a'), scope('b'));
    expect(restored.samples).toEqual([]);
    expect(before).toHaveLength(61);
    expect(await content(`${RUN}b:`)).toEqual(before);
    expect(await content(`${RUN}a:`)).toEqual(before);
  });

  test('of one namespace alone replaces that namespace and no other key', async () => {
    const { archive } = await exportAll(opener(redisAdapter, connection, scope('a')));
    await redis.set(`${RUN}c:docs:old`, '1');
    await redis.set(`${RUN}c:cache:kept`, '2');
    const restored = await restoreInto(redisAdapter, connection, archive, scope('a'), scope('c'), {
      only: { namespaces: ['docs'] },
    });
    expect(restored.samples).toEqual([]);
    const keys = (await content(`${RUN}c:`)).map(([key]) => key);
    expect(keys).toContain('cache:kept');
    expect(keys).not.toContain('docs:old');
    expect(keys).toHaveLength(31);
  });

  test('of one key prefix alone replaces the keys under it and no other key', async () => {
    const { archive } = await exportAll(opener(redisAdapter, connection, scope('a')));
    await redis.set(`${RUN}d:docs:1old`, '1');
    await redis.set(`${RUN}d:docs:2old`, '2');
    const restored = await restoreInto(redisAdapter, connection, archive, scope('a'), scope('d'), {
      only: { key_prefixes: [`${RUN}a:docs:1`] },
    });
    expect(restored.samples).toEqual([]);
    expect((await content(`${RUN}d:`)).map(([key]) => key)).toEqual([
      'docs:1',
      ...Array.from({ length: 10 }, (_, i) => `docs:1${i}`),
      'docs:2old',
    ]);
  });

  test('is refused if the namespaces of the two differ', async () => {
    const { archive } = await exportAll(opener(redisAdapter, connection, scope('a')));
    await expect(
      restoreInto(redisAdapter, connection, archive, scope('a'), { prefix: `${RUN}e:` }),
    ).rejects.toThrow('derive the namespace of keys differently');
  });
});

describe('vectors', () => {
  const connection = () => ({ url: servers.qdrant.url, api_key: servers.qdrant.apiKey });
  const ask = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${servers.qdrant.url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'api-key': servers.qdrant.apiKey ?? '' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await answer.json()) as { result?: unknown };
  };
  const points = async (collection: string, filter?: object) =>
    (
      (await ask('POST', `/collections/${collection}/points/scroll`, {
        limit: 500,
        with_payload: true,
        with_vector: true,
        ...(filter ? { filter } : {}),
      })) as { result: { points: { id: string; payload: Record<string, unknown> }[] } }
    ).result.points;
  const names = ['one', 'two', 'shared', 'copy', 'other'].map((name) => `${RUN}_${name}`);
  const [one = '', two = '', shared = '', copy = ''] = names;
  /** LightRAG's own rule, implemented independently. */
  const uuid = (text: string) => {
    const hex = createHash('sha256').update(text).digest('hex').slice(0, 32).split('');
    hex[12] = '4';
    hex[16] = ((Number.parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16);
    return hex.join('').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
  const inWorkspace = (workspace: string) => ({
    must: [{ key: 'workspace_id', match: { value: workspace } }],
  });
  beforeAll(async () => {
    for (const name of names) await ask('DELETE', `/collections/${name}`);
    for (const name of [one, two, shared]) {
      await ask('PUT', `/collections/${name}`, { vectors: { size: 4, distance: 'Dot' } });
    }
    for (const name of [one, two]) {
      await ask('PUT', `/collections/${name}/points?wait=true`, {
        points: Array.from({ length: 40 }, (_, id) => ({ id, vector: [id, 1, 0, 2], payload: { of: name } })),
      });
    }
    await ask('PUT', `/collections/${shared}/points?wait=true`, {
      points: ['a', 'b'].flatMap((workspace) =>
        Array.from({ length: 120 }, (_, i) => ({
          id: uuid(`${workspace}ent-${i}`),
          vector: [i, 1, 0, 2],
          payload: { workspace_id: workspace, id: `ent-${i}`, entity_name: `E${i}`, of: workspace },
        })),
      ),
    });
    await ask('POST', '/collections/aliases', {
      actions: [{ create_alias: { collection_name: one, alias_name: `${RUN}_alias` } }],
    });
  });
  afterAll(async () => {
    for (const name of names) await ask('DELETE', `/collections/${name}`);
  });

  test.each(['snapshot', 'points'])(
    'saved by %s: one collection is restored under another name',
    async (method) => {
      const scope = { collections: [one, two], method };
      const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope));
      await ask('DELETE', `/collections/${copy}`);
      const restored = await restoreInto(qdrantAdapter, connection(), archive, scope, scope, {
        only: { collections: [one] },
        rename: { collections: { [one]: copy } },
      });
      expect(restored.samples).toEqual([]);
      expect(await points(copy)).toEqual(await points(one));
      expect(await points(two)).toHaveLength(40);
      // The alias stays with the collection that kept its name.
      const { result } = await ask('GET', '/aliases');
      expect((result as { aliases: { alias_name: string }[] }).aliases).toContainEqual({
        alias_name: `${RUN}_alias`,
        collection_name: one,
      });
    },
  );

  test('are labelled with their origin, on every point and in no other way, on request', async () => {
    const scope = { collections: [one], method: 'points' };
    const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope));
    const origin = { restored_from_backup: 'snapshot_1', original_target: 'somewhere' };
    const restored = await restoreInto(qdrantAdapter, connection(), archive, scope, scope, {
      rename: { collections: { [one]: copy } },
      origin,
    });
    expect(restored.samples).toEqual([]);
    const marked = (await points(one)).map((point) => ({
      ...point,
      payload: { ...point.payload, ...origin, original_collection: one },
    }));
    expect(await points(copy)).toEqual(marked);
  });

  test('saved by snapshot are labelled once they are loaded; labels of an earlier restore stay', async () => {
    const scope = { collections: [one], method: 'snapshot' };
    const before = await points(one);
    await ask('POST', `/collections/${one}/points/payload?wait=true`, {
      payload: { restored_from_backup: 'snapshot_0' },
      points: [7],
    });
    const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope));
    const origin = { restored_from_backup: 'snapshot_1', original_target: 'somewhere' };
    const restored = await restoreInto(qdrantAdapter, connection(), archive, scope, scope, {
      rename: { collections: { [one]: copy } },
      origin,
    });
    expect(restored.samples).toEqual([]);
    const labels = { ...origin, original_collection: one };
    expect(await points(copy)).toEqual(
      before.map((point) => ({
        ...point,
        payload: {
          ...point.payload,
          ...(String(point.id) === '7' ? { restored_from_backup: 'snapshot_0' } : labels),
        },
      })),
    );
    await ask('POST', `/collections/${one}/points/payload/delete?wait=true`, {
      keys: ['restored_from_backup'],
      points: [7],
    });
  });

  test('of a workspace are restored as another one: payload and ids as LightRAG makes them, the others untouched', async () => {
    const scope = (workspace: string) => ({
      ...(profileScopes('lightrag', { workspace }).vectors as object),
      collections: [shared],
    });
    const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope('a')));
    const [a, b] = [await points(shared, inWorkspace('a')), await points(shared, inWorkspace('b'))];
    const restored = await restoreInto(qdrantAdapter, connection(), archive, scope('a'), scope('c'));
    expect(restored.samples).toEqual([]);
    const c = await points(shared, inWorkspace('c'));
    expect(c).toHaveLength(120);
    for (const { id, payload } of c) expect(id).toBe(uuid(`c${payload.id}`));
    const bare = (found: typeof c) =>
      found
        .map(({ id: _, payload, ...rest }) => ({ ...rest, payload: { ...payload, workspace_id: '' } }))
        .sort((x, y) =>
          String((x.payload as { id?: unknown }).id).localeCompare(
            String((y.payload as { id?: unknown }).id),
          ),
        );
    expect(bare(c)).toEqual(bare(a));
    expect(await points(shared, inWorkspace('a'))).toEqual(a);
    expect(await points(shared, inWorkspace('b'))).toEqual(b);
  });

  test('of a workspace cannot be restored as another one if the derivation of their ids is unknown', async () => {
    const scope = (value: string) => ({ collections: [shared], filter: { key: 'workspace_id', value } });
    const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope('a')));
    await expect(restoreInto(qdrantAdapter, connection(), archive, scope('a'), scope('d'))).rejects.toThrow(
      'the scope does not define how point IDs derive',
    );
  });

  test('are refused if two collections would get the same name, or one gets none', async () => {
    const scope = { collections: [one, two] };
    const { archive } = await exportAll(opener(qdrantAdapter, connection(), scope));
    await expect(
      restoreInto(qdrantAdapter, connection(), archive, scope, scope, {
        rename: { collections: { [one]: two } },
      }),
    ).rejects.toThrow('would both be named');
    await expect(
      restoreInto(
        qdrantAdapter,
        connection(),
        archive,
        scope,
        { collections: [copy] },
        { sameProfile: false },
      ),
    ).rejects.toThrow('the request does not say which of these it becomes');
  });
});
