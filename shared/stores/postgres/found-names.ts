import { NAMES_MAX } from '../store.ts';
import type { PostgresClient } from './client.ts';
import { qualified, quoteName } from './names.ts';

/** The column by which LightRAG tells knowledge bases in the same tables apart. */
const WORKSPACE = 'workspace';
/** Most tables in which its values are looked for. */
const TABLES_MAX = 100;
/** Most values that are listed. */
const VALUES_MAX = 100;

/**
 * What the database holds, for suggestions of a profile: tables of all schemas as `schema.table`; then the values of a
 * column `workspace` with which their primary keys begin, as `schema.table {workspace: "docs"}`.
 */
export async function foundNames(client: PostgresClient): Promise<string[]> {
  const tables = await client.rows<{ name: string; schema: string; table: string; shared: boolean }>(
    `SELECT n.nspname || '.' || c.relname AS name, n.nspname AS schema, c.relname AS table,
       EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = c.oid AND i.indisprimary AND a.attname = $1
           AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)) AS shared
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$|ngbak_)' ORDER BY 1 LIMIT ${NAMES_MAX}`,
    [WORKSPACE],
  );
  const names = tables.map(({ name }) => name);
  for (const { schema, table, name } of tables.filter(({ shared }) => shared).slice(0, TABLES_MAX)) {
    const values = await firstValues(client, qualified(schema, table));
    names.push(...values.map((value) => `${name} {${WORKSPACE}: ${JSON.stringify(value)}}`));
  }
  return names.slice(0, NAMES_MAX);
}

/** The different values, each found in the index of the primary key. Tables that may not be read have none. */
async function firstValues(client: PostgresClient, table: string): Promise<string[]> {
  const [allowed] = await client.rows<{ yes: boolean }>(
    `SELECT has_table_privilege($1::regclass, 'SELECT') AND has_schema_privilege(relnamespace, 'USAGE')
       AND NOT row_security_active(oid) AS yes FROM pg_class WHERE oid = $1::regclass`,
    [table],
  );
  if (!allowed?.yes) return [];
  const value = quoteName(WORKSPACE);
  const rows = await client.rows<{ value: string }>(
    `WITH RECURSIVE found AS (
       (SELECT ${value} AS value FROM ${table} ORDER BY 1 LIMIT 1)
       UNION ALL
       SELECT (SELECT ${value} FROM ${table} WHERE ${value} > found.value ORDER BY 1 LIMIT 1)
       FROM found WHERE found.value IS NOT NULL)
     SELECT value::text FROM found WHERE value IS NOT NULL LIMIT ${VALUES_MAX}`,
  );
  return rows.map((row) => row.value);
}
