/** What is special about PostgreSQL: exact values, replacement in one transaction, workspaces, rights, refusals. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Client } from 'pg';
import { AccessDeniedError, UnavailableError } from '../../../shared/core/errors.ts';
import type { Cursor } from '../../../shared/stores/leg.ts';
import { PostgresStore, postgresAdapter } from '../../../shared/stores/postgres/adapter.ts';
import { PostgresClient } from '../../../shared/stores/postgres/client.ts';
import { stagingSchema } from '../../../shared/stores/postgres/names.ts';
import { runLong } from '../../../shared/stores/postgres/run-long.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';

import { missing, testUnless } from '../../conditions.ts';
import { fc } from '../../fast-check.ts';
import { exportAll, legContext, MemoryArchive, restoreAll, withStore } from '../memory-archive.ts';
import { OwnPostgres } from './own-server.ts';
import { startTlsProxy } from './tls-proxy.ts';

const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };
const SMALL = { entryBytes: 2_000, pageRows: 20, pageBytes: 5_000 };
let server: OwnPostgres;
let client: Client;

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
  await client.query('CREATE EXTENSION vector');
});

afterAll(() => server.stop());

let schemas = 0;

/** Creates a schema with these tables, and opens stores on it. */
async function place(statements: string, scope: object = {}) {
  const schema = `s${schemas++}`;
  await client.query(
    `CREATE SCHEMA ${schema}; SET search_path = ${schema}, public; ${statements}; RESET search_path`,
  );
  const open = (own: object = {}, login: object = {}) => {
    const { url, username, password } = server.address;
    const connection = { url, username, password, tls: false, ...login };
    return new PostgresStore(
      postgresAdapter.Connection.parse(connection),
      postgresAdapter.Scope.parse({ schema, ...scope, ...own }),
      'test',
      SMALL,
    );
  };
  return { schema, open };
}

async function values(sql: string): Promise<unknown[]> {
  const { rows } = await client.query({ text: sql, rowMode: 'array' });
  return rows.flat();
}

async function problemsOf(open: () => PostgresStore, archive: MemoryArchive, warnings: StoreWarning[] = []) {
  const context = legContext({ warn: (warning) => warnings.push(warning) });
  return withStore(open, (store) => store.admits({ archive, options: REPLACE, context }));
}

describe('values', () => {
  test('random vectors, half vectors and numbers are restored to the bit', async () => {
    const { schema, open } = await place(
      'CREATE TABLE t (id int PRIMARY KEY, v vector(16), h halfvec(16), f real[], d double precision[])',
    );
    // Of 32 bits, with all exponents and denormal numbers; those of 16 bits end at 65504.
    const floats = fc.sample(fc.float({ noNaN: true, noDefaultInfinity: true }), 60 * 16);
    const halves = fc.sample(fc.float({ noNaN: true, min: -65504, max: 65504 }), 60 * 16);
    const text = (numbers: readonly number[], row: number) =>
      numbers
        .slice(row * 16, row * 16 + 16)
        .map((number) => (Object.is(number, -0) ? '-0' : String(number)))
        .join();
    for (let row = 0; row < 60; row++) {
      const [all, small] = [text(floats, row), text(halves, row)];
      const sql = `INSERT INTO ${schema}.t VALUES ($1, $2::text::vector, $3::text::halfvec, $4::text::real[], $4::text::float8[])`;
      await client.query(sql, [row, `[${all}]`, `[${small}]`, `{${all}}`]);
    }
    const bits = () =>
      values(
        `SELECT encode(vector_send(v) || halfvec_send(h) || array_send(f) || array_send(d), 'hex') FROM ${schema}.t ORDER BY id`,
      );
    const before = await bits();
    const { archive } = await exportAll(open);
    await client.query(`DELETE FROM ${schema}.t`);
    expect((await restoreAll(open, archive)).differences).toBe(0);
    expect(await bits()).toEqual(before);
    expect(new Set(before).size).toBe(60);
  });

  test('an entry is what COPY reads, so that it can be loaded without ngbak', async () => {
    const { schema, open } = await place(
      "CREATE TABLE t (id text PRIMARY KEY, v text); INSERT INTO t VALUES ('a', E'x\\ty\\n\\\\N'), ('b', NULL)",
    );
    const { archive } = await exportAll(open);
    expect(archive.text('kv/rows/t-00001.copy')).toBe('a\tx\\ty\\n\\\\N\nb\t\\N\n');
    expect(await values(`SELECT v FROM ${schema}.t ORDER BY id`)).toEqual(['x\ty\n\\N', null]);
  });
});

