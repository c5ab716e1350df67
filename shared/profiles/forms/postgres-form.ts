import type { EntryReader } from '../../archive/format/types.ts';
import { damagedArchive } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { linesOf } from '../../stores/entry-lines.ts';
import { definitionsOf } from '../../stores/postgres/archive.ts';
import { fieldsOf, textOf } from '../../stores/postgres/copy-text.ts';
import type { TableDefinition } from '../../stores/postgres/definition.ts';
import { ROWS_FOLDER, tableOfEntry } from '../../stores/postgres/names.ts';
import { PostgresScope } from '../../stores/postgres/scope.ts';
import { isJsonText } from '../../stores/redis/json-text.ts';
import type { MovableTable } from '../profile.ts';
import type { FormPlace, KeyRecord, SourceForm } from './form.ts';
import type { LossBook } from './losses.ts';

/** Characters of an ID in a sample. */
const ID_CHARACTERS = 80;

/** Where the values of a table's records are in its rows. */
interface Layout {
  readonly id: number;
  readonly workspace: number;
  /** Columns that become fields. */
  readonly fields: readonly { readonly at: number; readonly name: string; readonly kind: FieldKind }[];
  /** Columns without a field. */
  readonly others: readonly { readonly at: number; readonly name: string }[];
}
type FieldKind = 'text' | 'json' | 'number' | 'epoch' | 'iso';

/** Namespaces as tables: a row for each key, a column for each field. Read only. */
export class PostgresForm implements SourceForm {
  readonly #tables: Readonly<Partial<Record<string, MovableTable>>>;
  readonly #workspace: string;

  constructor({ movable, scope, derivedScope }: FormPlace) {
    const remedy = 'Use an archive that ngbak created from a store of this kind.';
    const parse = (value: unknown) => parseInput(PostgresScope, value, 'The scope of the tables', remedy);
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

/** How the system writes a column of this type into JSON. */
function kindOf(type: string, field: string): FieldKind {
  if (type === 'jsonb' || type === 'json') return 'json';
  if (type === 'integer' || type === 'bigint' || type === 'smallint') return 'number';
  if (!type.startsWith('timestamp')) return 'text';
  return field.endsWith('_time') ? 'epoch' : 'iso';
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
