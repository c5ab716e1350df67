/** What proves that tables did not change, on a server that a test may restart and crash. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { PostgresStore, postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { describeChanges, type StoreProof } from '../../../shared/stores/proof.ts';
import { exportAll, legContext, withStore } from '../memory-archive.ts';
import { OwnPostgres } from './own-server.ts';

let server: OwnPostgres;
let client: Client;
let schema = '';
let schemas = 0;

beforeAll(async () => {
  server = await OwnPostgres.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  client = await server.connect();
  schema = `p${schemas++}`;
  await client.query(
    `CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.t (id bigserial PRIMARY KEY, v text);
     INSERT INTO ${schema}.t (v) SELECT 'v' || n FROM generate_series(1, 50) n;
     CREATE UNLOGGED TABLE ${schema}.u (id int PRIMARY KEY, v text); INSERT INTO ${schema}.u VALUES (1, 'x')`,
  );
});

const open = (scope: object = {}, login: object = {}, { address } = server) => {
  const { url, username, password } = address;
  const connection = { url, username, password, tls: false, ...login };
  return new PostgresStore(
    postgresAdapter.Connection.parse(connection),
    postgresAdapter.Scope.parse({ schema, ...scope }),
    'test',
  );
};
const prove = (store = open()): Promise<StoreProof> =>
  withStore(
    () => store,
    (opened) => opened.prove?.(legContext()) ?? Promise.reject(new Error('no proof')),
  );
/** The names of the values that have changed. */
const changed = (before: StoreProof, after: StoreProof) =>
  describeChanges(before.values ?? {}, after.values ?? {}).map((text) => text.split(':')[0]);

describe('the proof that tables did not change', () => {
  test('is the same after everything that a backup reads, after reads of others, and after a rollback of nothing', async () => {
    const before = await prove();
    expect(before.values).toBeDefined();
    await withStore(open, (store) => store.probe(legContext()));
    await exportAll(open);
    await client.query(`BEGIN; SELECT * FROM ${schema}.t; ROLLBACK; SELECT pg_stat_reset()`);
    await client.query('DISCARD ALL');
    expect(await prove()).toEqual(before);
  });

  test.each<[string, (at: string) => string, string]>([
    ['an update to the same value', (at) => `UPDATE ${at}.t SET v = v WHERE id = 1`, 'next_transaction'],
    ['a deletion', (at) => `DELETE FROM ${at}.t WHERE id = 1`, 'next_transaction'],
    ['a row of an unlogged table', (at) => `INSERT INTO ${at}.u VALUES (2, 'y')`, 'next_transaction'],
    ['a new index', (at) => `CREATE INDEX ON ${at}.t (v)`, 'next_transaction'],
    ['TRUNCATE', (at) => `TRUNCATE ${at}.t`, 'next_transaction'],
    [
      'a commit that is not written yet',
      (at) => `SET synchronous_commit = off; INSERT INTO ${at}.t (v) VALUES ('late')`,
      'next_transaction',
    ],
    [
      'a change that statistics miss',
      (at) => `UPDATE ${at}.t SET v = 'z' WHERE id = 2; SELECT pg_stat_reset()`,
      'next_transaction',
    ],
    [
      'a number taken from a sequence, which no log shows',
      (at) => `SELECT nextval('${at}.t_id_seq')`,
      'sequences',
    ],
  ])('differs after %s', async (_what, sql, value) => {
    // Afterwards, the next numbers are taken without a transaction.
    await client.query(`SELECT nextval('${schema}.t_id_seq')`);
    const before = await prove();
    await client.query(sql(schema));
    expect(changed(before, await prove())).toContain(value);
  });

  test('does not exist while a transaction may write, whose number was given before or after', async () => {
    const other = await server.connect();
    await other.query(`BEGIN; SELECT setval('${schema}.t_id_seq', 7)`);
    expect(await prove()).toEqual({ reason: expect.stringContaining('in progress') });
    await client.query(`UPDATE ${schema}.t SET v = 'y' WHERE id = 1`);
    expect(await prove()).toEqual({ reason: expect.stringContaining('in progress') });
    await other.query('ROLLBACK');
    expect((await prove()).values).toBeDefined();
  });

  test('differs after a restart without any change', async () => {
    const before = await prove();
    await server.restart();
    expect(changed(before, await prove())).toEqual(expect.arrayContaining(['server', 'recovery']));
  });

  test('differs after a crash of one process, of which the server recovers without a restart', async () => {
    const before = await prove();
    await server.crash();
    const after = await prove();
    // Unlogged tables are empty now, by no transaction.
    const found = await withStore(open, (store) => store.probe(legContext()));
    expect(found.counts).toMatchObject({ 'rows:t': 50, 'rows:u': 0 });
    expect(after.values?.server).toBe(before.values?.server);
    expect(changed(before, after)).toContain('recovery');
  });

  test('differs on another server at the same address with the same data', async () => {
    const before = await prove();
    const other = await OwnPostgres.start();
    try {
      const there = await other.connect();
      await there.query(`CREATE SCHEMA ${schema}`);
      expect(changed(before, await prove(open({}, {}, other)))).toContain('server');
    } finally {
      await other.stop();
    }
  });

  test('needs no right beyond those of a backup', async () => {
    await client.query(
      `CREATE ROLE prover LOGIN PASSWORD 'p-4a1c'; GRANT USAGE ON SCHEMA ${schema} TO prover; GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO prover; GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${schema} TO prover`,
    );
    const login = { username: 'prover', password: 'p-4a1c' };
    expect(await prove(open({}, login))).toEqual(await prove());
    await client.query('REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC');
    expect(await prove(open({}, login))).toEqual({
      reason: expect.stringContaining('pg_control_checkpoint'),
    });
    await client.query('GRANT EXECUTE ON FUNCTION pg_control_checkpoint() TO PUBLIC');
  });

  test.each([
    ['cycles', 'CREATE TABLE c (id int GENERATED ALWAYS AS IDENTITY (CYCLE) PRIMARY KEY)'],
    ['is unlogged', 'CREATE UNLOGGED TABLE c (id serial PRIMARY KEY)'],
  ])('does not exist if a sequence %s', async (_what, table) => {
    await client.query(`SET search_path = ${schema}; ${table}; RESET search_path`);
    expect(await prove()).toEqual({ reason: expect.stringContaining('former state') });
    expect((await prove(open({ exclude: ['c'] }))).values).toBeDefined();
  });
});