describe('a backup', () => {
  const ROWS =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, repeat('x', 50) FROM generate_series(1, 500) n";

  test('reads all tables at one point in time within a leg', async () => {
    const { schema, open } = await place(`${ROWS}; CREATE TABLE u (id int PRIMARY KEY)`);
    const store = open();
    const archive = new MemoryArchive();
    let steps = 0;
    for await (const { piece } of store.export(
      { id: 'all', params: {}, estimatedBytes: 0 },
      null,
      legContext(),
    )) {
      await archive.add(piece);
      if (steps++ === 1) {
        await client.query(`INSERT INTO ${schema}.u VALUES (1)`);
        await client.query(`UPDATE ${schema}.t SET v = 'changed'`);
      }
    }
    await store.close();
    expect(archive.names().filter((name) => name.includes('/u-'))).toEqual([]);
    expect(
      archive
        .names()
        .map((name) => archive.text(name))
        .join(''),
    ).not.toContain('changed');
  });

  test('continues behind the last primary key in another leg, and shows by its fence what happened in between', async () => {
    const { schema, open } = await place(ROWS);
    const fence = async () => (await withStore(open, (store) => store.probe(legContext()))).fence;
    const before = await fence();
    const first = await legOf(open, null, 3);
    await client.query(`UPDATE ${schema}.t SET v = 'changed' WHERE id IN (1, 500)`);
    const second = await legOf(open, first.cursor, Number.POSITIVE_INFINITY);
    const text = [...first.texts, ...second.texts].join('');
    expect(text.match(/^\d+\t/gm)).toHaveLength(500);
    expect(text).toContain('500\tchanged');
    expect(text).not.toContain('\n1\tchanged');
    const changed = await fence();
    expect(Object.keys(changed).filter((name) => changed[name] !== before[name])).toEqual(['t']);
  });

  test('fails if tables are altered between two legs', async () => {
    const { schema, open } = await place(ROWS);
    const { cursor } = await legOf(open, null, 2);
    await client.query(`ALTER TABLE ${schema}.t ADD COLUMN w int`);
    await expect(legOf(open, cursor, 1)).rejects.toThrow(/created, altered or removed during the backup/);
  });

  /** Exports some steps with a store of its own. */
  async function legOf(open: () => PostgresStore, from: Cursor | null, most: number) {
    const texts: string[] = [];
    let cursor: Cursor | null = null;
    const store = open();
    for await (const { piece, next } of store.export(
      { id: 'all', params: {}, estimatedBytes: 0 },
      from,
      legContext(),
    )) {
      if (piece.name !== 'kv/tables.jsonl')
        for await (const bytes of piece.data) texts.push(Buffer.from(bytes).toString());
      cursor = next;
      if (--most <= 0) break;
    }
    await store.close();
    return { texts, cursor };
  }

  test.each([
    ['without a primary key', 'CREATE TABLE t (id int)', /"t" has no primary key/],
    [
      'that is partitioned',
      'CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)',
      /"t" is partitioned/,
    ],
    [
      'with a type of its own',
      "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (id int PRIMARY KEY, m mood)",
      /column "m" of type "mood"/,
    ],
    [
      'with a function of its own in an index',
      'CREATE FUNCTION f(int) RETURNS int IMMUTABLE LANGUAGE sql AS $$ SELECT 1 $$; CREATE TABLE t (id int PRIMARY KEY); CREATE INDEX ON t (f(id))',
      /calls "f", which is not a known function/,
    ],
    [
      'whose default is a sequence of another',
      "CREATE SEQUENCE s; CREATE TABLE t (id int PRIMARY KEY DEFAULT nextval('s'))",
      /whose default is a sequence that does not belong to it/,
    ],
    [
      'with a foreign key to a table outside of the scope',
      'CREATE TABLE x (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY REFERENCES x)',
      /foreign key to "x", outside of the scope/,
    ],
  ])('refuses a table %s, in plain words', async (_, statements, message) => {
    const { open } = await place(statements, { tables: ['t'] });
    await expect(withStore(open, (store) => store.probe(legContext()))).rejects.toThrow(message);
  });

  test('names what is not saved', async () => {
    const { open } = await place(
      "CREATE TABLE t (id int PRIMARY KEY) WITH (fillfactor = 50); CREATE VIEW v AS SELECT * FROM t; COMMENT ON TABLE t IS 'x'; CREATE RULE r AS ON DELETE TO t DO NOTHING",
    );
    const { warnings } = await withStore(open, (store) => store.probe(legContext()));
    expect(warnings.map(({ code, samples }) => [code, samples])).toEqual([
      ['views-left-out', ['v']],
      ['rule-left-out', ['t: r']],
      ['setting-left-out', ['t: comments', 't: storage parameters']],
    ]);
  });
});

