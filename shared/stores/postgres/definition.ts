import { z } from 'zod';
import { parseJson } from '../../core/input.ts';
import { qualified, quoteName, quoteText } from './names.ts';
import { TYPE_TEXT, unsafeText } from './safe-text.ts';
import { Name } from './scope.ts';

/** Maximum number of columns of a table in PostgreSQL. */
const COLUMNS_MAX = 1600;
const ITEMS_MAX = 500;

/** A part of a definition as PostgreSQL prints it, with names relative to the schema of the table. */
const SafeText = z.string().superRefine((text, context) => {
  const problem = unsafeText(text);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});
const Whole = z.string().regex(/^-?\d{1,19}$/);

const Sequence = z.strictObject({
  name: Name,
  unlogged: z.boolean(),
  type: z.enum(['smallint', 'integer', 'bigint']),
  start: Whole,
  increment: Whole,
  min: Whole,
  max: Whole,
  cache: Whole,
  cycle: z.boolean(),
});

const Column = z.strictObject({
  name: Name,
  type: z.string().max(300).regex(TYPE_TEXT),
  not_null: z.boolean(),
  /** A collation of PostgreSQL itself, if it is not that of the type. */
  collation: Name.optional(),
  /** The value of a row that states none. */
  default: SafeText.optional(),
  generated: z.strictObject({ as: SafeText, stored: z.boolean() }).optional(),
  identity: z.enum(['always', 'by default']).optional(),
  /** Of an identity column, or of a column whose default is the next value. */
  sequence: Sequence.optional(),
});
export type Column = z.infer<typeof Column>;

const Action = z.enum(['no action', 'restrict', 'cascade', 'set null', 'set default']);
const Names = z.array(Name).min(1).max(32);

const ForeignKey = z.strictObject({
  name: Name,
  columns: Names,
  table: Name,
  references: Names,
  match: z.enum(['simple', 'full']),
  on_update: Action,
  on_delete: Action,
  deferrable: z.boolean(),
  deferred: z.boolean(),
});
export type ForeignKey = z.infer<typeof ForeignKey>;

/** A table as an archive defines it: everything that is relative to its schema. */
export const TableDefinition = z.strictObject({
  name: Name,
  unlogged: z.boolean(),
  columns: z.array(Column).min(1).max(COLUMNS_MAX),
  /** Columns of the primary key, in its order. Rows are saved in the order of their values. */
  key: Names,
  /** Primary key, unique and check constraints: the text after the name. */
  constraints: z
    .array(z.strictObject({ name: Name, definition: SafeText.regex(/^(PRIMARY KEY|UNIQUE|CHECK) /) }))
    .max(ITEMS_MAX),
  foreign_keys: z.array(ForeignKey).max(ITEMS_MAX),
  /** Indexes that belong to no constraint: the text from USING on. */
  indexes: z
    .array(z.strictObject({ name: Name, unique: z.boolean(), definition: SafeText.startsWith('USING ') }))
    .max(ITEMS_MAX),
  /** Extensions with types, access methods and operators that the table uses. */
  extensions: z.array(z.strictObject({ name: Name, version: z.string().max(100) })).max(100),
});
export type TableDefinition = z.infer<typeof TableDefinition>;

/** The state of a sequence after the rows were read. */
export const SequenceState = z.strictObject({
  table: Name,
  sequence: Name,
  last_value: Whole,
  is_called: z.boolean(),
});
export type SequenceState = z.infer<typeof SequenceState>;

/** The line of a definition in the archive. */
export function lineOfTable(table: TableDefinition): string {
  return JSON.stringify(TableDefinition.parse(table));
}

export function parseTable(line: string): TableDefinition {
  return parseJson(TableDefinition, line, 'The definition of a table');
}

export function parseSequence(line: string): SequenceState {
  return parseJson(SequenceState, line, 'The state of a sequence');
}

/** What has to be equal after a restore. Another version of an extension is not a difference. */
export function canonicalTable({ extensions, ...table }: TableDefinition): string {
  return JSON.stringify(['table', { ...table, extensions: extensions.map(({ name }) => name) }]);
}

export function canonicalSequence({ table, sequence, last_value, is_called }: SequenceState): string {
  return JSON.stringify(['sequence', table, sequence, last_value, is_called]);
}

/** Columns whose values are computed, and cannot be written. */
export function isComputed({ generated }: Column): boolean {
  return generated !== undefined;
}

/** The columns of rows in an archive, in their order. */
export function columnList({ columns }: TableDefinition): string {
  return columns.map(({ name }) => quoteName(name)).join(', ');
}

