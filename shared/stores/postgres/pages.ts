import type { TableDefinition } from './definition.ts';
import { keyLiterals, keyOf } from './export.ts';
import { quoteName } from './names.ts';
import type { Limits } from './site.ts';

/** Joins rows into pages that are looked up at once. */
export async function* pagesOf(
  lines: AsyncIterable<string>,
  { pageRows, pageBytes }: Limits,
): AsyncGenerator<readonly string[]> {
  let page: string[] = [];
  let size = 0;
  for await (const line of lines) {
    page.push(line);
    size += line.length;
    if (page.length < pageRows && size < pageBytes) continue;
    yield page;
    [page, size] = [[], 0];
  }
  if (page.length > 0) yield page;
}

/** The condition that a row has the primary key of one of these rows. */
export function hasKeyOf(table: TableDefinition, rows: readonly string[]): string {
  const keys = rows.map((line) => `(${keyLiterals(table, keyOf(table, line))})`);
  return `(${table.key.map(quoteName).join(', ')}) IN (VALUES ${keys.join(', ')})`;
}
