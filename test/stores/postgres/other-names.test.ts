/** Restores into other workspaces, of a part of an archive, and into tables that keep their rows. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import type { EntryReader } from '../../../shared/archive/format/types.ts';
import { PostgresStore, postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import type { PostgresScope } from '../../../shared/stores/postgres/scope.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import type { RouteRequest } from '../../../shared/stores/route.ts';
import { exportAll, legContext, restoreAll, withStore } from '../memory-archive.ts';
import { OwnPostgres } from './own-server.ts';

const SMALL = { entryBytes: 2_000, pageRows: 20, pageBytes: 5_000 };
const SAME: RouteRequest = { only: {}, rename: {}, sameProfile: true };
const TABLES = `CREATE TABLE doc (workspace text, id text, n bigserial, v text, PRIMARY KEY (workspace, id), UNIQUE (workspace, n));
  CREATE TABLE chunk (workspace text, id text, doc text, PRIMARY KEY (workspace, id), FOREIGN KEY (workspace, doc) REFERENCES doc);
  CREATE TABLE note (workspace text, id text PRIMARY KEY);
  INSERT INTO doc (workspace, id, v) SELECT w, 'd' || n, w || n FROM unnest(ARRAY['a', 'b', E'odd\\t\\\\N\\n']) w, generate_series(1, 40) n;
  INSERT INTO chunk SELECT workspace, 'c' || id, id FROM doc;
  INSERT INTO note VALUES ('b', 'only b')`;

let server: OwnPostgres;
let client: Client;
let schemas = 0;

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
});
afterAll(() => server.stop());

async function place(statements = TABLES) {
  const schema = `n${schemas++}`;
  await client.query(
    `CREATE SCHEMA ${schema}; SET search_path = ${schema}, public; ${statements}; RESET search_path`,
  );
  return schema;
}

function scopeOf(schema: string, ...workspaces: string[]): PostgresScope {
  const workspace = { column: 'workspace', in: workspaces };
  return postgresAdapter.Scope.parse({ schema, ...(workspaces.length > 0 ? { workspace } : {}) });
}

const open = (scope: PostgresScope) => () => {
  const { url, username, password } = server.address;
  const connection = postgresAdapter.Connection.parse({ url, username, password, tls: false });
  return new PostgresStore(connection, scope, 'test', SMALL);
};

/** Restores as the workflow does: by the route, and through the view. */
async function restore(
  archive: EntryReader,
  saved: PostgresScope,
  target: PostgresScope,
  request: Partial<RouteRequest> = {},
  options: LoadOptions = { mode: 'replace', onConflict: 'fail' },
) {
  const route = await postgresAdapter.route(archive, saved, target, { ...SAME, ...request });
  const view = postgresAdapter.view(archive, route);
  const problems = await withStore(open(route.scope), (store) =>
    store.admits({ archive: view, options, context: legContext() }),
  );
  if (problems.length > 0) return { route, problems };
  const { differences, samples } = await restoreAll(open(route.scope), view, { options, hurried: true });
  return { route, problems, differences, samples };
}

const rows = async (schema: string, table: string, condition = 'true') => {
  const { rows: found } = await client.query({
    text: `SELECT t::text FROM ${schema}.${table} t WHERE ${condition} ORDER BY 1`,
    rowMode: 'array',
  });
  return found.flat();
};

