import { InvalidInputError } from '../../core/errors.ts';
import type { LoadOptions } from '../restore-leg.ts';
import { listTables, readDefinitions, rowsOf } from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { isComputed, type SequenceState, type TableDefinition, writtenList } from './definition.ts';
import { qualified, quoteName, quoteText, UNITS_TABLE } from './names.ts';
import type { PostgresScope } from './scope.ts';

/** The tables of an archive by what happens to those of the same name. */
export interface Staged {
  /** Created. Without a workspace, and unless they are merged, they replace the existing ones. */
  readonly whole: readonly TableDefinition[];
  /** Their rows are merged, or those of the workspace are replaced. */
  readonly merged: readonly TableDefinition[];
}

const SWAPPED = 'exchanged';

/** Whether the tables of a load have replaced those of the scope. */
export async function isSwapped(client: PostgresClient, staging: string): Promise<boolean> {
  const [done] = await client.rows(`SELECT 1 FROM ${qualified(staging, UNITS_TABLE)} WHERE unit = $1`, [
    SWAPPED,
  ]);
  return done !== undefined;
}

/** A load that is complete, and what it does with existing rows. */
export interface Exchange {
  readonly staged: Staged;
  readonly sequences: readonly SequenceState[];
  readonly options: LoadOptions;
  /** The schema of the load. */
  readonly staging: string;
}

/** Whether existing tables keep their definitions, and rows that a load does not replace. */
export function keepsTables({ workspace }: PostgresScope, { mode }: LoadOptions): boolean {
  return workspace !== undefined || mode === 'merge';
}

/** The statements of the one transaction that replaces tables or rows of the scope by those that were loaded. */
export async function swap(
  client: PostgresClient,
  scope: PostgresScope,
  { staged, sequences, options, staging }: Exchange,
): Promise<string[]> {
  const { exists, tables } = await listTables(client, scope);
  const existing = tables.map(({ name }) => name);
  const lists = (names: readonly string[]) => names.map((name) => qualified(scope.schema, name)).join(', ');
  const created = staged.whole.map(({ name }) => name);
  const isOf = (list: readonly TableDefinition[], { table }: SequenceState) =>
    list.some(({ name }) => name === table);
  const removal = keepsTables(scope, options)
    ? await replaceRows(client, scope, tables, { staged, options, staging })
    : existing.length === 0
      ? []
      : [`LOCK TABLE ${lists(existing)} IN ACCESS EXCLUSIVE MODE`, `DROP TABLE ${lists(existing)}`];
  return [
    'BEGIN',
    ...(exists || created.length === 0 ? [] : [`CREATE SCHEMA IF NOT EXISTS ${quoteName(scope.schema)}`]),
    // Before the tables are dropped that have them.
    ...sequences.flatMap((state) =>
      isOf(staged.whole, state) ? [setSequence(staging, state)] : [advanceSequence(scope.schema, state)],
    ),
    ...removal,
    ...created.map((name) => `ALTER TABLE ${qualified(staging, name)} SET SCHEMA ${quoteName(scope.schema)}`),
    ...(await ownership(client, scope.schema, created)),
    `INSERT INTO ${qualified(staging, UNITS_TABLE)} VALUES (${quoteText(SWAPPED)})`,
    'COMMIT',
  ];
}

function setSequence(schema: string, { sequence, last_value, is_called }: SequenceState): string {
  return `SELECT setval(${quoteText(qualified(schema, sequence))}, ${last_value}, ${is_called})`;
}

/** A sequence that others use as well is never set back. */
function advanceSequence(schema: string, { sequence, last_value, is_called }: SequenceState): string {
  const name = qualified(schema, sequence);
  const isBehind = `last_value < ${last_value} OR (last_value = ${last_value} AND ${is_called} AND NOT is_called)`;
  return `SELECT setval(${quoteText(name)}, ${last_value}, ${is_called}) FROM ${name} WHERE ${isBehind}`;
}

