import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import { ANOTHER_ARCHIVE } from '../../core/errors.ts';
import { parseJson } from '../../core/input.ts';
import { fieldNames, PAIR_SEPARATOR, textsIn } from '../content-check.ts';
import { linesOf } from '../entry-lines.ts';
import type { LegContext } from '../leg.ts';
import { definitionsOf } from './archive.ts';
import { listTables, rowsOf } from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { fieldsOf, textOf } from './copy-text.ts';
import type { TableDefinition } from './definition.ts';
import { quoteName, ROWS_FOLDER, tableOfEntry } from './names.ts';
import type { PostgresScope } from './scope.ts';

/** Number of rows whose texts are passed on together. */
const RUN_ROWS = 1000;

/**
 * Reads the texts of rows in a field: a column, or a member of a column of JSON objects (`properties.source_id`).
 * Elements of arrays, in JSON or of PostgreSQL, are texts of their own.
 */
export function textReader(
  { columns }: TableDefinition,
  field: string,
): (fields: readonly string[]) => string[] {
  const readers = fieldNames(field).map((name) => [name, columnReader(columns, name)] as const);
  return (fields) => {
    const record = Object.fromEntries(readers.map(([name, read]) => [name, read(fields)]));
    return textsIn(record, field);
  };
}

function columnReader(
  columns: TableDefinition['columns'],
  field: string,
): (fields: readonly string[]) => unknown {
  const [column = '', member] = columns.some(({ name }) => name === field) ? [field] : field.split('.', 2);
  const position = columns.findIndex(({ name }) => name === column);
  const type = columns[position]?.type ?? '';
  return (fields) => {
    const text = textOf(fields[position] ?? '\\N');
    if (text === null) return undefined;
    if (type.endsWith('[]')) return elementsOf(text);
    if (!/^jsonb?$/.test(type)) return text;
    const value = parseJson(z.unknown(), text, `A value of column "${column}"`, ANOTHER_ARCHIVE);
    if (member === undefined) return value;
    return typeof value === 'object' && value !== null && Object.hasOwn(value, member)
      ? Reflect.get(value, member)
      : undefined;
  };
}

/** The elements of an array as PostgreSQL prints it, without those that are null. */
function elementsOf(text: string): string[] {
  const elements: string[] = [];
  for (const [, quoted, plain] of text.matchAll(/"((?:[^"\\]|\\.)*)"|([^{},"]+)/gs)) {
    if (quoted !== undefined) elements.push(quoted.replaceAll(/\\(.)/gs, '$1'));
    else if (plain !== undefined && plain.toUpperCase() !== 'NULL') elements.push(plain);
  }
  return elements;
}

/** The texts that the archived rows of some tables have in a field, in batches. */
export async function rowValues(
  archive: EntryReader,
  { field, isThing, isOptional }: { field: string; isThing(table: string): boolean; isOptional?: boolean },
): Promise<AsyncIterable<readonly string[]> | undefined> {
  const definitions = (await definitionsOf(archive)).filter(({ name }) => isThing(name));
  return isOptional && definitions.length === 0 ? undefined : textsOfRows(archive, definitions, field);
}

async function* textsOfRows(
  archive: EntryReader,
  definitions: readonly TableDefinition[],
  field: string,
): AsyncGenerator<readonly string[]> {
  const readers = new Map(definitions.map((table) => [table.name, textReader(table, field)]));
  for await (const entry of archive.entries(ROWS_FOLDER)) {
    const read = readers.get(tableOfEntry(entry.name) ?? '');
    if (!read) continue;
    let run: string[] = [];
    let rows = 0;
    for await (const line of linesOf(archive.open(entry), entry)) {
      run.push(...read(fieldsOf(line)));
      if (++rows % RUN_ROWS !== 0) continue;
      yield run;
      run = [];
    }
    if (run.length > 0) yield run;
  }
}

/** Returns those of the texts that no row of the table has in a column, or in a pair of columns. */
export async function missingRows(
  client: PostgresClient,
  scope: PostgresScope,
  {
    thing,
    field,
    isOptional,
  }: { readonly thing: string; readonly field: string; readonly isOptional?: boolean },
  values: readonly string[],
  { signal }: LegContext,
): Promise<string[] | undefined> {
  client.obey(signal);
  const { tables } = await listTables(client, scope);
  if (!tables.some(({ name }) => name === thing)) return isOptional ? undefined : [...values];
  const [one = '', other] = fieldNames(field).map(quoteName);
  const texts = (first: string, second: string) => `${first} || $2 || ${second}`;
  const expressions = other === undefined ? [one] : [texts(one, other), texts(other, one)];
  // PostgreSQL has no text with this character.
  const possible = values.filter((value) => !value.includes('\0'));
  const found = new Set<string>();
  for (const expression of expressions) {
    const rows = await client.rows<{ value: string }>(
      `SELECT DISTINCT ${expression} AS value FROM ${rowsOf(scope, thing, `${expression} = ANY($1::text[])`)}`,
      [possible, ...(other === undefined ? [] : [PAIR_SEPARATOR])],
    );
    for (const { value } of rows) found.add(value);
  }
  return values.filter((value) => !found.has(value));
}
