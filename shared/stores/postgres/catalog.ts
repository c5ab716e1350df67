import { z } from 'zod';
import { InvalidInputError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import type { StoreWarning } from '../warning.ts';
import { WARNING_SAMPLES_MAX } from '../warning.ts';
import type { PostgresClient } from './client.ts';
import { type Column, type SequenceState, TableDefinition } from './definition.ts';
import { qualified, quoteName, quoteText } from './names.ts';
import { type PostgresScope, tableFilter } from './scope.ts';

/** Maximum number of tables in a scope: their names are in the state of the workflow. */
export const TABLES_MAX = 200;

const Relation = z.object({
  oid: z.string(),
  name: z.string(),
  kind: z.string(),
  inherits: z.boolean(),
  bytes: z.string(),
  /** Estimate of the server; -1 if it has none. */
  rows: z.number(),
});
type Relation = z.infer<typeof Relation>;

/** The tables of a scope, ordered by name. */
export interface ScopeTables {
  readonly exists: boolean;
  readonly tables: readonly Relation[];
  readonly warnings: readonly StoreWarning[];
}

/** Lists the tables of a scope. Throws InvalidInputError if one of them cannot be saved. */
export async function listTables(client: PostgresClient, scope: PostgresScope): Promise<ScopeTables> {
  const [schema] = await client.rows('SELECT 1 FROM pg_namespace WHERE nspname = $1', [scope.schema]);
  if (!schema) {
    const text = `The database has no schema "${scope.schema}", so there is nothing to save.`;
    return { exists: false, tables: [], warnings: [{ code: 'schema-missing', text }] };
  }
  const found = await client.rows(
    `SELECT c.oid::text AS oid, c.relname AS name, c.relkind AS kind, c.reltuples::float8 AS rows,
       pg_table_size(c.oid)::text AS bytes,
       c.relispartition OR EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS inherits
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
     ORDER BY c.relname COLLATE "C"`,
    [scope.schema],
  );
  const belongs = tableFilter(scope);
  const relations = z
    .array(Relation)
    .parse(found)
    .filter(({ name }) => belongs(name));
  const views = relations.filter(({ kind }) => kind === 'v' || kind === 'm').map(({ name }) => name);
  const tables = relations.filter(({ kind }) => kind !== 'v' && kind !== 'm');
  const odd = tables.find(({ kind, inherits }) => kind !== 'r' || inherits);
  if (odd) throw unsupported(client, odd.name, 'is partitioned, inherits, or is a foreign table');
  if (tables.length > TABLES_MAX) {
    throw new InvalidInputError(
      `${client.name} has ${tables.length} tables in the scope; at most ${TABLES_MAX} can be saved.`,
      { remedy: 'Narrow the scope by "tables" or "exclude".' },
    );
  }
  const warnings = leftOut('views-left-out', 'Views are left out: ngbak saves tables.', views);
  return { exists: true, tables, warnings };
}

/** Reads the definitions of tables, in the same order. Throws InvalidInputError if one of them cannot be saved. */
export async function readDefinitions(
  client: PostgresClient,
  { schema, workspace }: PostgresScope,
  tables: readonly Pick<Relation, 'oid' | 'name'>[],
): Promise<TableDefinition[]> {
  if (tables.length === 0) return [];
  const oids = `{${tables.map(({ oid }) => oid).join(',')}}`;
  const parts = await withSearchPath(client, [schema], () =>
    client.rows<Record<string, unknown>>(PARTS, [oids, schema]),
  );
  const details = new Map(parts.map((part) => [String(part.oid), part]));
  return tables.map(({ oid, name }) => {
    const table = assemble(client, name, details.get(oid), schema);
    if (workspace && !table.columns.some(({ name: column }) => column === workspace.column)) {
      throw unsupported(client, name, `lacks the column "${workspace.column}" of "workspace"`);
    }
    const outside = table.foreign_keys.find(
      ({ table: other }) => !tables.some(({ name: known }) => known === other),
    );
    if (outside)
      throw unsupported(client, name, `has a foreign key to "${outside.table}", outside of the scope`);
    return table;
  });
}

/**
 * Positions of the tables that a backup contains: all of them or, with a workspace, those that have rows of it, and
 * those that these refer to.
 */
export async function savedTables(
  client: PostgresClient,
  scope: PostgresScope,
  definitions: readonly TableDefinition[],
): Promise<number[]> {
  const names = new Set<string>();
  for (const { name } of definitions) {
    if (!scope.workspace || (await hasRows(client, scope, name))) names.add(name);
  }
  for (let size = -1; size < names.size; ) {
    size = names.size;
    for (const { name, foreign_keys: keys } of definitions) {
      if (names.has(name)) for (const { table } of keys) names.add(table);
    }
  }
  return definitions.flatMap(({ name }, at) => (names.has(name) ? [at] : []));
}

async function hasRows(client: PostgresClient, scope: PostgresScope, table: string): Promise<boolean> {
  const [found] = await client.rows(`SELECT 1 FROM ${rowsOf(scope, table)} LIMIT 1`);
  return found !== undefined;
}

/**
 * Runs `work` with the names of PostgreSQL, of its extensions and of these schemas, and no others, known without their
 * schema: statements are read and definitions are printed accordingly.
 */
export async function withSearchPath<T>(
  client: PostgresClient,
  schemas: readonly string[],
  work: () => Promise<T>,
): Promise<T> {
  const extensions = await client.rows<{ name: string }>(
    'SELECT DISTINCT n.nspname AS name FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace',
  );
  const names = ['pg_catalog', ...schemas, ...extensions.map(({ name }) => name)];
  await client.rows(`SET search_path = ${[...new Set(names)].map(quoteName).join(', ')}`);
  try {
    return await work();
  } finally {
    await client.rows('SET search_path = pg_catalog').catch(() => client.drop());
  }
}

const PARTS = `
WITH columns AS (
  SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, a.attidentity,
    a.attgenerated, pg_get_expr(d.adbin, d.adrelid) AS expression, b.oid AS base, b.typname, b.typtype, bn.nspname,
    EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = b.oid AND e.deptype = 'e') AS extended,
    CASE WHEN a.attcollation NOT IN (0, t.typcollation) THEN co.collname END AS collated, cn.nspname AS collation_schema,
    (SELECT json_build_object('name', s.relname, 'schema', sn.nspname, 'unlogged', s.relpersistence = 'u', 'type', format_type(q.seqtypid, NULL),
        'start', q.seqstart::text, 'increment', q.seqincrement::text, 'min', q.seqmin::text, 'max', q.seqmax::text,
        'cache', q.seqcache::text, 'cycle', q.seqcycle)
      FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
        JOIN pg_namespace sn ON sn.oid = s.relnamespace
      WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass AND p.deptype IN ('a', 'i')
        AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum ORDER BY p.deptype = 'i' DESC, s.relname LIMIT 1) AS sequence
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    JOIN pg_type b ON b.oid = CASE WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN t.typelem ELSE t.oid END
    JOIN pg_namespace bn ON bn.oid = b.typnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
  WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
), used AS (
  SELECT attrelid AS relid, 'pg_type'::regclass::oid AS class, base AS object FROM columns
  UNION SELECT i.indrelid, 'pg_opclass'::regclass::oid, o FROM pg_index i, unnest(i.indclass::oid[]) o WHERE i.indrelid = ANY ($1::oid[])
  UNION SELECT i.indrelid, 'pg_am'::regclass::oid, c.relam FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = ANY ($1::oid[])
)
SELECT c.oid::text AS oid, c.relpersistence = 'u' AS unlogged, quote_ident(c.relname) AS quoted, quote_ident($2) AS quoted_schema,
  (SELECT json_agg(json_build_object('name', attname, 'type', type, 'not_null', attnotnull, 'identity', attidentity,
      'generated', attgenerated, 'expression', expression, 'collation', collated, 'collation_schema', collation_schema,
      'sequence', sequence, 'known', typtype IN ('b', 'r', 'm') AND typname NOT LIKE 'reg%'
        AND (nspname = 'pg_catalog' OR extended)) ORDER BY attnum) FROM columns WHERE attrelid = c.oid) AS columns,
  (SELECT json_agg(json_build_object('name', k.conname, 'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
      'columns', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(attnum, n)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum),
      'references', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(attnum, n)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum),
      'table', f.relname, 'schema', fn.nspname, 'match', k.confmatchtype, 'on_update', k.confupdtype,
      'on_delete', k.confdeltype, 'deferrable', k.condeferrable, 'deferred', k.condeferred) ORDER BY k.contype = 'p' DESC, k.conname COLLATE "C")
    FROM pg_constraint k LEFT JOIN pg_class f ON f.oid = k.confrelid LEFT JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'f', 'x')) AS constraints,
  (SELECT json_agg(json_build_object('name', x.relname, 'quoted', quote_ident(x.relname), 'unique', i.indisunique,
      'definition', pg_get_indexdef(i.indexrelid)) ORDER BY x.relname COLLATE "C")
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
    WHERE i.indrelid = c.oid AND i.indisvalid
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))) AS indexes,
  (SELECT json_agg(json_build_object('name', e.extname, 'version', e.extversion) ORDER BY e.extname COLLATE "C")
    FROM pg_extension e WHERE EXISTS (SELECT FROM used u JOIN pg_depend d ON d.classid = u.class AND d.objid = u.object
      AND d.deptype = 'e' AND d.refobjid = e.oid WHERE u.relid = c.oid)) AS extensions
FROM pg_class c WHERE c.oid = ANY ($1::oid[])`;

const RawColumn = z.object({
  name: z.string(),
  type: z.string(),
  not_null: z.boolean(),
  identity: z.string(),
  generated: z.string(),
  expression: z.string().nullable(),
  collation: z.string().nullable(),
  collation_schema: z.string().nullable(),
  sequence: z.looseObject({ name: z.string(), schema: z.string() }).nullable(),
  known: z.boolean(),
});
const RawConstraint = z.object({
  name: z.string(),
  type: z.string(),
  definition: z.string(),
  columns: z.array(z.string()).nullable(),
  references: z.array(z.string()).nullable(),
  table: z.string().nullable(),
  schema: z.string().nullable(),
  match: z.string(),
  on_update: z.string(),
  on_delete: z.string(),
  deferrable: z.boolean(),
  deferred: z.boolean(),
});
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullable()
    .transform((items) => items ?? []);
const RawTable = z.object({
  unlogged: z.boolean(),
  quoted: z.string(),
  quoted_schema: z.string(),
  columns: list(RawColumn),
  constraints: list(RawConstraint),
  indexes: list(
    z.object({ name: z.string(), quoted: z.string(), unique: z.boolean(), definition: z.string() }),
  ),
  extensions: list(z.object({ name: z.string(), version: z.string() })),
});

const ACTIONS: Readonly<Record<string, string>> = {
  a: 'no action',
  r: 'restrict',
  c: 'cascade',
  n: 'set null',
  d: 'set default',
};

/** Composes a definition from what the catalog has. */
function assemble(client: PostgresClient, name: string, raw: unknown, schema: string): TableDefinition {
  const fail = (problem: string) => unsupported(client, name, problem);
  if (raw === undefined) throw fail('was removed while it was read');
  const { unlogged, quoted, quoted_schema, columns, constraints, indexes, extensions } = RawTable.parse(raw);
  const key = constraints.find(({ type }) => type === 'p')?.columns;
  if (!key) throw fail('has no primary key, by which its rows are read and compared');
  const foreign = constraints.filter(({ type }) => type === 'f');
  for (const { name: constraint, type, definition, schema: other } of constraints) {
    if (type === 'x') throw fail(`has the exclusion constraint "${constraint}"`);
    if (type === 'f' && other !== schema) throw fail(`has a foreign key to another schema: "${constraint}"`);
    // The catalog has these in columns of newer versions only.
    const isSpecial =
      type === 'f' && /\bPERIOD\b|SET (NULL|DEFAULT) \(|NOT VALID|NOT ENFORCED/.test(definition);
    if (isSpecial) throw fail(`has a foreign key of a kind that is not supported: "${constraint}"`);
  }
  const definition = {
    name,
    unlogged,
    columns: columns.map((column) => assembleColumn(column, schema, fail)),
    key,
    constraints: constraints
      .filter(({ type }) => type !== 'f')
      .map(({ name: constraint, definition }) => ({ name: constraint, definition })),
    foreign_keys: foreign.map((constraint) => ({
      name: constraint.name,
      columns: constraint.columns,
      table: constraint.table,
      references: constraint.references,
      match: constraint.match === 'f' ? 'full' : 'simple',
      on_update: ACTIONS[constraint.on_update],
      on_delete: ACTIONS[constraint.on_delete],
      deferrable: constraint.deferrable,
      deferred: constraint.deferred,
    })),
    indexes: indexes.map((index) => {
      const head = `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${index.quoted} ON `;
      const on = [quoted, `${quoted_schema}.${quoted}`].find((text) =>
        index.definition.startsWith(`${head}${text} USING `),
      );
      if (on === undefined) throw fail(`has an index of a kind that is not supported: "${index.name}"`);
      return {
        name: index.name,
        unique: index.unique,
        definition: index.definition.slice(head.length + on.length + 1),
      };
    }),
    extensions,
  };
  return parseInput(
    TableDefinition,
    definition,
    `${client.name}: the definition of table "${name}"`,
    NOT_SUPPORTED,
  );
}

function assembleColumn(
  raw: z.infer<typeof RawColumn>,
  schema: string,
  fail: (problem: string) => InvalidInputError,
): Column {
  const { name, type, not_null, identity, generated, expression, collation, sequence } = raw;
  if (!raw.known)
    throw fail(`has the column "${name}" of type "${type}", which is not built in or of an extension`);
  if (collation !== null && raw.collation_schema !== 'pg_catalog') {
    throw fail(`has the column "${name}" with a collation of its own`);
  }
  const isSerial = identity === '' && /^nextval\('(?:[^']|'')+'::regclass\)$/.test(expression ?? '');
  if (isSerial && sequence?.schema !== schema) {
    throw fail(`has the column "${name}", whose default is a sequence that does not belong to it`);
  }
  const { schema: _, ...own } = sequence ?? { schema: '' };
  return {
    name,
    type,
    not_null,
    ...(collation === null ? {} : { collation }),
    ...(generated === '' ? {} : { generated: { as: expression ?? '', stored: generated === 's' } }),
    ...(identity === '' ? {} : { identity: identity === 'a' ? 'always' : 'by default' }),
    ...(identity !== '' || isSerial ? { sequence: own as Column['sequence'] } : {}),
    ...(generated !== '' || isSerial || expression === null ? {} : { default: expression }),
  };
}

const NOT_SUPPORTED =
  'Exclude the table by "exclude" in the scope, and save it otherwise; docs/stores/postgres.md lists what is supported.';

function unsupported(client: PostgresClient, table: string, problem: string): InvalidInputError {
  return new InvalidInputError(`${client.name}: table "${table}" ${problem}.`, { remedy: NOT_SUPPORTED });
}

/** Reads the state of all sequences of the tables. */
export async function readSequences(
  client: PostgresClient,
  schema: string,
  tables: readonly TableDefinition[],
): Promise<SequenceState[]> {
  const owned = tables.flatMap(({ name, columns }) =>
    columns.flatMap(({ sequence }) => (sequence ? [{ table: name, sequence: sequence.name }] : [])),
  );
  if (owned.length === 0) return [];
  const states = await client.rows<SequenceState>(
    owned
      .map(
        ({ table, sequence }) =>
          `SELECT ${quoteText(table)} AS table, ${quoteText(sequence)} AS sequence, last_value::text, is_called FROM ${qualified(schema, sequence)}`,
      )
      .join(' UNION ALL '),
  );
  return owned.flatMap(({ table, sequence }) =>
    states.filter((state) => state.table === table && state.sequence === sequence),
  );
}

/** What tables have, but ngbak does not save. */
export interface Attachment {
  readonly table: string;
  readonly kind:
    | 'trigger'
    | 'policy'
    | 'rule'
    | 'view'
    | 'reference'
    | 'publication'
    | 'statistics'
    | 'setting';
  readonly name: string;
}

/** Lists what is attached to tables. */
export async function readAttachments(
  client: PostgresClient,
  tables: readonly Pick<Relation, 'oid'>[],
): Promise<Attachment[]> {
  if (tables.length === 0) return [];
  return client.rows<Attachment>(
    `WITH c AS (SELECT oid, relname, reloptions FROM pg_class WHERE oid = ANY ($1::oid[]))
     SELECT c.relname AS table, a.kind, a.name FROM c JOIN (
       SELECT tgrelid AS relid, 'trigger' AS kind, tgname::text AS name FROM pg_trigger WHERE NOT tgisinternal
       UNION ALL SELECT polrelid, 'policy', polname FROM pg_policy
       UNION ALL SELECT oid, 'policy', 'row-level security' FROM pg_class WHERE relrowsecurity
       UNION ALL SELECT ev_class, 'rule', rulename FROM pg_rewrite WHERE rulename <> '_RETURN'
       UNION ALL SELECT d.refobjid, 'view', v.relname FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
         JOIN pg_class v ON v.oid = r.ev_class WHERE d.classid = 'pg_rewrite'::regclass
         AND d.refclassid = 'pg_class'::regclass AND v.oid <> d.refobjid GROUP BY 1, 3
       UNION ALL SELECT confrelid, 'reference', conrelid::regclass::text FROM pg_constraint
         WHERE contype = 'f' AND NOT conrelid = ANY ($1::oid[])
       UNION ALL SELECT prrelid, 'publication', pubname FROM pg_publication_rel JOIN pg_publication p ON p.oid = prpubid
       UNION ALL SELECT stxrelid, 'statistics', stxname FROM pg_statistic_ext
       UNION ALL SELECT indrelid, 'setting', 'an index that is not valid' FROM pg_index WHERE NOT indisvalid
       UNION ALL SELECT oid, 'setting', 'storage parameters' FROM c WHERE reloptions IS NOT NULL
       UNION ALL SELECT objoid, 'setting', 'comments' FROM pg_description WHERE classoid = 'pg_class'::regclass GROUP BY 1
       UNION ALL SELECT a.attrelid, 'setting', 'storage of columns' FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND a.attstorage <> t.typstorage GROUP BY 1
     ) a ON a.relid = c.oid ORDER BY 1, 2, 3`,
    [`{${tables.map(({ oid }) => oid).join(',')}}`],
  );
}

/** One warning for names that are left out; none without names. */
export function leftOut(code: string, text: string, names: readonly string[]): StoreWarning[] {
  if (names.length === 0) return [];
  return [
    {
      code,
      text,
      count: names.length,
      samples: names.slice(0, WARNING_SAMPLES_MAX).map((name) => name.slice(0, 200)),
    },
  ];
}

/** The condition that selects the rows of a scope; undefined for all rows. */
export function conditionOf({ workspace }: PostgresScope): string | undefined {
  return workspace && `${quoteName(workspace.column)} IN (${workspace.in.map(quoteText).join(', ')})`;
}

/** The rows of a table that belong to a scope and meet another condition, as the text behind FROM. */
export function rowsOf(scope: PostgresScope, table: string, condition?: string): string {
  const conditions = [conditionOf(scope), condition].filter((each) => each !== undefined);
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return `${qualified(scope.schema, table)}${where}`;
}

/** The number of rows of a table that belong to a scope. */
export async function countRows(
  client: PostgresClient,
  scope: PostgresScope,
  table: string,
): Promise<number> {
  const [found] = await client.rows<{ count: string }>(
    `SELECT count(*)::text AS count FROM ${rowsOf(scope, table)}`,
  );
  return Number(found?.count ?? 0);
}
