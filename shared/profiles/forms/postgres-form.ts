import type { EntryPiece, EntryReader } from '../../archive/format/types.ts';
import { wholeEntry } from '../../archive/format/whole-entry.ts';
import { damagedArchive, InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { linesOf } from '../../stores/entry-lines.ts';
import { definitionsOf } from '../../stores/postgres/archive.ts';
import { fieldOf, fieldsOf, textOf } from '../../stores/postgres/copy-text.ts';
import { lineOfTable, type TableDefinition } from '../../stores/postgres/definition.ts';
import { ROWS_FOLDER, rowsEntry, TABLES_ENTRY, tableOfEntry } from '../../stores/postgres/names.ts';
import { PostgresScope } from '../../stores/postgres/scope.ts';
import { isJsonText } from '../../stores/redis/json-text.ts';
import type { MovableTable } from '../profile.ts';
import { FOREIGN_SCOPE, type Form, type FormPlace, type KeyRecord } from './form.ts';
import { type ExactJson, NumberText, parseExact } from './jsonb.ts';
import { LossBook } from './losses.ts';
import { columnText, type FieldKind, kindOf } from './row-text.ts';

/** Size at which an entry with rows is closed, in bytes. */
const ENTRY_BYTES = 8 * 1024 ** 2;
/** Characters of an ID in a sample. */
const ID_CHARACTERS = 80;

/** Remedy for an archive of the target in which a table is absent. */
export const ADD_A_DOCUMENT =
  'Tables without rows are not in archives: add a document with the new storage, and back up the target again.';

/** A table into which rows are written. */
interface Written {
  readonly table: MovableTable;
  readonly definition: TableDefinition;
  readonly layout: Layout;
}

/** Where the values of a table's records are in its rows. */
interface Layout {
  readonly id: number;
  readonly workspace: number;
  /** Columns that become fields. */
  readonly fields: readonly { readonly at: number; readonly name: string; readonly kind: FieldKind }[];
  /** Columns without a field. */
  readonly others: readonly { readonly at: number; readonly name: string }[];
}

/** Namespaces as tables: a row for each key, a column for each field. */
export class PostgresForm implements Form {
  readonly #tables: Readonly<Partial<Record<string, MovableTable>>>;
  readonly #workspace: string;
  /** The tables into which rows are written. */
  readonly #definitions: readonly TableDefinition[];
  /** By namespace. */
  readonly #written = new Map<string, Written>();

  constructor({ movable, scope, derivedScope, tables = [] }: FormPlace) {
    this.#definitions = tables;
    const parse = (value: unknown) =>
      parseInput(PostgresScope, value, 'The scope of the tables', FOREIGN_SCOPE);
    const [own, derived] = [parse(scope), parse(derivedScope)].map(({ workspace }) => workspace?.in ?? []);
    this.#tables = movable.tables;
    // An archive of whole tables, or of several workspaces: that of the profile's parameters.
    this.#workspace = (own?.length === 1 ? own[0] : derived?.[0]) ?? '';
  }

  async *read(archive: EntryReader, namespace: string, losses: LossBook): AsyncGenerator<KeyRecord> {
    const table = this.#tables[namespace];
    const definition = (await definitionsOf(archive)).find(({ name }) => name === table?.name);
    if (!table || !definition) return;
    const layout = layoutOf(definition, table);
    for await (const entry of archive.entries(ROWS_FOLDER)) {
      if (tableOfEntry(entry.name) !== table.name) continue;
      for await (const line of linesOf(archive.open(entry), entry)) {
        const row = fieldsOf(line).map(textOf);
        const id = row[layout.id];
        if (id == null) throw damagedArchive(`${entry.name} has a row without ID.`);
        const sample = `${table.name} ${id.slice(0, ID_CHARACTERS)}`;
        if (row[layout.workspace] !== this.#workspace) losses.add('other-workspaces', sample);
        else yield { id, value: jsonOfRow(row, { layout, table, id, sample }, losses) };
      }
    }
  }

  /** The definitions of the tables of these namespaces, which an archive begins with. */
  *head(namespaces: readonly string[]): Generator<EntryPiece> {
    const lines = this.#tablesOf(namespaces).map((table) => `${lineOfTable(table)}\n`);
    yield wholeEntry(TABLES_ENTRY, Buffer.from(lines.join('')));
  }

  #tablesOf(namespaces: readonly string[]): TableDefinition[] {
    const names = namespaces.map((namespace) => this.#tables[namespace]?.name);
    return this.#definitions.filter(({ name }) => names.includes(name));
  }

  namesOf(namespaces: readonly string[]): string[] {
    return this.#tablesOf(namespaces).map(({ name }) => name);
  }

  /** Throws InvalidInputError if the place has no table for it. */
  #writtenOf(namespace: string): Written {
    const known = this.#written.get(namespace);
    if (known) return known;
    const table = this.#tables[namespace];
    const definition = this.#definitions.find(({ name }) => name === table?.name);
    if (!table || !definition) {
      throw new InvalidInputError(`The archive of the target has no table for namespace ${namespace}.`, {
        remedy: ADD_A_DOCUMENT,
      });
    }
    const written = { table, definition, layout: layoutOf(definition, table) };
    this.#written.set(namespace, written);
    return written;
  }

  encode(namespace: string, { id, value }: KeyRecord, losses: LossBook): Buffer | undefined {
    const { table, definition } = this.#writtenOf(namespace);
    const sample = `${namespace} ${id.slice(0, ID_CHARACTERS)}`;
    const record = parseExact(value.toString('utf8'));
    if (
      typeof record !== 'object' ||
      record === null ||
      Array.isArray(record) ||
      record instanceof NumberText
    ) {
      losses.add('values', sample);
      return undefined;
    }
    const fields = new Map(Object.entries(record as Readonly<Record<string, ExactJson>>));
    if (table.holdsId && fields.get('_id') === id) fields.delete('_id');
    const own: Readonly<Record<string, string>> = { id, workspace: this.#workspace };
    const row: string[] = [];
    for (const column of definition.columns) {
      const name = table.fields[column.name];
      const field: ExactJson = own[column.name] ?? (name === undefined ? null : (fields.get(name) ?? null));
      const kind = name === undefined ? 'text' : kindOf(column.type, name);
      const text = field === null ? undefined : columnText(field, column, kind);
      if (name !== undefined) {
        fields.delete(name);
        if (field !== null && text === undefined) losses.add('values', `${sample}: ${name}`);
      }
      if (text === undefined && (column.not_null || column.name === 'id')) {
        losses.add('rows', sample);
        return undefined;
      }
      row.push(text === undefined ? '\\N' : fieldOf(text));
    }
    for (const [name, field] of fields) if (field !== null) losses.add('fields', `${sample}: ${name}`);
    return Buffer.from(`${row.join('\t')}\n`);
  }

  /** What a record is once it was written as this row, which may lack fields. */
  decode(namespace: string, bytes: Buffer): KeyRecord {
    const { table, layout } = this.#writtenOf(namespace);
    const row = fieldsOf(bytes.toString('utf8', 0, bytes.length - 1)).map(textOf);
    const id = row[layout.id] ?? '';
    return { id, value: jsonOfRow(row, { layout, table, id, sample: id }, new LossBook()) };
  }

  async *pieces(namespace: string, records: AsyncIterable<Buffer>): AsyncGenerator<EntryPiece> {
    const name = this.#tables[namespace]?.name ?? '';
    let held: Buffer[] = [];
    let [bytes, number] = [0, 1];
    for await (const record of records) {
      held.push(record);
      bytes += record.length;
      if (bytes < ENTRY_BYTES) continue;
      yield wholeEntry(rowsEntry(name, number++), Buffer.concat(held));
      [held, bytes] = [[], 0];
    }
    if (held.length > 0) yield wholeEntry(rowsEntry(name, number), Buffer.concat(held));
  }

  async readOthers(archive: EntryReader, losses: LossBook): Promise<void> {
    const known = new Set(Object.values(this.#tables).map((table) => table?.name));
    const others = new Set<string>();
    for await (const { name } of archive.entries(ROWS_FOLDER)) {
      const table = tableOfEntry(name);
      if (table === undefined || known.has(table) || others.has(table)) continue;
      others.add(table);
      losses.add('other-tables', table);
    }
  }
}

function layoutOf({ name, columns }: TableDefinition, table: MovableTable): Layout {
  const at = (column: string) => columns.findIndex((one) => one.name === column);
  const [id, workspace] = [at('id'), at('workspace')];
  if (id < 0 || workspace < 0) throw damagedArchive(`Table "${name}" has no columns "id" and "workspace".`);
  const fields: Layout['fields'][number][] = [];
  const others: Layout['others'][number][] = [];
  for (const [position, { name: column, type }] of columns.entries()) {
    if (position === id || position === workspace) continue;
    const field = table.fields[column];
    if (field === undefined) others.push({ at: position, name: column });
    else fields.push({ at: position, name: field, kind: kindOf(type, field) });
  }
  return { id, workspace, fields, others };
}

/** The JSON that the system writes for a row elsewhere. Null is an absent field. */
function jsonOfRow(
  row: readonly (string | null)[],
  { layout, table, id, sample }: { layout: Layout; table: MovableTable; id: string; sample: string },
  losses: LossBook,
): Buffer {
  const members: string[] = [];
  for (const { at, name, kind } of layout.fields) {
    const text = row[at];
    if (text == null) continue;
    const value = fieldText(text, kind);
    if (value === undefined) {
      losses.add('columns', `${sample}: ${name}`);
      continue;
    }
    if (kind === 'epoch' && text.includes('.')) losses.add('seconds', sample);
    members.push(`${JSON.stringify(name)}: ${value}`);
  }
  for (const { at, name } of layout.others) {
    if (row[at] != null) losses.add('columns', `${sample}: ${name}`);
  }
  if (table.holdsId) members.push(`"_id": ${JSON.stringify(id)}`);
  const value = Buffer.from(`{${members.join(', ')}}`);
  if (isJsonText(value)) return value;
  throw damagedArchive(`A row of table "${sample}" holds something that is not JSON.`);
}

/** The text of a column as JSON; undefined for times that are not in the years 1 to 9999. */
function fieldText(text: string, kind: FieldKind): string | undefined {
  if (kind === 'text') return JSON.stringify(text);
  if (kind === 'json' || kind === 'number') return text;
  const [, day, time, fraction = ''] =
    /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  if (day === undefined || time === undefined) return undefined;
  // Times are in UTC. LightRAG reads those of keys as whole seconds, rounded by PostgreSQL.
  if (kind === 'epoch') {
    const milliseconds = Date.parse(`${day}T${time}.${fraction.padEnd(3, '0').slice(0, 3)}Z`);
    return Number.isNaN(milliseconds) ? undefined : String(Math.round(milliseconds / 1000));
  }
  return JSON.stringify(`${day}T${time}${fraction === '' ? '' : `.${fraction.padEnd(6, '0')}`}+00:00`);
}