/** Deletes the rows of the workspace unless they are kept, and inserts those that were loaded. */
async function replaceRows(
  client: PostgresClient,
  scope: PostgresScope,
  existing: readonly { oid: string; name: string }[],
  { staged, options, staging }: Omit<Exchange, 'sequences'>,
): Promise<string[]> {
  if (existing.length === 0) return [];
  const present = await readDefinitions(client, scope, existing);
  const problem = rowsProblem(scope, staged, present, options);
  if (problem !== undefined) {
    throw new InvalidInputError(`${client.name}: ${problem}.`, { remedy: 'See docs/stores/postgres.md.' });
  }
  const order = parentsFirst(present);
  const at = (name: string) => qualified(scope.schema, name);
  const inserted = order.flatMap(({ name }) => staged.merged.filter((table) => table.name === name));
  const deleted = options.mode === 'merge' ? [] : order.toReversed();
  return [
    `LOCK TABLE ${existing.map(({ name }) => at(name)).join(', ')} IN SHARE ROW EXCLUSIVE MODE`,
    ...deleted.map(({ name }) => `DELETE FROM ${rowsOf(scope, name)}`),
    ...inserted.map((table) => insertion(scope, table, options, staging)),
  ];
}

/** Inserts the loaded rows of a table. */
function insertion(
  scope: PostgresScope,
  table: TableDefinition,
  { mode, onConflict }: LoadOptions,
  staging: string,
): string {
  const columns = writtenList(table);
  const into = `INSERT INTO ${qualified(scope.schema, table.name)} AS kept (${columns}) OVERRIDING SYSTEM VALUE`;
  const loaded = `${qualified(staging, table.name)} AS loaded`;
  if (mode !== 'merge') return `${into} SELECT ${columns} FROM ${loaded}`;
  const of = (alias: string) => (name: string) => `${alias}.${quoteName(name)}`;
  const row = (alias: string) => `ROW(${writtenNames(table).map(of(alias)).join(', ')})::text`;
  if (onConflict === 'fail') {
    // Rows that exist with the same content are left out, and the primary key refuses the others.
    const sameKey = table.key.map((name) => `${of('other')(name)} = ${of('loaded')(name)}`).join(' AND ');
    const others = `${qualified(scope.schema, table.name)} AS other`;
    return `${into} SELECT ${columns} FROM ${loaded} WHERE NOT EXISTS (SELECT FROM ${others} WHERE ${sameKey} AND ${row('other')} = ${row('loaded')})`;
  }
  const key = table.key.map(quoteName).join(', ');
  const changed = overwritten(table);
  if (onConflict === 'keep' || changed.length === 0) {
    return `${into} SELECT ${columns} FROM ${loaded} ON CONFLICT (${key}) DO NOTHING`;
  }
  const values = changed.map((name) => `${quoteName(name)} = ${of('excluded')(name)}`).join(', ');
  const own = scope.workspace
    ? [`${of('kept')(scope.workspace.column)} IN (${scope.workspace.in.map(quoteText).join(', ')})`]
    : [];
  const where = [`${row('kept')} <> ${row('excluded')}`, ...own].join(' AND ');
  return `${into} SELECT ${columns} FROM ${loaded} ON CONFLICT (${key}) DO UPDATE SET ${values} WHERE ${where}`;
}

/** Columns that a merge can overwrite: PostgreSQL accepts no value for one that is always generated. */
function overwritten({ columns, key }: TableDefinition): string[] {
  return columns
    .filter((column) => !isComputed(column) && column.identity !== 'always' && !key.includes(column.name))
    .map(({ name }) => name);
}

function writtenNames({ columns }: TableDefinition): string[] {
  return columns.filter((column) => !isComputed(column)).map(({ name }) => name);
}

/** Why rows cannot be replaced or merged in tables that keep others. */
export function rowsProblem(
  { workspace }: PostgresScope,
  { whole, merged }: Staged,
  present: readonly TableDefinition[],
  options: LoadOptions,
): string | undefined {
  const mergedNames = new Set(merged.map(({ name }) => name));
  for (const table of whole) {
    const key = table.foreign_keys.find((foreign) => mergedNames.has(foreign.table));
    if (key) return `table "${table.name}" does not exist, and refers to "${key.table}", which exists`;
  }
  const foreign = present.flatMap((table) => table.foreign_keys.map((key) => ({ from: table.name, key })));
  // A merge deletes no row.
  for (const { from, key } of options.mode === 'merge' ? [] : foreign) {
    const at = key.columns.indexOf(workspace?.column ?? '');
    if (at >= 0 && key.references[at] === workspace?.column) continue;
    return `the foreign key "${key.name}" of table "${from}" does not include "${workspace?.column}", so rows of other workspaces could depend on those that a restore replaces`;
  }
  for (const saved of merged) {
    const now = present.find(({ name }) => name === saved.name);
    const problem = now && columnProblem(saved, now);
    if (problem !== undefined) return `table "${saved.name}" ${problem}`;
  }
  return parentsFirst(present).length < present.length
    ? 'foreign keys of its tables form a cycle'
    : undefined;
}

