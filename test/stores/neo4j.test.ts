import { afterAll } from '@jest/globals';
import { neo4jAdapter } from '../../shared/stores/neo4j/adapter.ts';
import { conformsToPort } from './conformance.ts';
import {
  dropSchema,
  EVERY_VALUE,
  graphContent,
  graphLeftovers,
  openGraph,
  plainDriver,
  run,
  tenantContent,
} from './neo4j/graph.ts';
import { leaveServer, wholeServer } from './neo4j/server.ts';

const LABEL = 'Conform `ance\\u0060';
const QUOTED = '`Conform ``ance\\u005Cu0060`';

afterAll(leaveServer);

conformsToPort('neo4j (one label of a database)', async () => {
  const server = await wholeServer();
  const driver = plainDriver(server);
  await run(driver, 'MATCH (n) DETACH DELETE n');
  await dropSchema(driver);
  const scope = { label: LABEL, key_property: 'id' };

  async function empty(): Promise<void> {
    await run(driver, `MATCH (n:${QUOTED}) DETACH DELETE n`);
    await run(driver, 'MATCH (n:ConformOutside) DETACH DELETE n');
    await run(driver, 'DROP CONSTRAINT conform_id IF EXISTS');
    await run(driver, 'DROP INDEX conform_text IF EXISTS');
    await run(driver, 'DROP INDEX conform_search IF EXISTS');
  }

  async function seed(): Promise<void> {
    await empty();
    await run(
      driver,
      `CREATE (a:${QUOTED}:\`Type \`\`A\`\`\`:B {${EVERY_VALUE}})
       CREATE (b:${QUOTED} {id: 'b'}), (c:${QUOTED}:Person {id: 'c', name: 'Zoë'}), (d:${QUOTED} {note: 'no key'})
       CREATE (a)-[:\`odd \`\`type\` {${EVERY_VALUE}}]->(b), (b)-[:RELATED]->(b), (b)-[:RELATED {w: 1.0}]->(c),
              (b)-[:KNOWS {w: 1}]->(c), (b)-[:KNOWS {w: 1}]->(c), (c)-[:KNOWS]->(b)
       WITH c UNWIND range(1, 2100) AS i
       CREATE (n:${QUOTED}:Bulk {id: 'bulk ' + i, n: i, description: 'description number ' + i})
       CREATE (n)-[:PART_OF {order: i}]->(c)`,
    );
    await run(driver, `CREATE CONSTRAINT conform_id FOR (n:${QUOTED}) REQUIRE n.id IS UNIQUE`);
    await run(driver, `CREATE TEXT INDEX conform_text FOR (n:${QUOTED}) ON (n.description)`);
    await run(
      driver,
      `CREATE FULLTEXT INDEX conform_search FOR (n:${QUOTED}) ON EACH [n.id, n.description] OPTIONS {indexConfig: {\`fulltext.analyzer\`: 'cjk'}}`,
    );
    await run(driver, 'CALL db.awaitIndexes(300)');
  }

  return {
    open: openGraph(server, scope),
    openWithWrongPassword: openGraph({ ...server, password: 'not-the-password' }, scope),
    wrongPassword: 'not-the-password',
    openUnreachable: openGraph({ ...server, uri: 'bolt://127.0.0.1:9' }, scope),
    empty,
    seed,
    change: async () => {
      await run(driver, `MATCH (n:${QUOTED} {id: 'bulk 1'}) DETACH DELETE n`);
      await run(driver, `MATCH (n:${QUOTED} {id: 'bulk 2'}) SET n.n = 0, n:Changed`);
      await run(driver, `CREATE (n:${QUOTED} {id: 'new'})-[:NEW]->(:${QUOTED} {id: 'newer'})`);
    },
    loseRecord: async () => {
      await run(driver, `MATCH (:${QUOTED} {id: 'bulk 7'})-[r]->() DELETE r`);
    },
    changeRecord: async () => {
      await run(driver, `MATCH (n:${QUOTED} {id: 'bulk 7'}) SET n.n = 7.0`);
    },
    addRecord: async () => {
      await run(driver, `CREATE (:${QUOTED} {id: 'one more'})`);
    },
    leftovers: () => graphLeftovers(driver),
    content: () => graphContent(driver, LABEL, QUOTED),
    // Node d has no key, so it cannot be merged; merging is tested separately.
    merges: false,
    compared: {
      scope,
      open: (other) => openGraph(server, neo4jAdapter.Scope.parse(other))(),
      changes: { nodes: [1, 1, 2], relationships: [1, 0, 1] },
    },
    close: () => driver.close(),
  };
});

