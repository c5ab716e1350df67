import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import { until } from '../../support/until.ts';
import { exportAll, legContext, withStore } from '../memory-archive.ts';
import { openGraph, plainDriver, run } from './graph.ts';
import { OwnNeo4j } from './own-server.ts';

// A deadline for hangs: the server starts, and the first time it is installed.

let server: OwnNeo4j;
let driver: Driver;

beforeAll(async () => {
  server = await OwnNeo4j.start({ apoc: true });
  driver = plainDriver(server.address);
});
beforeEach(async () => {
  await run(driver, 'MATCH (n) DETACH DELETE n');
});
afterAll(async () => {
  await driver?.close();
  await server?.stop();
});

/** Saves the graph, empties the database, and makes APOC read the saved graph: nodes first. */
async function throughApoc(): Promise<void> {
  const { archive } = await exportAll(openGraph(server.address));
  const lines = ['graph/nodes-', 'graph/relationships-'].flatMap((prefix) =>
    archive
      .names()
      .filter((name) => name.startsWith(prefix))
      .map((name) => archive.text(name)),
  );
  await writeFile(join(server.files, 'graph.json'), lines.join(''));
  await run(driver, 'MATCH (n) DETACH DELETE n');
  // A prerequisite of APOC.
  for (const label of ['Entity', 'Scope'])
    await run(driver, `CREATE CONSTRAINT IF NOT EXISTS FOR (n:${label}) REQUIRE n.neo4jImportId IS UNIQUE`);
  await run(driver, "CALL apoc.import.json('graph.json')");
  await run(driver, 'MATCH (n) REMOVE n.neo4jImportId');
}

const content = async () => ({
  nodes: await run(driver, 'MATCH (n) RETURN labels(n) AS labels, properties(n) AS properties ORDER BY n.id'),
  relationships: await run(
    driver,
    `MATCH (a)-[r]->(b) RETURN a.id AS start, type(r) AS type, properties(r) AS properties, b.id AS end
     ORDER BY start, end, r.n`,
  ),
});

test('apoc.import.json reads the lines: nodes, labels, relationships, and every value that JSON has', async () => {
  await run(
    driver,
    `CREATE (a:Entity:Scope {id: 'a', text: 'a "quoted" 😀\\n', empty: '', max: 9223372036854775807,
       unsafe: 9007199254740993, minus: -1, float: 1.5, tenth: 0.1, yes: true, ints: [1, 2, 3], texts: ['x', '']})
     CREATE (b:Entity {id: 'b'})
     CREATE (a)-[:RELATED {n: 1, weight: 0.5}]->(b), (a)-[:RELATED {n: 2}]->(b), (b)-[:SELF {n: 3, text: 'loop'}]->(b)`,
  );
  const before = await content();
  expect(before.relationships).toHaveLength(3);
  await throughApoc();
  expect(await content()).toEqual(before);
});

test('apoc.import.json takes dates as text and refuses lists of points, as the documentation says', async () => {
  await run(driver, "CREATE (:Entity {id: 'a', date: date('2024-02-29')})");
  await throughApoc();
  expect(await run(driver, 'MATCH (n) RETURN n.date AS date')).toEqual([{ date: '2024-02-29' }]);
  await run(driver, 'MATCH (n) SET n.points = [point({x: 0, y: 0})]');
  await expect(throughApoc()).rejects.toThrow();
});

test('an active trigger is found before a restore, and does not stop a rollback', async () => {
  await run(driver, "CREATE (:Entity {id: 'a'})");
  const { archive } = await exportAll(openGraph(server.address));
  const options: LoadOptions = { mode: 'replace', onConflict: 'fail' };
  const admits = (asIs: boolean) =>
    withStore(openGraph(server.address), (store) =>
      store.admits({ archive, options, context: legContext({ asIs }) }),
    );
  const triggers = () =>
    run(driver, 'CALL apoc.trigger.list() YIELD name, paused WHERE NOT paused RETURN name');
  const untilActive = (count: number) =>
    until(`${count} triggers are active`, triggers, { holds: ({ length }) => length === count });
  const inSystem = (cypher: string) => driver.executeQuery(cypher, {}, { database: 'system' });
  expect(await admits(false)).toEqual([]);
  await inSystem(
    "CALL apoc.trigger.install('neo4j', 'stamp', 'UNWIND $createdNodes AS n SET n.ts = timestamp()', {phase: 'before'})",
  );
  await untilActive(1);
  expect(await admits(false)).toEqual([expect.stringContaining('the APOC trigger "stamp" is active')]);
  expect(await admits(true)).toEqual([]);
  await inSystem("CALL apoc.trigger.stop('neo4j', 'stamp')");
  await untilActive(0);
  expect(await admits(false)).toEqual([]);
  await inSystem("CALL apoc.trigger.drop('neo4j', 'stamp')");
});
