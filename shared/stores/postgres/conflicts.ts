import { readLines } from '../../core/lines.ts';
import { entryLineRules, linesOf } from '../entry-lines.ts';
import type { RestoreInput } from '../restore-leg.ts';
import { conditionOf, listTables, rowsOf } from './catalog.ts';
import { columnList, type TableDefinition } from './definition.ts';
import { qualified, ROWS_FOLDER, tableOfEntry } from './names.ts';
import { hasKeyOf, pagesOf } from './pages.ts';
import type { PostgresSite } from './site.ts';

/**
 * Finds rows of the archive that could not be inserted: their primary key is that of a row in another workspace, or, in a
 * merge with `fail`, of a row with other content. The transaction of the load would refuse them as well; this finds them
 * early, as far as the time allows. At most one problem for each table.
 */
export async function conflictingRows(
  site: PostgresSite,
  tables: readonly TableDefinition[],
  { archive, options, context }: RestoreInput,
): Promise<string[]> {
  const { client, scope, limits } = site;
  const existing = new Set((await listTables(client, scope)).tables.map(({ name }) => name));
  const isMixed = ({ key }: TableDefinition) =>
    scope.workspace !== undefined && !key.includes(scope.workspace.column);
  const isCompared = options.mode === 'merge' && options.onConflict === 'fail';
  const open = new Map(
    tables
      .filter((table) => existing.has(table.name) && (isCompared || isMixed(table)))
      .map((table) => [table.name, table]),
  );
  const problems: string[] = [];
  for await (const entry of archive.entries(ROWS_FOLDER)) {
    const table = open.get(tableOfEntry(entry.name) ?? '');
    if (!table) continue;
    for await (const page of pagesOf(linesOf(archive.open(entry), entry), limits)) {
      context.signal.throwIfAborted();
      const problem =
        (isMixed(table) ? await foreignRow(site, table, page) : undefined) ??
        (isCompared ? await changedRow(site, table, page) : undefined);
      if (problem === undefined) continue;
      problems.push(problem);
      open.delete(table.name);
      break;
    }
    if (open.size === 0 || context.timeLeft() <= 0) break;
  }
  return problems;
}

async function foreignRow(
  { client, scope }: PostgresSite,
  table: TableDefinition,
  page: readonly string[],
): Promise<string | undefined> {
  const isForeign = `(${conditionOf(scope)}) IS NOT TRUE`;
  const [found] = await client.rows(
    `SELECT 1 FROM ${qualified(scope.schema, table.name)} WHERE ${isForeign} AND ${hasKeyOf(table, page)} LIMIT 1`,
  );
  return found
    ? `table "${table.name}" has rows of other workspaces with primary keys of the archive: "${scope.workspace?.column}" is not part of its primary key`
    : undefined;
}

async function changedRow(
  { client, scope }: PostgresSite,
  table: TableDefinition,
  page: readonly string[],
): Promise<string | undefined> {
  const same = new Set(page);
  const rows = rowsOf(scope, table.name, hasKeyOf(table, page));
  let isChanged = false;
  const lines = readLines(
    client.copyOut(`COPY (SELECT ${columnList(table)} FROM ${rows}) TO STDOUT`),
    entryLineRules({ name: `table ${table.name}` }),
  );
  for await (const line of lines) isChanged ||= !same.has(line);
  return isChanged
    ? `table "${table.name}" has rows with primary keys of the archive and other content: merge with "keep" or "overwrite", or replace`
    : undefined;
}