conformsToPort('neo4j (one tenant by a property)', async () => {
  const server = await wholeServer();
  const driver = plainDriver(server);
  await run(driver, 'MATCH (n) DETACH DELETE n');
  await dropSchema(driver);
  const property = 'group `\\u0060 id';
  const quoted = '`group ``\\u005Cu0060 id`';
  const values = ["it's", 'two "words"'];
  const scope = { property, in: values, key_property: 'uuid' };
  const [own] = values;

  async function empty(): Promise<void> {
    await run(driver, `MATCH (n) WHERE n.${quoted} IN $values DETACH DELETE n`, { values });
  }

  async function seed(): Promise<void> {
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
    await run(driver, `CREATE INDEX entities FOR (n:Entity) ON (n.${quoted})`);
    await run(driver, 'CREATE FULLTEXT INDEX names FOR (n:Entity|Other) ON EACH [n.name]');
    await run(driver, 'CREATE INDEX facts FOR ()-[r:RELATES_TO]-() ON (r.uuid)');
    await run(driver, 'CREATE INDEX others FOR (n:NotOfThisTenant) ON (n.name)');
    await run(
      driver,
      `UNWIND $values + ['neighbour', null] AS value
       CREATE (a:Entity:Person {uuid: 'a', ${quoted}: value, ${EVERY_VALUE}}), (b:Entity {uuid: 'b', ${quoted}: value}),
              (c {${quoted}: value, note: 'neither key nor label'}), (d:Episodic {uuid: 'd', ${quoted}: value})
       CREATE (a)-[:RELATES_TO {uuid: 'ab', ${quoted}: value}]->(b), (d)-[:MENTIONS {${quoted}: value}]->(a),
              (b)-[:RELATES_TO {uuid: 'bb'}]->(b), (c)-[:NOTE]->(a)
       WITH value, d UNWIND range(1, CASE value WHEN $values[0] THEN 2100 ELSE 3 END) AS i
       CREATE (d)-[:MENTIONS {order: i, ${quoted}: value}]->(:Entity {uuid: 'bulk ' + i, ${quoted}: value, n: i})`,
      { values },
    );
    await run(driver, 'CALL db.awaitIndexes(300)');
  }

  return {
    open: openGraph(server, scope),
    empty,
    seed,
    change: async () => {
      const parameters = { own };
      await run(driver, `MATCH (n {uuid: 'bulk 1', ${quoted}: $own}) DETACH DELETE n`, parameters);
      await run(driver, `MATCH (n {uuid: 'bulk 2', ${quoted}: $own}) SET n.n = 0`, parameters);
      await run(
        driver,
        `CREATE (:Entity {uuid: 'new', ${quoted}: $own})-[:NEW]->(:Entity {uuid: 'newer', ${quoted}: $own})`,
        parameters,
      );
    },
    loseRecord: async () => {
      await run(driver, `MATCH ({${quoted}: $own})-[r:RELATES_TO {uuid: 'ab'}]->() DELETE r`, { own });
    },
    changeRecord: async () => {
      await run(driver, `MATCH (n {uuid: 'bulk 2', ${quoted}: $own}) SET n.n = 2.0`, { own });
    },
    addRecord: async () => {
      await run(driver, `CREATE (:Entity {uuid: 'one more', ${quoted}: $own})`, { own });
    },
    leftovers: () => graphLeftovers(driver),
    // The neighbours are part of the content: nothing that the suite does may change them.
    content: async () =>
      (
        await Promise.all(
          [...values, 'neighbour', undefined].map((value) => tenantContent(driver, property, value)),
        )
      ).join('\n\n'),
    merges: false,
    compared: {
      scope,
      open: (other) => openGraph(server, neo4jAdapter.Scope.parse(other))(),
      changes: { nodes: [1, 1, 2], relationships: [1, 0, 1] },
    },
    close: () => driver.close(),
  };
});