/** The first column whose values a merge with `overwrite` could not change. */
export function unchangeable({ columns, key }: TableDefinition): string | undefined {
  return columns.find(({ name, identity }) => identity === 'always' && !key.includes(name))?.name;
}

/** Why rows of a saved table do not fit into a table; undefined if it has the same columns and key. */
export function columnProblem(saved: TableDefinition, now: TableDefinition): string | undefined {
  for (const column of saved.columns) {
    const other = now.columns.find(({ name }) => name === column.name);
    if (!other) return `lacks the column "${column.name}" of the archive`;
    if (other.type !== column.type)
      return `has the column "${column.name}" of type ${other.type}, not ${column.type}`;
    if ((other.generated === undefined) !== (column.generated === undefined)) {
      return `has the column "${column.name}" computed in one place only`;
    }
  }
  const extra = now.columns.find(({ name }) => !saved.columns.some((column) => column.name === name));
  if (extra) return `has the column "${extra.name}", which the archive lacks`;
  return saved.key.join('\0') === now.key.join('\0') ? undefined : 'has another primary key';
}

/** Orders tables so that each follows those that it refers to. Tables in a cycle are absent. */
function parentsFirst(tables: readonly TableDefinition[]): TableDefinition[] {
  const ordered: TableDefinition[] = [];
  const placed = new Set<string>();
  for (let found = true; found; ) {
    found = false;
    for (const table of tables) {
      if (placed.has(table.name)) continue;
      const isReady = table.foreign_keys.every((key) => key.table === table.name || placed.has(key.table));
      if (!isReady) continue;
      placed.add(table.name);
      ordered.push(table);
      found = true;
    }
  }
  return ordered;
}

interface Owned {
  readonly name: string;
  readonly kind: string;
  readonly owner: string;
  readonly me: string;
  readonly grants: readonly { grantee: string | null; privilege: string; grantable: boolean }[] | null;
}

/** Gives new tables and sequences the owner and the privileges of those that they replace. */
async function ownership(
  client: PostgresClient,
  schema: string,
  tables: readonly string[],
): Promise<string[]> {
  const owned = await client.rows<Owned>(
    `SELECT c.relname AS name, c.relkind AS kind, pg_get_userbyid(c.relowner) AS owner, current_user AS me,
       (SELECT json_agg(json_build_object('grantee', CASE WHEN a.grantee <> 0 THEN pg_get_userbyid(a.grantee) END,
           'privilege', a.privilege_type, 'grantable', a.is_grantable))
         FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner) AS grants
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_depend d
       ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S'
     LEFT JOIN pg_class t ON t.oid = d.refobjid
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'S') AND coalesce(t.relname, c.relname) = ANY ($2::text[])`,
    [schema, tables],
  );
  return owned.flatMap(({ name, kind, owner, me, grants }) => {
    const place = qualified(schema, name);
    const privileges = (grants ?? []).map(({ grantee, privilege, grantable }) => {
      const role = grantee === null ? 'PUBLIC' : quoteName(grantee);
      return `GRANT ${privilege} ON ${kind === 'S' ? 'SEQUENCE' : 'TABLE'} ${place} TO ${role}${grantable ? ' WITH GRANT OPTION' : ''}`;
    });
    // Sequences follow their tables. The owner changes last: afterwards this role may lack the right to grant.
    const change = kind === 'r' && owner !== me ? [`ALTER TABLE ${place} OWNER TO ${quoteName(owner)}`] : [];
    return [...privileges, ...change];
  });
}