describe('a restore', () => {
  const ROWS =
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 300) n";

  test('does not touch the tables before it replaces all of them in one transaction', async () => {
    const { schema, open } = await place(`${ROWS}; CREATE TABLE u (id int PRIMARY KEY)`);
    const { archive } = await exportAll(open);
    await client.query(
      `UPDATE ${schema}.t SET v = 'newer'; CREATE TABLE ${schema}.later (id int PRIMARY KEY)`,
    );
    const seen = () => values(`SELECT count(*)::int FROM ${schema}.t WHERE v = 'newer'`);
    const context = legContext({ timeLeft: () => 0 });
    let cursor: Cursor | null = null;
    const states: unknown[] = [];
    do {
      states.push((await seen())[0]);
      const from: Cursor | null = cursor;
      ({ cursor } = await withStore(open, (store) =>
        store.load({ archive, options: REPLACE, cursor: from, context }),
      ));
    } while (cursor !== null);
    expect(states.length).toBeGreaterThan(4);
    expect(new Set(states)).toEqual(new Set([300]));
    expect(await seen()).toEqual([0]);
    expect(await values(`SELECT tablename FROM pg_tables WHERE schemaname = '${schema}' ORDER BY 1`)).toEqual(
      ['t', 'u'],
    );
    await withStore(open, (store) => store.finish(legContext()));
  });

  test('changes nothing if the replacement fails', async () => {
    const { schema, open } = await place(ROWS);
    const { archive } = await exportAll(open);
    await client.query(
      `UPDATE ${schema}.t SET v = 'newer'; CREATE VIEW ${schema}.v AS SELECT v FROM ${schema}.t`,
    );
    expect(await problemsOf(open, archive)).toEqual([
      'table "t" is used by the view "v", which a restore cannot keep: drop it first, and create it again',
    ]);
    await expect(restoreAll(open, archive)).rejects.toThrow(/2BP01.*other objects depend on it/);
    expect(await values(`SELECT count(*)::int FROM ${schema}.t WHERE v = 'newer'`)).toEqual([300]);
    await withStore(open, (store) => store.finish(legContext()));
    expect(await values("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'")).toEqual([]);
  });

  test('keeps owner and privileges of the tables that it replaces', async () => {
    await client.query('CREATE ROLE app; CREATE ROLE reader2');
    const { schema, open } = await place(
      'CREATE TABLE t (id bigserial PRIMARY KEY); INSERT INTO t DEFAULT VALUES; GRANT SELECT ON t TO reader2 WITH GRANT OPTION; GRANT USAGE ON SEQUENCE t_id_seq TO PUBLIC; ALTER TABLE t OWNER TO app',
    );
    const rights = () =>
      values(`SELECT relname || ' ' || pg_get_userbyid(relowner) || ' ' || (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(relacl) a)
        FROM pg_class WHERE relnamespace = '${schema}'::regnamespace AND relkind IN ('r', 'S') ORDER BY 1`);
    await client.query(`GRANT USAGE, CREATE ON SCHEMA ${schema} TO app`);
    const before = await rights();
    const { archive } = await exportAll(open);
    expect((await restoreAll(open, archive)).differences).toBe(0);
    const after = await rights();
    // Each grant names who granted it.
    const withoutGrantor = (lines: unknown[]) => lines.map((line) => String(line).replaceAll(/\/\w+/g, ''));
    expect(withoutGrantor(after)).toEqual(withoutGrantor(before));
    expect(String(after[0])).toContain('app');
  });

  test('continues after its connection was lost, without a row twice', async () => {
    const { schema, open } = await place(ROWS);
    const { archive } = await exportAll(open);
    await client.query(`DELETE FROM ${schema}.t`);
    const hurried = legContext({ timeLeft: () => 0 });
    const load = (cursor: Cursor | null, context = legContext()) =>
      withStore(open, (store) => store.load({ archive, options: REPLACE, cursor, context }));
    const { cursor } = await load((await load(null, hurried)).cursor, hurried);
    const lock = await server.connect();
    await lock.query(`BEGIN; LOCK TABLE ${stagingSchema('test-job')}.t`);
    const stopped = load(cursor);
    const refused = expect(stopped).rejects.toBeInstanceOf(UnavailableError);
    for (let killed = 0; killed === 0; ) {
      const { rows } = await client.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ngbak' AND wait_event_type = 'Lock'",
      );
      killed = rows.length;
    }
    await refused;
    await lock.query('ROLLBACK');
    await load(cursor);
    const verified = await withStore(open, (store) =>
      store.verify({ archive, options: REPLACE, cursor: null, context: legContext() }),
    );
    expect(verified).toMatchObject({ differences: 0, cursor: null });
    expect(await values(`SELECT count(*)::int FROM ${schema}.t`)).toEqual([300]);
    await withStore(open, (store) => store.finish(legContext()));
  });

  test('lets the server complete what takes longer than a leg', async () => {
    const { url, username, password } = server.address;
    const open = () =>
      new PostgresClient(postgresAdapter.Connection.parse({ url, username, password, tls: false }), 'test');
    await client.query('CREATE TABLE public.long_run (id int)');
    // The statements wait until the test lets them continue.
    await client.query('SELECT pg_advisory_lock(7)');
    const insert = 'INSERT INTO public.long_run VALUES (1)';
    const statements = ['BEGIN', 'SELECT pg_advisory_xact_lock(7)', insert, 'COMMIT'];
    const isDone = (of: PostgresClient) => async () =>
      (await of.rows('SELECT 1 FROM public.long_run')).length > 0;
    const run = async (timeLeft: number) => {
      const own = open();
      const state = await runLong(
        own,
        'ngbak-long',
        statements,
        isDone(own),
        legContext({ timeLeft: () => timeLeft }),
      );
      await own.close();
      return state;
    };
    expect(await run(0)).toBe('running');
    expect(await run(0)).toBe('running');
    await client.query('SELECT pg_advisory_unlock(7)');
    expect(await run(60_000)).toBe('done');
    expect(await values('SELECT count(*)::int FROM public.long_run')).toEqual([1]);
    await client.query('DROP TABLE public.long_run');
  });

  test.each([
    ['calls a function', '"default":"pg_read_file(\'/etc/passwd\'::text)"', 'calls "pg_read_file"'],
    ['has a second statement', '"default":"1); DROP TABLE x; --"', 'a parenthesis too many'],
    ['has a query', '"default":"(SELECT 1)"', 'contains "select"'],
    ['has a dollar quote', '"default":"$$a$$"', 'contains "$"'],
    ['has a comment', '"default":"1 /* */"', 'contains a comment'],
  ])('refuses an archive whose definition %s', async (_, text, problem) => {
    const { open } = await place("CREATE TABLE t (id int PRIMARY KEY, v text DEFAULT 'plain')");
    const { archive } = await exportAll(open);
    const lines = archive.text('kv/tables.jsonl');
    archive.set('kv/tables.jsonl', lines.replace(`"default":"'plain'::text"`, text));
    expect(archive.text('kv/tables.jsonl')).not.toBe(lines);
    await expect(restoreAll(open, archive)).rejects.toThrow(problem);
    expect(await values("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'")).toEqual([]);
  });

  test.each([
    ['too few fields', '1', 'has 1 fields instead of 2'],
    ['the end of a COPY', '\\.\tx', 'invalid escape'],
    ['a null within a field', '1\ta\\N', 'invalid escape'],
  ])('refuses a row with %s', async (_, row, problem) => {
    const { schema, open } = await place(
      "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x')",
    );
    const { archive } = await exportAll(open);
    archive.set('kv/rows/t-00001.copy', `${row}\n`);
    await expect(restoreAll(open, archive)).rejects.toThrow(problem);
    expect(await values(`SELECT v FROM ${schema}.t`)).toEqual(['x']);
    await withStore(open, (store) => store.finish(legContext()));
  });

  test('names missing extensions before it writes', async () => {
    const { open } = await place('CREATE TABLE t (id int PRIMARY KEY, v vector(2))');
    const { archive } = await exportAll(open);
    const lines = archive.text('kv/tables.jsonl');
    const other = (name: string, version: string) =>
      archive.set(
        'kv/tables.jsonl',
        lines.replace(/"extensions":\[.*\]/, `"extensions":[{"name":"${name}","version":"${version}"}]`),
      );
    other('no_such', '1.0');
    expect(await problemsOf(open, archive)).toEqual([
      'the server does not offer the extension "no_such" (saved with 1.0)',
    ]);
    other('citext', '1.6');
    expect(await problemsOf(open, archive)).toEqual([
      'the database lacks the extension "citext": run CREATE EXTENSION "citext"',
    ]);
    other('vector', '99.1');
    const warnings: StoreWarning[] = [];
    expect(await problemsOf(open, archive, warnings)).toEqual([]);
    expect(warnings.map(({ code }) => code)).toEqual(['older-extension']);
  });
});

