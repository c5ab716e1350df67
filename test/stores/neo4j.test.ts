import { servers } from '../servers.ts';
import { conformsToPort } from './conformance.ts';
import { EVERY_VALUE, graphContent, graphLeftovers, openGraph, plainDriver, run } from './neo4j-graph.ts';

const LABEL = 'Conform `ance\\u0060';
const QUOTED = '`Conform ``ance\\u005Cu0060`';

conformsToPort('neo4j', async () => {
  const server = servers.neo4j;
  const driver = plainDriver(server);
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
       WITH a UNWIND range(1, 2100) AS i
       CREATE (n:${QUOTED}:Bulk {id: 'bulk ' + i, n: i, description: 'description number ' + i})
       CREATE (n)-[:PART_OF {order: i}]->(a)`,
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
    // Node d has no key, so it can't be merged; merging has tests of its own.
    merges: false,
    close: () => driver.close(),
  };
});