conformsToPort('neo4j (a whole database)', async () => {
  const server = await wholeServer();
  const driver = plainDriver(server);

  async function empty(): Promise<void> {
    await run(driver, 'MATCH (n) DETACH DELETE n');
    await dropSchema(driver);
  }

  async function seed(): Promise<void> {
    await empty();
    await run(
      driver,
      `CREATE (x {note: 'no label'}), (y), (z:Z:Y:X {id: 'z'}), (x)-[:SELF]->(x), (y)-[:TO {a: [1.0]}]->(z), (y)-[:TO {a: [1]}]->(z)
       WITH z UNWIND range(1, 50) AS i CREATE (:Entity {id: i, name: 'entity ' + i, embedding: [i / 2.0, 1.0]})-[:OF]->(z)`,
    );
    await run(driver, 'CREATE CONSTRAINT one FOR (n:Entity) REQUIRE n.id IS UNIQUE');
    await run(driver, 'CREATE CONSTRAINT two FOR (n:Entity) REQUIRE (n.id, n.name) IS UNIQUE');
    await run(driver, 'CREATE CONSTRAINT three FOR ()-[r:OF]-() REQUIRE r.order IS UNIQUE');
    await run(driver, 'CREATE INDEX `range `` index` FOR (n:Entity) ON (n.name, n.`odd ``name`)');
    await run(driver, 'CREATE INDEX related FOR ()-[r:TO]-() ON (r.a)');
    await run(driver, 'CREATE TEXT INDEX texts FOR ()-[r:TO]-() ON (r.b)');
    await run(
      driver,
      `CREATE POINT INDEX points FOR (n:Entity) ON (n.place)
       OPTIONS {indexConfig: {\`spatial.cartesian.min\`: [-100.0, -100.0], \`spatial.cartesian.max\`: [100.0, 100.0]}}`,
    );
    await run(
      driver,
      `CREATE FULLTEXT INDEX search FOR (n:Entity|Z) ON EACH [n.name, n.id]
       OPTIONS {indexConfig: {\`fulltext.analyzer\`: 'english', \`fulltext.eventually_consistent\`: true}}`,
    );
    await run(
      driver,
      `CREATE VECTOR INDEX vectors FOR (n:Entity) ON (n.embedding)
       OPTIONS {indexConfig: {\`vector.dimensions\`: 2, \`vector.similarity_function\`: 'euclidean'}}`,
    );
    await run(driver, 'CALL db.awaitIndexes(300)');
  }

  return {
    open: openGraph(server),
    empty,
    seed,
    change: async () => {
      await run(driver, 'MATCH (n:Entity) WHERE n.id < 5 DETACH DELETE n');
      await run(driver, 'CREATE (:Other {id: 1})-[:NEW]->()');
      await run(driver, 'DROP INDEX vectors');
      await run(driver, 'CREATE INDEX vectors FOR (n:Entity) ON (n.other)');
    },
    loseRecord: async () => {
      await run(driver, 'MATCH ()-[r:SELF]->() DELETE r');
    },
    changeRecord: async () => {
      await run(driver, 'MATCH (n:Entity {id: 7}) SET n.embedding = [3.5, 1.0000000000000002]');
    },
    addRecord: async () => {
      await run(driver, 'CREATE ()');
    },
    leftovers: () => graphLeftovers(driver),
    content: () => graphContent(driver),
    merges: false,
    compared: {
      scope: {},
      open: () => openGraph(server)(),
      changes: { nodes: [4, 0, 2], relationships: [4, 0, 1], schema: [0, 1, 0] },
    },
    close: () => driver.close(),
  };
});
