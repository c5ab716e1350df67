import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import neo4j, { type Driver } from 'neo4j-driver';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import { servers } from '../../servers.ts';
import { type Exported, exportAll, restoreAll } from '../../stores/memory-archive.ts';

const RUN = `Dangling${process.pid}`;
const [OURS, THEIRS] = [`${RUN}Ours`, `${RUN}Theirs`];

describe('dangling relationships', () => {
  let driver: Driver;
  let exported: Exported;
  const cypher = async (query: string) =>
    (await driver.executeQuery(query)).records.map((record) => record.toObject() as Record<string, unknown>);
  const open = () =>
    neo4jAdapter.create(
      neo4jAdapter.Connection.parse({
        uri: servers.neo4j.uri,
        username: servers.neo4j.username,
        password: servers.neo4j.password,
      }),
      { label: OURS, key_property: 'id' },
      { target: 'test' },
    );
  const links = async () =>
    (
      await cypher(
        `MATCH (a)-[r]->(b) WHERE a:${OURS} <> b:${OURS} AND (a:${OURS} OR b:${OURS})
         RETURN a.id + ' ' + type(r) + ' ' + toString(r.w) + ' ' + b.id AS text ORDER BY text`,
      )
    ).map(({ text }) => text);
  const clean = () => cypher(`MATCH (n) WHERE n:${OURS} OR n:${THEIRS} DETACH DELETE n`);
  /** The result of a restore: own nodes, their neighbours and the relationships between them. */
  const marks = async () =>
    (
      await cypher(
        `MATCH (n)-[r]-() WHERE n:${OURS} OR n:${THEIRS}
         WITH labels(n) + keys(n) + keys(r) AS names UNWIND names AS name
         WITH DISTINCT name WHERE name STARTS WITH '__ngbak' RETURN name`,
      )
    ).map(({ name }) => name);
  const seed = async () => {
    await clean();
    await cypher(
      `CREATE (a:${OURS} {id: 'a'}), (b:${OURS} {id: 'b'}), (x:${THEIRS}:Kind {id: 'x'}), (y:${THEIRS} {id: 'y'}), (z:${THEIRS})
       CREATE (a)-[:IN {w: 1}]->(b), (a)-[:OUT {w: 1.5}]->(x), (a)-[:OUT {w: 1.5}]->(x), (y)-[:BACK {w: 2}]->(b), (b)-[:OUT {w: 3}]->(z)`,
    );
  };
  const restore = (options: LoadOptions, how: object = {}) =>
    restoreAll(open, exported.archive, { ...how, options });
  const STITCH: LoadOptions = { mode: 'replace', onConflict: 'fail', dangling: 'stitch' };
  const ALL = ['a OUT 1.5 x', 'a OUT 1.5 x', 'y BACK 2 b'];

  beforeAll(async () => {
    const { uri, username, password } = servers.neo4j;
    driver = neo4j.driver(uri, neo4j.auth.basic(username, password));
    await seed();
    exported = await exportAll(open);
  });
  beforeEach(seed);
  afterAll(async () => {
    await clean();
    await driver.close();
  });

  test('are dropped and counted by prune', async () => {
    const restored = await restore({ mode: 'replace', onConflict: 'fail', dangling: 'prune' });
    expect(restored.samples).toEqual([]);
    expect(restored.loaded.left_out?.count).toBe(4);
    expect(await links()).toEqual([]);
  });

  test.each([{}, { repeated: true }, { hurried: true }])(
    'are attached by stitch to the existing nodes, in their number (%j)',
    async (how) => {
      const restored = await restore(STITCH, how);
      expect(restored.samples).toEqual([]);
      expect(restored.readBack.stitched?.count).toBe(3);
      // The node without a key cannot be identified.
      if (!('repeated' in how)) expect(restored.loaded.left_out?.count).toBe(1);
      expect((await links()).filter((text) => text !== null)).toEqual(ALL);
      expect(await marks()).toEqual([]);
    },
  );

  test('are left out by stitch if the other end is missing, or exists twice', async () => {
    await cypher(`MATCH (n:${THEIRS} {id: 'x'}) DETACH DELETE n`);
    await cypher(`CREATE (:${THEIRS} {id: 'y'})`);
    const restored = await restore(STITCH);
    expect(restored.samples).toEqual([]);
    expect(restored.loaded.left_out?.count).toBe(4);
    expect(await links()).toEqual([]);
  });

  test('are reported by the verification if they are lost after the load', async () => {
    const restored = await restore(STITCH, {
      beforeVerify: () => cypher(`MATCH ()-[r:BACK]->(:${OURS}) DELETE r`),
    });
    expect(restored.samples).toEqual(['relationship BACK "y" → "b": is missing in the target']);
  });

  test('are attached once, regardless of how often the archive is merged', async () => {
    const merge: LoadOptions = { mode: 'merge', onConflict: 'keep', dangling: 'stitch' };
    await cypher(`MATCH (:${OURS})-[r]-(:${THEIRS}) DELETE r`);
    for (let time = 0; time < 3; time++) {
      const restored = await restore(merge);
      expect(restored.samples).toEqual([]);
      expect((await links()).filter((text) => text !== null)).toEqual(ALL);
      expect(await marks()).toEqual([]);
    }
    expect(await cypher(`MATCH (:${OURS})-[r:IN]->() RETURN count(r) AS n`)).toEqual([{ n: neo4j.int(1) }]);
  });
});