/** Of these, those that are written. */
export function writtenList({ columns }: TableDefinition): string {
  return columns
    .filter((column) => !isComputed(column))
    .map(({ name }) => quoteName(name))
    .join(', ');
}

/** The statements that create a table without its constraints, foreign keys and indexes. */
export function createTable(table: TableDefinition, schema: string): string[] {
  const at = (name: string) => qualified(schema, name);
  const serials = table.columns.filter(({ identity }) => identity === undefined);
  const columns = table.columns.map((column) => columnText(column, schema));
  return [
    ...serials.flatMap(({ sequence }) =>
      sequence
        ? [
            `CREATE ${sequence.unlogged ? 'UNLOGGED ' : ''}SEQUENCE ${at(sequence.name)} AS ${sequence.type} ${sequenceText(sequence)}`,
          ]
        : [],
    ),
    `CREATE ${table.unlogged ? 'UNLOGGED ' : ''}TABLE ${at(table.name)} (${columns.join(', ')})`,
    ...serials.flatMap(({ name, sequence }) =>
      sequence ? [`ALTER SEQUENCE ${at(sequence.name)} OWNED BY ${at(table.name)}.${quoteName(name)}`] : [],
    ),
  ];
}

function columnText(column: Column, schema: string): string {
  const { name, type, collation, identity, sequence, generated, not_null } = column;
  const parts = [quoteName(name), type];
  if (collation !== undefined) parts.push(`COLLATE ${qualified('pg_catalog', collation)}`);
  if (generated)
    parts.push(`GENERATED ALWAYS AS (${generated.as}) ${generated.stored ? 'STORED' : 'VIRTUAL'}`);
  else if (identity && sequence) {
    const named = `SEQUENCE NAME ${qualified(schema, sequence.name)} ${sequenceText(sequence)}`;
    parts.push(`GENERATED ${identity.toUpperCase()} AS IDENTITY (${named})`);
  } else if (sequence) {
    parts.push(`DEFAULT nextval(${quoteText(qualified(schema, sequence.name))}::regclass)`);
  } else if (column.default !== undefined) parts.push(`DEFAULT ${column.default}`);
  if (not_null) parts.push('NOT NULL');
  return parts.join(' ');
}

function sequenceText({ start, increment, min, max, cache, cycle }: z.infer<typeof Sequence>): string {
  return `START WITH ${start} INCREMENT BY ${increment} MINVALUE ${min} MAXVALUE ${max} CACHE ${cache}${cycle ? ' CYCLE' : ''}`;
}

/** A constraint or an index, which is created after the rows are loaded. */
export interface Addition {
  readonly table: string;
  readonly name: string;
  readonly statement: string;
}

/** Everything that is added to the loaded tables, in an order that is possible. */
export function additionsOf(tables: readonly TableDefinition[], schema: string): Addition[] {
  const at = (name: string) => qualified(schema, name);
  const own = tables.flatMap((table) => [
    ...table.constraints.map(({ name, definition }) => ({
      table: table.name,
      name,
      statement: `ALTER TABLE ${at(table.name)} ADD CONSTRAINT ${quoteName(name)} ${definition}`,
    })),
    ...table.indexes.map(({ name, unique, definition }) => ({
      table: table.name,
      name,
      statement: `CREATE ${unique ? 'UNIQUE ' : ''}INDEX ${quoteName(name)} ON ${at(table.name)} ${definition}`,
    })),
  ]);
  const foreign = tables.flatMap((table) =>
    table.foreign_keys.map((key) => ({
      table: table.name,
      name: key.name,
      statement: `ALTER TABLE ${at(table.name)} ADD CONSTRAINT ${quoteName(key.name)} ${foreignKeyText(key, schema)}`,
    })),
  );
  return [...own, ...foreign];
}

function foreignKeyText(key: ForeignKey, schema: string): string {
  const list = (names: readonly string[]) => names.map(quoteName).join(', ');
  const { columns, table, references, match, on_update, on_delete, deferrable, deferred } = key;
  return [
    `FOREIGN KEY (${list(columns)}) REFERENCES ${qualified(schema, table)} (${list(references)})`,
    `MATCH ${match.toUpperCase()} ON UPDATE ${on_update.toUpperCase()} ON DELETE ${on_delete.toUpperCase()}`,
    ...(deferrable ? [`DEFERRABLE INITIALLY ${deferred ? 'DEFERRED' : 'IMMEDIATE'}`] : []),
  ].join(' ');
}
