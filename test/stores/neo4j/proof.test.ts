import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { Neo4jServer } from '../../../shared/stores/neo4j/server.ts';
import type { StoreProof } from '../../../shared/stores/proof.ts';
import { exportAll, legContext, withStore } from '../memory-archive.ts';
import { openGraph, plainDriver, run } from './graph.ts';
import { OwnNeo4j } from './own-server.ts';

/** What proves that a graph did not change, on a server whose files a test replaces. */

// A deadline for hangs: the server starts several times.

/** Number of transactions in quick succession, each of which must be noticed. */
const COMMITS = 100;
let server: OwnNeo4j;
let driver: Driver;
const open = () => openGraph(server.address, { label: 'Proof', key_property: 'id' })();
const prove = (): Promise<StoreProof> =>
  withStore(open, async (store) => (await store.prove?.(legContext())) ?? { reason: 'not implemented' });

beforeAll(async () => {
  server = await OwnNeo4j.start({ plain: true });
  driver = plainDriver(server.address);
  await run(driver, 'UNWIND range(1, 50) AS i CREATE (:Proof {id: i})-[:R]->(:Other {id: i})');
});
afterAll(async () => {
  await driver?.close();
  await server?.stop();
});

test('is the same after everything that a backup reads, and after a transaction that changes nothing', async () => {
  const before = await prove();
  expect(before.values).toBeDefined();
  await withStore(open, (store) => store.probe(legContext()));
  await exportAll(open);
  await run(driver, 'MATCH (n) RETURN count(n)');
  expect(await prove()).toEqual(before);
});

test('differs at once after each of many transactions, and after changes of other labels and of the schema', async () => {
  let before = await prove();
  for (let i = 0; i < COMMITS; i++) {
    await run(driver, 'MATCH (n:Proof {id: 1}) SET n.value = $i', { i });
    const after = await prove();
    expect(after).not.toEqual(before);
    before = after;
  }
  for (const change of [
    'MATCH (n:Other {id: 1}) SET n.value = 1',
    'CREATE INDEX proof_index FOR (n:Proof) ON (n.value)',
    'DROP INDEX proof_index',
    'MATCH (n:Proof {id: 2}) DETACH DELETE n',
  ]) {
    await run(driver, change);
    const after = await prove();
    expect({ change, after }).not.toEqual({ change, after: before });
    before = after;
  }
});

test('differs if the files of the database were replaced by others, although ids and transactions are equal', async () => {
  const files = join(server.files, 'data');
  const copy = join(server.files, 'copy');
  await driver.close();
  await server.kill();
  await cp(files, copy, { recursive: true });
  const startAndWrite = async (value: string): Promise<StoreProof> => {
    await server.up();
    driver = plainDriver(server.address);
    await run(driver, 'MATCH (n:Proof {id: 3}) SET n.value = $value', { value });
    return prove();
  };
  const one = await startAndWrite('one');
  await driver.close();
  await server.kill();
  await rm(files, { recursive: true });
  await cp(copy, files, { recursive: true });
  const other = await startAndWrite('other');
  // All that tells them apart is when the process was started.
  expect({ ...other.values, process: '' }).toEqual({ ...one.values, process: '' });
  expect(other.values?.process).not.toBe(one.values?.process);
});

test.each<[string, (rows: Record<string, unknown>[]) => Record<string, unknown>[], string]>([
  ['a member of a cluster', (rows) => rows.flatMap((row) => [row, { ...row, writer: false }]), 'members'],
  ['a database that the user may not see', () => [], 'does not tell'],
  [
    'a database without a start time',
    (rows) => rows.map((row) => ({ ...row, lastStartTime: null })),
    'does not tell',
  ],
  ['a database in parts', (rows) => rows.map((row) => ({ ...row, type: 'property shard' })), 'does not tell'],
])('is refused by %s', async (_what, change, reason) => {
  // A cluster and restricted users need the Enterprise Edition: rows are changed on their way.
  const read = Neo4jServer.prototype.read;
  const spy = jest.spyOn(Neo4jServer.prototype, 'read').mockImplementation(async function (
    this: Neo4jServer,
    doing,
    cypher,
    ...rest
  ) {
    const rows = await read.call(this, doing, cypher, ...rest);
    return cypher.startsWith('SHOW DATABASES') ? change(rows) : rows;
  });
  try {
    expect((await prove()).reason).toContain(reason);
  } finally {
    spy.mockRestore();
  }
});