describe('into another workspace', () => {
  test('every row gets its value, beside the original, which is not touched', async () => {
    const schema = await place();
    const saved = scopeOf(schema, 'a');
    const { archive } = await exportAll(open(saved));
    const others = await rows(schema, 'doc');
    const strange = "x\t\\.\n'\u{1f600}";
    const restored = await restore(archive, saved, scopeOf(schema, strange));
    expect(restored).toMatchObject({ problems: [], differences: 0 });
    expect(restored.route.changes).toEqual([`workspace "a" becomes ${JSON.stringify(strange)}`]);
    const own = `workspace = ${client.escapeLiteral(strange)}`;
    expect(await rows(schema, 'doc', `NOT ${own}`)).toEqual(others);
    const { rows: copies } = await client.query({
      text: `SELECT count(*)::int, count(DISTINCT (o.n, o.v))::int, bool_and(o.n = c.n AND o.v = c.v)
        FROM ${schema}.doc c JOIN ${schema}.doc o ON o.id = c.id AND o.workspace = 'a' WHERE c.${own}`,
      rowMode: 'array',
    });
    expect(copies).toEqual([[40, 40, true]]);
    expect(await rows(schema, 'chunk', own)).toHaveLength(40);
    // And once more, over what is there now.
    expect(await restore(archive, saved, scopeOf(schema, strange))).toMatchObject({ differences: 0 });
    expect(await rows(schema, 'doc', `NOT ${own}`)).toEqual(others);
  });

  test('of several, each takes the place of the one in the same position', async () => {
    const schema = await place();
    const elsewhere = await place('SELECT 1');
    const saved = scopeOf(schema, 'b', 'odd\t\\N\n');
    const { archive } = await exportAll(open(saved));
    const restored = await restore(archive, saved, scopeOf(elsewhere, 'x', 'y'));
    expect(restored).toMatchObject({ problems: [], differences: 0 });
    const { rows: found } = await client.query({
      text: `SELECT workspace, min(v), count(*)::int FROM ${elsewhere}.doc GROUP BY 1 ORDER BY 1`,
      rowMode: 'array',
    });
    expect(found).toEqual([
      ['x', 'b1', 40],
      ['y', 'odd\t\\N\n1', 40],
    ]);
    await expect(restore(archive, saved, scopeOf(elsewhere, 'x', 'b'))).rejects.toThrow(/not clear which/);
    await expect(
      restore(archive, saved, scopeOf(elsewhere, 'x', 'y'), { sameProfile: false }),
    ).rejects.toThrow(/not clear which/);
  });

  test('is refused before the load if a primary key is that of a row in another workspace', async () => {
    const schema = await place();
    const saved = scopeOf(schema, 'b');
    const { archive } = await exportAll(open(saved));
    const { problems } = await restore(archive, saved, scopeOf(schema, 'c'));
    expect(problems).toEqual([
      expect.stringMatching(/table "note" has rows of other workspaces.*"workspace"/),
    ]);
  });

  test('is refused if a value is computed from the workspace, or if the columns differ', async () => {
    const schema = await place(
      "CREATE TABLE t (workspace text, id text, k text GENERATED ALWAYS AS (workspace || id) STORED, PRIMARY KEY (workspace, id)); INSERT INTO t VALUES ('a', '1')",
    );
    const saved = scopeOf(schema, 'a');
    const { archive } = await exportAll(open(saved));
    await expect(restore(archive, saved, scopeOf(schema, 'c'))).rejects.toThrow(
      /"k" of table "t" is computed/,
    );
    const other = postgresAdapter.Scope.parse({ schema, workspace: { column: 'tenant', in: ['a'] } });
    await expect(restore(archive, saved, other)).rejects.toThrow(
      /by "workspace", and the target by "tenant"/,
    );
    const request = { rename: { key_prefix: 'c' } };
    await expect(restore(archive, saved, saved, request)).rejects.toThrow(/no prefix.*/);
  });
});

describe('a part of an archive', () => {
  test('one workspace of several, of which the others are not touched', async () => {
    const schema = await place();
    const all = scopeOf(schema, 'a', 'b');
    const { archive } = await exportAll(open(all));
    await client.query(`UPDATE ${schema}.doc SET v = 'newer'`);
    const only = { only: { key_prefixes: ['a'] } };
    const restored = await restore(archive, all, all, only);
    expect(restored).toMatchObject({ problems: [], differences: 0 });
    expect(restored.route.changes).toEqual(['only rows whose "workspace" is "a"']);
    expect(await rows(schema, 'doc', "v = 'newer' AND workspace <> 'a'")).toHaveLength(80);
    expect(await rows(schema, 'doc', "v = 'newer' AND workspace = 'a'")).toEqual([]);
    // Into another one, and out of whole tables.
    expect(await restore(archive, all, scopeOf(schema, 'z'), only)).toMatchObject({ differences: 0 });
    expect(await rows(schema, 'doc', "workspace = 'z'")).toHaveLength(40);
    const whole = await exportAll(open(scopeOf(schema)));
    await expect(restore(whole.archive, scopeOf(schema), scopeOf(schema, 'a'))).rejects.toThrow(
      /whole tables/,
    );
    expect(await restore(whole.archive, scopeOf(schema), scopeOf(schema, 'a'), only)).toMatchObject({
      differences: 0,
    });
    await expect(restore(archive, all, all, { only: { key_prefixes: ['none'] } })).rejects.toThrow(
      /the archive has no rows of "none"/,
    );
  });

  test('some tables, of which no other is touched', async () => {
    const schema = await place(`${TABLES}; CREATE TABLE other (id int PRIMARY KEY)`);
    const whole = scopeOf(schema);
    const { archive } = await exportAll(open(whole));
    await client.query(
      `DELETE FROM ${schema}.chunk; UPDATE ${schema}.doc SET v = 'newer'; DELETE FROM ${schema}.note`,
    );
    const { rows: before } = await client.query(`SELECT '${schema}.doc'::regclass::oid AS oid`);
    expect(await restore(archive, whole, whole, { only: { namespaces: ['note'] } })).toMatchObject({
      differences: 0,
    });
    expect(await rows(schema, 'note')).toEqual(['(b,"only b")']);
    expect((await client.query(`SELECT '${schema}.doc'::regclass::oid AS oid`)).rows).toEqual(before);
    await expect(restore(archive, whole, whole, { only: { namespaces: ['chunk'] } })).rejects.toThrow(
      /"chunk" refers to "doc"/,
    );
    await expect(restore(archive, whole, whole, { only: { namespaces: ['nothing'] } })).rejects.toThrow(
      /no table "nothing"/,
    );
    const { problems } = await restore(archive, whole, whole, { only: { namespaces: ['doc'] } });
    expect(problems).toEqual([expect.stringMatching(/"doc" is referred to by a table outside/)]);
    expect(await restore(archive, whole, whole, { only: { namespaces: ['doc', 'chunk'] } })).toMatchObject({
      differences: 0,
    });
    expect(await rows(schema, 'doc', "v = 'newer'")).toEqual([]);
  });

  test('a partial backup has only the chosen tables and workspaces', async () => {
    const schema = await place();
    const all = scopeOf(schema, 'a', 'b');
    const part = postgresAdapter.narrow(all, { namespaces: ['note', 'doc'], key_prefixes: ['b'] });
    const { tallies } = await exportAll(open(part));
    expect(tallies).toMatchObject({
      tables: { count: 2 },
      'rows:doc': { count: 40 },
      'rows:note': { count: 1 },
    });
    expect(() => postgresAdapter.narrow(all, { key_prefixes: ['none'] })).toThrow(/no rows of "none"/);
    expect(postgresAdapter.lacks({ namespaces: ['doc', 'gone'] }, { 'rows:doc': 1 })).toEqual([
      'table "gone" with rows',
    ]);
  });
});

