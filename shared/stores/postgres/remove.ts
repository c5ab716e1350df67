import { countRows, listTables, rowsOf } from './catalog.ts';
import { isDrillSchema, qualified, quoteName } from './names.ts';
import type { PostgresSite } from './site.ts';

/** The tables of the scope, or the number of its rows in tables that others use as well; and the schema of a drill. */
export async function occupiedTables({ client, scope }: PostgresSite): Promise<string[]> {
  const { exists, tables } = await listTables(client, scope);
  const isDrill = exists && isDrillSchema(scope.schema);
  if (!scope.workspace || isDrill) {
    return [...tables.map(({ name }) => `table "${name}"`), ...(isDrill ? [`schema "${scope.schema}"`] : [])];
  }
  const occupied: string[] = [];
  for (const { name } of tables) {
    const count = await countRows(client, scope, name);
    if (count > 0) occupied.push(`${count} rows of table "${name}"`);
  }
  return occupied;
}

/** Removes everything that {@link occupiedTables} reports. */
export async function removeTables({ client, scope }: PostgresSite): Promise<void> {
  if (isDrillSchema(scope.schema)) {
    await client.rows(`DROP SCHEMA IF EXISTS ${quoteName(scope.schema)} CASCADE`);
    return;
  }
  const { tables } = await listTables(client, scope);
  if (tables.length === 0) return;
  if (!scope.workspace) {
    await client.rows(`DROP TABLE ${tables.map(({ name }) => qualified(scope.schema, name)).join(', ')}`);
    return;
  }
  await client.script(['BEGIN', ...tables.map(({ name }) => `DELETE FROM ${rowsOf(scope, name)}`), 'COMMIT']);
}