describe('a workspace', () => {
  const TABLES = `CREATE TABLE doc (workspace text, id text, n bigserial, v text, PRIMARY KEY (workspace, id));
    CREATE TABLE chunk (workspace text, id text, doc text, PRIMARY KEY (workspace, id),
      FOREIGN KEY (workspace, doc) REFERENCES doc ON DELETE CASCADE);
    INSERT INTO doc (workspace, id, v) SELECT w, 'd' || n, w || n FROM unnest(ARRAY['a', 'b', 'a_b', '']) w, generate_series(1, 40) n;
    INSERT INTO chunk SELECT workspace, 'c' || id, id FROM doc`;
  const scope = { workspace: { column: 'workspace', in: ['a'] } };

  test('is replaced without touching its neighbours', async () => {
    const { schema, open } = await place(TABLES, scope);
    const neighbours = () =>
      values(
        `SELECT xmin::text || ctid::text || doc::text FROM ${schema}.doc WHERE workspace <> 'a' ORDER BY 1`,
      );
    const own = () => values(`SELECT doc::text FROM ${schema}.doc WHERE workspace = 'a' ORDER BY 1`);
    const [before, others] = [await own(), await neighbours()];
    const { archive, tallies } = await exportAll(open);
    expect(tallies['rows:doc']?.count).toBe(40);
    await client.query(
      `DELETE FROM ${schema}.doc WHERE workspace = 'a' AND id < 'd3'; UPDATE ${schema}.doc SET v = 'x' WHERE workspace = 'a'`,
    );
    await client.query(`INSERT INTO ${schema}.doc (workspace, id) VALUES ('a', 'new')`);
    const [next] = await values(`SELECT last_value FROM ${schema}.doc_n_seq`);
    expect((await restoreAll(open, archive)).differences).toBe(0);
    expect(await own()).toEqual(before);
    expect(await neighbours()).toEqual(others);
    // The sequence belongs to all workspaces, and is not set back.
    expect(await values(`SELECT last_value FROM ${schema}.doc_n_seq`)).toEqual([next]);
    expect(await values(`SELECT count(*)::int FROM ${schema}.chunk WHERE workspace = 'a'`)).toEqual([40]);
  });

  test('is refused if the archive has rows of another one', async () => {
    const { schema, open } = await place(TABLES, scope);
    const { archive } = await exportAll(() => open({ workspace: { column: 'workspace', in: ['b'] } }));
    await expect(restoreAll(open, archive)).rejects.toThrow(/"chunk" has a row of another "workspace"/);
    expect(await values(`SELECT count(*)::int FROM ${schema}.doc`)).toEqual([160]);
    await withStore(open, (store) => store.finish(legContext()));
  });

  test('is refused where deleting its rows could delete those of others', async () => {
    const { open } = await place(
      "CREATE TABLE doc (workspace text, id text PRIMARY KEY); CREATE TABLE chunk (workspace text, id text PRIMARY KEY, doc text REFERENCES doc ON DELETE CASCADE); INSERT INTO doc VALUES ('a', '1')",
      scope,
    );
    const { archive } = await exportAll(open);
    expect((await problemsOf(open, archive)).join()).toMatch(
      /foreign key "chunk_doc_fkey".*other workspaces/,
    );
    await expect(restoreAll(open, archive)).rejects.toThrow(/other workspaces could depend/);
    await withStore(open, (store) => store.finish(legContext()));
  });

  test('is not restored over whole tables, which would remove all others', async () => {
    const { schema, open } = await place(TABLES, scope);
    const { archive } = await exportAll(open);
    const saved = postgresAdapter.Scope.parse({ schema, ...scope });
    const request = { only: {}, rename: {}, sameProfile: true };
    const into = (target: object) =>
      postgresAdapter.route(archive, saved, postgresAdapter.Scope.parse({ schema, ...target }), request);
    await expect(into({})).rejects.toThrow(/only the rows of some values of "workspace"/);
    expect((await into(scope)).scope).toEqual(saved);
  });

  test('is refused for tables without its column', async () => {
    const { open } = await place('CREATE TABLE t (id int PRIMARY KEY)', scope);
    await expect(withStore(open, (store) => store.probe(legContext()))).rejects.toThrow(
      /"t" lacks the column "workspace"/,
    );
  });

  test('is restored by a drill into a schema of its own, which is removed again', async () => {
    const { schema, open } = await place(TABLES, scope);
    const { archive } = await exportAll(open);
    const target = postgresAdapter.Scope.parse({ schema, ...scope });
    const route = await postgresAdapter.scratch?.route(archive, target, target, 'drill-1');
    const drill = postgresAdapter.Scope.parse(route?.scope);
    const { url, username, password } = server.address;
    const connection = postgresAdapter.Connection.parse({ url, username, password, tls: false });
    const scratch = () => new PostgresStore(connection, drill, 'test', SMALL);
    expect(postgresAdapter.overlaps({ connection, scope: target }, { connection, scope: drill })).toBe(false);
    expect((await restoreAll(scratch, archive)).differences).toBe(0);
    expect(await withStore(scratch, (store) => store.occupied(legContext()))).toEqual([
      'table "chunk"',
      'table "doc"',
      `schema "${drill.schema}"`,
    ]);
    await withStore(scratch, (store) => store.remove(legContext()));
    expect(await withStore(scratch, (store) => store.occupied(legContext()))).toEqual([]);
    expect(await values("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ngbak%'")).toEqual([]);
    expect(await values(`SELECT count(*)::int FROM ${schema}.doc`)).toEqual([160]);
  });
});

