import { conditionOf, listTables } from './catalog.ts';
import { qualified, quoteName, RESERVED } from './names.ts';
import type { PostgresSite } from './site.ts';

/** The tables of the scope, or the number of its rows in tables that others use as well; and the schema of a drill. */
export async function occupiedTables({ client, scope }: PostgresSite): Promise<string[]> {
  const { exists, tables } = await listTables(client, scope);
  const isDrill = exists && isDrillSchema(scope.schema);
  const condition = conditionOf(scope);
  if (condition === undefined || isDrill) {
    return [...tables.map(({ name }) => `table "${name}"`), ...(isDrill ? [`schema "${scope.schema}"`] : [])];
  }
  const occupied: string[] = [];
  for (const { name } of tables) {
    const [found] = await client.rows<{ count: string }>(
      `SELECT count(*)::text AS count FROM ${qualified(scope.schema, name)} WHERE ${condition}`,
    );
    if (found && found.count !== '0') occupied.push(`${found.count} rows of table "${name}"`);
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
  const places = tables.map(({ name }) => qualified(scope.schema, name));
  const condition = conditionOf(scope);
  if (condition === undefined) {
    await client.rows(`DROP TABLE ${places.join(', ')}`);
    return;
  }
  await client.script([
    'BEGIN',
    ...places.map((place) => `DELETE FROM ${place} WHERE ${condition}`),
    'COMMIT',
  ]);
}

function isDrillSchema(schema: string): boolean {
  return schema.startsWith(`${RESERVED}drill_`);
}
