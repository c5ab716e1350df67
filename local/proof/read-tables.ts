import pg from 'pg';
import { digestOf, type Ledger } from './ledger.ts';

/** Rows that are fetched together. */
const PAGE = 500;

export interface PostgresServer {
  /** `postgresql://host:port/database`, without credentials. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly tls?: boolean | undefined;
}

interface Column {
  readonly name: string;
  /** The function that returns the binary form of its values. */
  readonly send: string;
  /** Type, default and other properties. */
  readonly definition: Record<string, unknown>;
}

/**
 * Reads every table of the schema `public`: its definition, and all rows, or, if it has the column of the workspace, those of
 * the workspace. The values are read in the binary form of their types, in which each bit of a number or a vector is its own.
 */
export async function readTables(
  server: PostgresServer,
  ledger: Ledger,
  options: { workspace?: { readonly column: string; readonly value: string } | undefined },
): Promise<void> {
  const { hostname, port, pathname } = new URL(server.url);
  const client = new pg.Client({
    host: hostname,
    port: Number(port || 5432),
    database: pathname.slice(1),
    user: server.username,
    password: server.password,
    ssl: server.tls ?? true,
  });
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const { rows } = await client.query<{ oid: string; name: string; kind: string }>(
      `SELECT oid::text, relname AS name, relkind::text AS kind FROM pg_class
       WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'S') ORDER BY relname`,
    );
    for (const { oid, name, kind } of rows) {
      if (kind === 'S') await readSequence(client, ledger, name);
      else await readTable(client, ledger, { oid, name, workspace: options.workspace });
    }
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}

async function readTable(
  client: pg.Client,
  ledger: Ledger,
  table: { oid: string; name: string; workspace: { column: string; value: string } | undefined },
): Promise<void> {
  const columns = await columnsOf(client, table.oid);
  await ledger.add({
    part: 'tables',
    key: table.name,
    fields: await definitionOf(client, table.oid, columns),
  });
  const { rows: keys } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
     WHERE indrelid = $1 AND indisprimary ORDER BY attnum`,
    [table.oid],
  );
  const key = keys.map(({ name }) => `${pg.escapeIdentifier(name)}::text`);
  const values = columns.map(({ name, send }) => `encode(${send}(${pg.escapeIdentifier(name)}), 'hex')`);
  const workspace = columns.some(({ name }) => name === table.workspace?.column)
    ? table.workspace
    : undefined;
  const condition =
    workspace === undefined
      ? ''
      : ` WHERE ${pg.escapeIdentifier(workspace.column)} = ${pg.escapeLiteral(workspace.value)}`;
  await client.query(
    `DECLARE reader NO SCROLL CURSOR FOR
     SELECT ARRAY[${key}]::text[] AS key, ARRAY[${values}]::text[] AS values
     FROM public.${pg.escapeIdentifier(table.name)}${condition}`,
  );
  for (;;) {
    const { rows } = await client.query<{ key: string[]; values: (string | null)[] }>(
      `FETCH ${PAGE} FROM reader`,
    );
    for (const row of rows) {
      const fields = columns.map(({ name }, at) => {
        const value = row.values[at] ?? null;
        return [`column:${name}`, value === null ? 'null' : digestOf(Buffer.from(value, 'hex'))];
      });
      await ledger.add({
        part: `rows ${table.name}`,
        key: row.key.length > 0 ? row.key.join(' ') : digestOf(JSON.stringify(row.values)),
        fields: Object.fromEntries(fields),
      });
    }
    if (rows.length < PAGE) break;
  }
  await client.query('CLOSE reader');
}

async function columnsOf(client: pg.Client, table: string): Promise<Column[]> {
  const { rows } = await client.query(
    `SELECT attname AS name, typsend::regproc::text AS send, format_type(atttypid, atttypmod) AS type,
       row_number() OVER (ORDER BY attnum)::int AS position, attnotnull AS required, attidentity::text AS identity,
       attgenerated::text AS generated, pg_get_expr(adbin, adrelid) AS expression, attcollation::regcollation::text AS collation
     FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
       LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  );
  return rows.map(({ name, send, ...definition }) => ({ name, send, definition }));
}

async function definitionOf(
  client: pg.Client,
  table: string,
  columns: readonly Column[],
): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; text: string }>(
    `SELECT 'constraint:' || conname AS name, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = $1
     UNION ALL
     SELECT 'index:' || relname, pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END
     FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indrelid = $1
     UNION ALL
     SELECT 'setting:persistence', relpersistence::text FROM pg_class WHERE oid = $1`,
    [table],
  );
  return Object.fromEntries([
    ...columns.map(({ name, definition }) => [`column:${name}`, digestOf(JSON.stringify(definition))]),
    ...rows.map(({ name, text }) => [name, digestOf(text)]),
  ]);
}

async function readSequence(client: pg.Client, ledger: Ledger, name: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT last_value::text, is_called::text FROM public.${pg.escapeIdentifier(name)}`,
  );
  const { last_value, is_called } = rows[0] as { last_value: string; is_called: string };
  await ledger.add({
    part: 'sequences',
    key: name,
    fields: { last_value: digestOf(last_value), is_called: digestOf(is_called) },
  });
}
