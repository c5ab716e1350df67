import type { EntryReader, IndexEntry } from '../../archive/format/types.ts';
import { ArchiveView, rewriteLines, type ViewedEntry } from '../../archive/read/view.ts';
import { damagedArchive } from '../../core/errors.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import type { Route } from '../route.ts';
import { definitionsOf } from './archive.ts';
import { fieldOf, fieldsOf, textOf } from './copy-text.ts';
import { parseSequence, parseTable, type TableDefinition } from './definition.ts';
import { SEQUENCES_ENTRY, TABLES_ENTRY, tableOfEntry } from './names.ts';
import type { PostgresScope } from './scope.ts';

/** The archive as it will be at its destination: only the chosen tables and workspaces, with their new values. */
export function viewTables(archive: EntryReader, { saved, scope, names }: Route<PostgresScope>): EntryReader {
  const values = new Map(Object.entries(names));
  const isPart =
    values.size > 0 &&
    (saved?.workspace === undefined || saved.workspace.in.some((value) => !values.has(value)));
  const isRenamed = [...values].some(([from, to]) => from !== to);
  if (scope.only === undefined && !isPart && !isRenamed) return archive;
  const isWanted = (table: string) => scope.only?.includes(table) !== false;
  /** The same line, another one, or none. */
  const rewriteRow = (position: number) => (line: string) => {
    const fields = fieldsOf(line);
    const value = textOf(fields[position] ?? '\\N');
    const to = value === null ? undefined : values.get(value);
    // The load refuses a row that is in none of the saved workspaces.
    if (to === undefined) return isPart ? undefined : line;
    if (to === value) return line;
    fields[position] = fieldOf(to);
    return fields.join('\t');
  };
  let definitions: Promise<TableDefinition[]> | undefined;
  const positionIn = async (entry: IndexEntry, name: string): Promise<number> => {
    definitions ??= definitionsOf(archive);
    const table = (await definitions).find((one) => one.name === name);
    const position = table?.columns.findIndex((column) => column.name === scope.workspace?.column) ?? -1;
    if (position >= 0) return position;
    throw damagedArchive(`${entry.name} has rows of a table without "${scope.workspace?.column}".`);
  };
  return new ArchiveView(archive, 'kv/', async (entry): Promise<ViewedEntry[]> => {
    const { name } = entry;
    const lines = (rewrite: (line: string, number: number) => string | undefined) => () =>
      rewriteLines(linesOf(archive.open(entry), entry), rewrite);
    if (name === TABLES_ENTRY) {
      const pick = (line: string, number: number) =>
        isWanted(parseNamed(line, parseTable, entry, number).name) ? line : undefined;
      return [{ name, content: lines(pick) }];
    }
    if (name === SEQUENCES_ENTRY) {
      const pick = (line: string, number: number) =>
        isWanted(parseNamed(line, parseSequence, entry, number).table) ? line : undefined;
      return [{ name, content: lines(pick) }];
    }
    const table = tableOfEntry(name);
    if (table === undefined) return [{ name }];
    if (!isWanted(table)) return [];
    if (!isPart && !isRenamed) return [{ name }];
    return [{ name, content: lines(rewriteRow(await positionIn(entry, table))) }];
  });
}