describe('a smoke check', () => {
  test('counts rows of the workspace by the values of columns, and cannot write or leave the scope', async () => {
    const { schema, open } = await place(
      `CREATE TABLE t (workspace text, id int, at timestamp, v text, PRIMARY KEY (workspace, id));
       INSERT INTO t SELECT w, n, '2026-01-01', 'it''s' FROM unnest(ARRAY['a', 'b']) w, generate_series(1, 3) n; CREATE TABLE u (workspace text PRIMARY KEY)`,
      { workspace: { column: 'workspace', in: ['a'] } },
    );
    const answer = (question: unknown, own: object = {}) =>
      withStore(
        () => open(own),
        (store) => store.smoke(question, legContext()),
      );
    const [standard] = postgresAdapter.questions(postgresAdapter.Scope.parse({ schema }));
    expect(await answer(standard)).toBe('row found');
    expect(await answer(standard, { tables: ['u'] })).toBe('no row found');
    expect(await answer({ table: 't', where: {} })).toBe('3');
    expect(await answer({ table: 't', where: { id: '02', at: '2026-01-01T00:00', v: "it's" } })).toBe('1');
    expect(await answer({ table: 't', where: { v: "' OR true --" } })).toBe('0');
    await expect(answer({ table: 't', where: { 'id" = 1; --': '1' } })).rejects.toThrow(/column .* not part/);
    await expect(answer({ table: 'pg_class', where: {} })).rejects.toThrow(/table "pg_class".* not part/);
  });
});