describe('a merge', () => {
  const merge = (onConflict: LoadOptions['onConflict']) => ({ mode: 'merge', onConflict }) as const;
  /** A row of the archive is changed, one is missing, and one is not in the archive; in each workspace. */
  const change = (schema: string) =>
    client.query(
      `DELETE FROM ${schema}.chunk WHERE id IN ('cd2', 'cd3'); DELETE FROM ${schema}.doc WHERE id = 'd2';
       UPDATE ${schema}.doc SET v = 'newer' WHERE id = 'd3';
       INSERT INTO ${schema}.doc (workspace, id, v) SELECT DISTINCT workspace, 'new', 'new' FROM ${schema}.doc`,
    );

  test.each([
    ['whole tables', [], 3],
    ['a workspace', ['a'], 1],
  ] as const)(
    'of %s keeps rows that are not in the archive, and treats others as requested',
    async (_of, workspaces, count) => {
      const schema = await place();
      const scope = scopeOf(schema, ...workspaces);
      const { archive } = await exportAll(open(scope));
      await change(schema);
      const sequence = () =>
        client.query(`SELECT last_value FROM ${schema}.doc_n_seq`).then(({ rows: [row] }) => row);
      const [oid, last] = [await client.query(`SELECT '${schema}.doc'::regclass::oid`), await sequence()];
      const refused = await restore(archive, scope, scope, {}, merge('fail'));
      expect(refused.problems).toEqual([expect.stringMatching(/table "doc" has rows with .*other content/)]);
      expect(await restore(archive, scope, scope, {}, merge('keep'))).toMatchObject({
        problems: [],
        differences: 0,
      });
      expect(await rows(schema, 'doc', "v = 'newer'")).toHaveLength(3);
      expect(await rows(schema, 'doc', "id = 'd2'")).toHaveLength(count);
      expect(await rows(schema, 'chunk', "id = 'cd3'")).toHaveLength(count);
      expect(await restore(archive, scope, scope, {}, merge('overwrite'))).toMatchObject({
        problems: [],
        differences: 0,
      });
      expect(await rows(schema, 'doc', "v = 'newer'")).toHaveLength(3 - count);
      expect(await rows(schema, 'doc', "id = 'new'")).toHaveLength(3);
      expect(await restore(archive, scope, scope, {}, merge('fail'))).toMatchObject({
        problems: [],
        differences: 0,
      });
      expect((await client.query(`SELECT '${schema}.doc'::regclass::oid`)).rows).toEqual(oid.rows);
      expect(await sequence()).toEqual(last);
    },
  );

  test('with "fail" changes nothing if a row is changed after the inspection', async () => {
    const schema = await place();
    const scope = scopeOf(schema);
    const { archive } = await exportAll(open(scope));
    await change(schema);
    const before = await rows(schema, 'doc');
    await expect(restoreAll(open(scope), archive, { options: merge('fail') })).rejects.toThrow(
      /23505.*doc_pkey/,
    );
    expect(await rows(schema, 'doc')).toEqual(before);
    await withStore(open(scope), (store) => store.finish(legContext()));
  });

  test('is refused where it could not overwrite, and into tables with other columns', async () => {
    const schema = await place(
      'CREATE TABLE t (id int PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY); INSERT INTO t SELECT generate_series(1, 5)',
    );
    const scope = scopeOf(schema);
    const { archive } = await exportAll(open(scope));
    const problemsOf = async (options: LoadOptions) =>
      (await restore(archive, scope, scope, {}, options)).problems;
    expect(await problemsOf(merge('overwrite'))).toEqual([
      expect.stringMatching(/"n" of table "t" .*cannot be overwritten/),
    ]);
    expect(await problemsOf(merge('keep'))).toEqual([]);
    await client.query(`ALTER TABLE ${schema}.t ADD COLUMN later text`);
    expect(await problemsOf(merge('keep'))).toEqual([
      expect.stringMatching(/"later", which the archive lacks/),
    ]);
  });
});