describe('rights', () => {
  const login = { username: 'least', password: 'least-password' };

  beforeAll(async () => {
    await client.query("CREATE ROLE least LOGIN PASSWORD 'least-password'");
  });

  test('a backup needs USAGE on the schema and SELECT on tables and sequences, and no more', async () => {
    const { schema, open } = await place(
      'CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t DEFAULT VALUES',
    );
    const probe = () =>
      withStore(
        () => open({}, login),
        (store) => store.probe(legContext()),
      );
    await expect(probe()).rejects.toBeInstanceOf(AccessDeniedError);
    await client.query(`GRANT USAGE ON SCHEMA ${schema} TO least`);
    await expect(probe()).rejects.toThrow(/denies a permission: permission denied for .* t/);
    await client.query(
      `GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO least; GRANT SELECT ON ALL SEQUENCES IN SCHEMA ${schema} TO least`,
    );
    expect((await probe()).counts).toEqual({ tables: 1, 'rows:t': 1, sequences: 1 });
    const { archive } = await exportAll(() => open({}, login));
    expect(await problemsOf(() => open({}, login), archive)).toEqual([
      'the role "least" lacks the right CREATE on the database',
      `the role "least" lacks the right CREATE on the schema "${schema}"`,
      'the role of the store does not own table "t"',
    ]);
  });

  test('a restore needs the ownership of the tables, and CREATE on database and schema', async () => {
    const { schema, open } = await place(
      'CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) VALUES (1)',
    );
    await client.query(
      `GRANT CREATE ON DATABASE postgres TO least; GRANT USAGE, CREATE ON SCHEMA ${schema} TO least; ALTER TABLE ${schema}.t OWNER TO least`,
    );
    const own = () => open({}, login);
    const { archive } = await exportAll(own);
    expect(await problemsOf(own, archive)).toEqual([]);
    expect((await restoreAll(own, archive)).differences).toBe(0);
    await client.query('REVOKE CREATE ON DATABASE postgres FROM least');
  });

  test('rows that row-level security hides are an error, and not missing from the backup', async () => {
    const { schema, open } = await place(
      'CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)',
    );
    await client.query(`GRANT USAGE ON SCHEMA ${schema} TO least; GRANT SELECT ON ${schema}.t TO least`);
    const probing = withStore(
      () => open({}, login),
      (store) => store.probe(legContext()),
    );
    await expect(probing).rejects.toThrow(/row-level security/);
  });
});

describe('TLS', () => {
  testUnless(
    missing('openssl', 'version'),
    'is required unless it is switched off, and verifies the certificate by "ca"',
    async () => {
      const { url, ca, close } = await startTlsProxy(server.address.url);
      const { open } = await place('CREATE TABLE t (id int PRIMARY KEY)');
      const probe = (login: object) =>
        withStore(
          () => open({}, login),
          (store) => store.probe(legContext()),
        );
      try {
        await expect(probe({ url, tls: true })).rejects.toThrow(/certificate of .* is not valid/);
        expect((await probe({ url, tls: true, ca })).counts).toEqual({ tables: 1, 'rows:t': 0 });
        await expect(probe({ tls: true })).rejects.toThrow(/does not support TLS/);
      } finally {
        await close();
      }
    },
  );
});
