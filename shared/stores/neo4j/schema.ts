import { isDeepStrictEqual } from 'node:util';
import type { RecordShape } from 'neo4j-driver-core';
import { z } from 'zod';
import { ANOTHER_ARCHIVE, InvalidInputError, UnavailableError } from '../../core/errors.ts';
import { parseJson } from '../../core/input.ts';
import { retry } from '../../core/retry.ts';
import { quote, RESERVED_PREFIX } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer, ServerVersion } from './server.ts';
import { decodeProperties, encodeProperties, type Properties } from './values.ts';

/** Maximum number of constraints and indexes: far more than a server can handle (each index costs files and memory). */
export const SCHEMA_ROWS_MAX = 10_000;

/** Delays while constraints or indexes change, about six seconds. */
const UNCHANGED = { attempts: 12, firstMs: 50, longestMs: 1000 };

const Names = z.array(z.string().min(1)).max(1000);

/** Server requirements of each kind: first version, and whether Community Edition supports it (Neo4j release notes). */
const KINDS = {
  UNIQUENESS: { minor: 0, community: true },
  RELATIONSHIP_UNIQUENESS: { minor: 7, community: true },
  NODE_KEY: { minor: 0, community: false },
  RELATIONSHIP_KEY: { minor: 7, community: false },
  NODE_PROPERTY_EXISTENCE: { minor: 0, community: false },
  RELATIONSHIP_PROPERTY_EXISTENCE: { minor: 0, community: false },
  NODE_PROPERTY_TYPE: { minor: 9, community: false },
  RELATIONSHIP_PROPERTY_TYPE: { minor: 9, community: false },
  RANGE: { minor: 0, community: true },
  TEXT: { minor: 0, community: true },
  POINT: { minor: 0, community: true },
  FULLTEXT: { minor: 0, community: true },
  VECTOR: { minor: 15, community: true },
} as const;
type Kind = keyof typeof KINDS;

/**
 * A constraint or an index as stored in a line of `graph/schema.jsonl`. Statements are built from it; none from the
 * archive is run.
 */
const SchemaLine = z.object({
  type: z.enum(['constraint', 'index']),
  name: z.string().min(1),
  kind: z.enum(Object.keys(KINDS) as [Kind, ...Kind[]]),
  entity: z.enum(['NODE', 'RELATIONSHIP']),
  /** Labels or relationship types. */
  tokens: Names.min(1),
  properties: Names.min(1),
  /** For type constraints, in Cypher syntax: `LIST<STRING NOT NULL>`. */
  property_type: z
    .string()
    .regex(/^[A-Za-z0-9 <>|(),]{1,500}$/)
    .optional(),
  /** Settings of full-text, point and vector indexes, with their types as in node lines. */
  config: z.record(z.string(), z.json()),
  types: z.record(z.string(), z.string()).optional(),
  /** Provider of a vector or text index, such as `vector-2.0`. */
  provider: z
    .string()
    .regex(/^[A-Za-z0-9.+-]{1,50}$/)
    .optional(),
  /** State of an index that was not usable at the time of the backup. */
  state: z.literal('FAILED').optional(),
  /** The statement that would create it, for people to read. */
  statement: z.string().optional(),
});

/** A constraint or an index. */
export interface SchemaRow {
  readonly type: 'constraint' | 'index';
  readonly name: string;
  readonly kind: Kind;
  readonly entity: 'NODE' | 'RELATIONSHIP';
  readonly tokens: readonly string[];
  readonly properties: readonly string[];
  readonly propertyType: string | undefined;
  /** The settings in the archive; a server may have more, with default values. */
  readonly config: Properties;
  /** Provider of a vector or text index; it determines what the index stores. */
  readonly provider?: string | undefined;
  /** True for an index that could not be populated on the source: queries did not use it. */
  readonly hasFailed?: boolean;
}

/** A constraint or an index on the server. */
export interface ServerRow extends SchemaRow {
  /** `ONLINE`, `POPULATING`, `FAILED`; undefined for constraints. */
  readonly state: string | undefined;
  /** Why an index failed: the first line of the server's message. */
  readonly failure: string;
}

/** A constraint or an index that ngbak cannot save. */
export interface UnsavedRow {
  readonly type: SchemaRow['type'];
  readonly name: string;
  /** Its kind as reported by the server, and which property of it cannot be saved. */
  readonly kind: string;
}

/** The constraints and indexes of a scope. */
export interface ServerSchema {
  readonly rows: readonly ServerRow[];
  readonly unsaved: readonly UnsavedRow[];
}

/**
 * Reads the constraints and indexes of the scope, except ngbak's own and indexes that belong to a constraint. The scope
 * of a label includes constraints and indexes on relationship types that occur between its nodes; that of a property also
 * those on labels that its nodes have. Without a scope: all of the database.
 */
export async function readSchema(
  server: Neo4jServer,
  scope: ScopeText | undefined,
  signal: AbortSignal,
): Promise<ServerSchema> {
  const all = await retry(() => readRows(server, signal), {
    ...UNCHANGED,
    signal,
    isTransient: (error) => error instanceof SchemaChangedError,
  });
  const found = all.filter(({ name }) => !name.startsWith(RESERVED_PREFIX));
  const ofScope =
    scope === undefined || scope.isWholeDatabase ? found : await rowsInScope(server, scope, found, signal);
  const rows: ServerRow[] = [];
  const unsaved: UnsavedRow[] = [];
  for (const row of ofScope) {
    const problem = Object.hasOwn(KINDS, row.kind) ? unknownShape(row as SchemaRow) : '';
    if (problem === undefined) rows.push(row as ServerRow);
    else unsaved.push({ type: row.type, name: row.name, kind: `${row.kind}${problem && ` ${problem}`}` });
  }
  rows.sort((a, b) => compare(canonicalSchema(a), canonicalSchema(b)));
  return { rows, unsaved };
}

/** Constraints or indexes changed while they were read. */
class SchemaChangedError extends UnavailableError {}

/**
 * The constraints and indexes as of one instant. Constraints are read before and after the indexes: in between, one may
 * be replaced by another, whose index has no owner until it is complete. Throws SchemaChangedError in that case.
 */
async function readRows(server: Neo4jServer, signal: AbortSignal): Promise<FoundRow[]> {
  // `YIELD *`: older 5.x servers lack some of the columns.
  const readConstraints = async () => {
    const rows = await server.read('reading its constraints', 'SHOW CONSTRAINTS YIELD *', {}, signal);
    return rows.map((row) => foundRow('constraint', row));
  };
  const constraints = await readConstraints();
  const indexes = (await server.read('reading its indexes', 'SHOW INDEXES YIELD *', {}, signal))
    .filter((row) => row.owningConstraint === null && row.type !== 'LOOKUP')
    .map((row) => foundRow('index', row));
  if (
    !isDeepStrictEqual(constraints, await readConstraints()) ||
    indexes.some((index) => isInPlaceOfOneOf(constraints, index))
  ) {
    throw new SchemaChangedError(
      `Neo4j of target "${server.target}": its constraints and indexes changed each time they were read.`,
      { remedy: 'Start again at a time when nothing creates or drops constraints.' },
    );
  }
  return [...constraints, ...indexes];
}

/** The constraints and indexes of labels and relationship types that occur in the scope. */
async function rowsInScope(
  server: Neo4jServer,
  scope: ScopeText,
  rows: readonly FoundRow[],
  signal: AbortSignal,
): Promise<FoundRow[]> {
  const types = await typesInScope(server, scope, rows, signal);
  const labels = await labelsInScope(server, scope, rows, signal);
  return rows.filter(({ entity, tokens }) =>
    tokens.some((token) => (entity === 'NODE' ? labels : types).has(token)),
  );
}

/** The labels with constraints or indexes that occur in the scope: with a property, all that its nodes have. */
async function labelsInScope(
  server: Neo4jServer,
  scope: ScopeText,
  rows: readonly FoundRow[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  if (scope.property === undefined) return new Set(scope.label === undefined ? [] : [scope.label]);
  const labels = new Set(rows.filter(({ entity }) => entity === 'NODE').flatMap(({ tokens }) => tokens));
  if (labels.size === 0) return labels;
  const found = await server.read(
    'reading the constraints and indexes of its labels',
    `${scope.find('n')} UNWIND labels(n) AS label WITH DISTINCT label WHERE label IN $labels RETURN label`,
    { ...scope.parameters, labels: [...labels] },
    signal,
  );
  return new Set(found.map(({ label }) => String(label)));
}

/** The relationship types with constraints or indexes that occur between nodes of the scope. */
async function typesInScope(
  server: Neo4jServer,
  scope: ScopeText,
  rows: readonly FoundRow[],
  signal: AbortSignal,
): Promise<ReadonlySet<string>> {
  const types = new Set(
    rows.filter(({ entity }) => entity === 'RELATIONSHIP').flatMap(({ tokens }) => tokens),
  );
  if (types.size === 0) return types;
  const found = await server.read(
    'reading the constraints and indexes of its relationships',
    `${scope.find('a', `-[r:${[...types].map(quote).join('|')}]->(b)`, scope.contains('b'))}
     RETURN DISTINCT type(r) AS type`,
    scope.parameters,
    signal,
  );
  return new Set(found.map(({ type }) => String(type)));
}

/** A row of the server, whose kind may be unknown to this version of ngbak. */
type FoundRow = Omit<ServerRow, 'kind'> & { readonly kind: string };
/** What determines where the index of a row is. */
type Definition = Pick<FoundRow, 'type' | 'kind' | 'entity' | 'tokens' | 'properties'>;

function foundRow(type: SchemaRow['type'], row: RecordShape): FoundRow {
  // 2025.x reports NODE_PROPERTY_UNIQUENESS for what 5.x calls UNIQUENESS.
  const kind = String(row.type)
    .replace('NODE_PROPERTY_UNIQUENESS', 'UNIQUENESS')
    .replace('RELATIONSHIP_PROPERTY_UNIQUENESS', 'RELATIONSHIP_UNIQUENESS');
  const provider = row.options?.indexProvider ?? row.indexProvider;
  return {
    type,
    name: String(row.name),
    kind,
    entity: row.entityType === 'RELATIONSHIP' ? 'RELATIONSHIP' : 'NODE',
    tokens: (row.labelsOrTypes ?? []) as string[],
    properties: (row.properties ?? []) as string[],
    propertyType: typeof row.propertyType === 'string' ? row.propertyType : undefined,
    config: type === 'index' ? ((row.options?.indexConfig ?? {}) as Properties) : {},
    provider: (kind === 'VECTOR' || kind === 'TEXT') && typeof provider === 'string' ? provider : undefined,
    state: type === 'index' ? String(row.state) : undefined,
    failure: String(row.failureMessage ?? '').split('\n')[0] ?? '',
    hasFailed: row.state === 'FAILED',
  };
}

/** The property of a row of a known kind that this version of ngbak cannot express; undefined if there is none. */
function unknownShape({ kind, tokens, properties, propertyType }: SchemaRow): string | undefined {
  if (kind === 'VECTOR' && (tokens.length !== 1 || properties.length !== 1)) {
    return 'on several labels or with filter properties';
  }
  return propertyType !== undefined && /\bVECTOR\b/.test(propertyType)
    ? `of type ${propertyType}`
    : undefined;
}

/** The line of a row and its canonical text, which omits statement, provider and state. */
export function encodeSchema(row: SchemaRow): { line: string; canonical: string } {
  const canonical = canonicalSchema(row);
  const more = [
    ...(row.provider === undefined ? [] : [`"provider":${JSON.stringify(row.provider)}`]),
    ...(row.hasFailed ? ['"state":"FAILED"'] : []),
    `"statement":${JSON.stringify(createStatement(row))}`,
  ];
  return { line: `${canonical.slice(0, -1)},${more.join(',')}}`, canonical };
}

/** The canonical text of a row, from which its digest is computed. */
export function canonicalSchema(row: SchemaRow): string {
  const { properties, types } = encodeProperties(row.config);
  const head = {
    type: row.type,
    name: row.name,
    kind: row.kind,
    entity: row.entity,
    tokens: row.tokens,
    properties: row.properties,
    ...(row.propertyType === undefined ? {} : { property_type: row.propertyType }),
  };
  const config = `"config":${properties}${types === undefined ? '' : `,"types":${types}`}`;
  return `${JSON.stringify(head).slice(0, -1)},${config}}`;
}

/**
 * Whether the server has a constraint or index of the archive, under any name. Settings that only the server has are
 * defaults of its version; settings that it lacks are unknown to it. Neither is a difference.
 */
export function sameDefinition(archived: SchemaRow, existing: SchemaRow): boolean {
  const bare = (row: SchemaRow) => canonicalSchema({ ...row, name: '', config: {} });
  const shared = (row: SchemaRow, other: SchemaRow) =>
    encodeProperties(
      Object.fromEntries(
        Object.entries(row.config)
          .filter(([name]) => Object.hasOwn(other.config, name))
          // Some versions report `COSINE`, others `cosine`.
          .map(([name, value]) => [name, typeof value === 'string' ? value.toLowerCase() : value]),
      ),
    );
  const [left, right] = [shared(archived, existing), shared(existing, archived)];
  return (
    bare(archived) === bare(existing) && left.properties === right.properties && left.types === right.types
  );
}

/** Whether an index occupies the place of a constraint's own index: same entity, label or type, and properties. */
export function isInPlaceOf(constraint: Definition, index: Definition): boolean {
  return (
    constraint.type === 'constraint' &&
    index.type === 'index' &&
    index.kind === 'RANGE' &&
    /UNIQUENESS|KEY/.test(constraint.kind) &&
    constraint.entity === index.entity &&
    String([constraint.tokens, constraint.properties]) === String([index.tokens, index.properties])
  );
}

/**
 * Whether an index occupies the place of the own index of one of these constraints. A server never has both; archives of
 * earlier versions may, if a constraint was replaced while its backup was made. A restore leaves that index out.
 */
export function isInPlaceOfOneOf(rows: readonly Definition[], index: Definition): boolean {
  return rows.some((row) => isInPlaceOf(row, index));
}

/**
 * Whether a row may also apply to other scopes of the database: relationship types may occur in several, and so may the
 * labels of a scope that is defined by a property.
 */
export function isOfOthersToo(
  { entity }: SchemaRow,
  { isWholeDatabase, property }: Pick<ScopeText, 'isWholeDatabase' | 'property'>,
): boolean {
  return property !== undefined || (entity === 'RELATIONSHIP' && !isWholeDatabase);
}

/** Whether a row applies only to the scope, so that a restore may drop it. Always true for a whole database. */
export function servesOnly(
  { entity, tokens }: SchemaRow,
  { label, isWholeDatabase, isWholeLabel }: Pick<ScopeText, 'label' | 'isWholeDatabase' | 'isWholeLabel'>,
): boolean {
  if (isWholeDatabase) return true;
  return isWholeLabel && entity === 'NODE' && tokens.length === 1 && tokens[0] === label;
}

/** Parses a line of `graph/schema.jsonl`. Throws InvalidInputError. */
export function parseSchemaLine(text: string): SchemaRow {
  const line = parseJson(SchemaLine, text, 'it', ANOTHER_ARCHIVE);
  if (line.name.startsWith(RESERVED_PREFIX)) {
    throw new InvalidInputError(`its name starts with ${RESERVED_PREFIX}, which is reserved for ngbak`, {
      remedy: ANOTHER_ARCHIVE,
    });
  }
  return {
    type: line.type,
    name: line.name,
    kind: line.kind,
    entity: line.entity,
    tokens: line.tokens,
    properties: line.properties,
    propertyType: line.property_type,
    config: decodeProperties(line.config, line.types ?? {}),
    provider: line.provider,
    hasFailed: line.state === 'FAILED',
  };
}

/** Why a server of that version and edition cannot have a row; undefined if it can. */
export function schemaObstacle(row: SchemaRow, server: ServerVersion): string | undefined {
  const { minor, community } = KINDS[row.kind];
  const thing = `${row.type} "${row.name}" (${row.kind})`;
  const shape = unknownShape(row);
  if (shape !== undefined) return `${thing} ${shape} can't be created by this ngbak`;
  if (!community && server.edition === 'community') {
    return `${thing} needs Enterprise Edition, and the target is Community Edition`;
  }
  const needed = row.kind === 'VECTOR' && row.entity === 'RELATIONSHIP' ? 18 : minor;
  if (server.major === 5 && server.minor < needed) {
    return `${thing} needs Neo4j 5.${needed} or later, and the target is ${server.version}`;
  }
  return undefined;
}

/** The statement that creates a constraint or an index. All names are quoted, all settings are literals. */
export function createStatement(row: SchemaRow): string {
  const variable = row.entity === 'NODE' ? 'n' : 'r';
  const tokens = row.tokens.map(quote).join('|');
  const pattern = row.entity === 'NODE' ? `(n:${tokens})` : `()-[r:${tokens}]-()`;
  const properties = row.properties.map((name) => `${variable}.${quote(name)}`).join(', ');
  if (row.type === 'constraint') {
    const rule = constraintRule(row);
    return `CREATE CONSTRAINT ${quote(row.name)} FOR ${pattern} REQUIRE (${properties}) ${rule}`;
  }
  const kind = row.kind === 'RANGE' ? '' : `${row.kind} `;
  const on = row.kind === 'FULLTEXT' ? `ON EACH [${properties}]` : `ON (${properties})`;
  const settings = Object.entries(row.config).map(
    ([name, value]) => `${quote(name)}: ${literal(name, value)}`,
  );
  const options = [
    ...(row.provider === undefined ? [] : [`indexProvider: ${literal('provider', row.provider)}`]),
    ...(settings.length === 0 ? [] : [`indexConfig: {${settings.join(', ')}}`]),
  ];
  const tail = options.length === 0 ? '' : ` OPTIONS {${options.join(', ')}}`;
  return `CREATE ${kind}INDEX ${quote(row.name)} FOR ${pattern} ${on}${tail}`;
}

function constraintRule({ kind, propertyType }: SchemaRow): string {
  if (kind.endsWith('UNIQUENESS')) return 'IS UNIQUE';
  if (kind.endsWith('KEY')) return kind === 'NODE_KEY' ? 'IS NODE KEY' : 'IS RELATIONSHIP KEY';
  return kind.endsWith('EXISTENCE') ? 'IS NOT NULL' : `IS :: ${propertyType ?? 'ANY'}`;
}

function literal(name: string, value: unknown): string {
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) {
    const text = String(value);
    return /[.e]/.test(text) ? text : `${text}.0`;
  }
  if (typeof value === 'string' && /^[A-Za-z0-9_.+ -]{0,200}$/.test(value)) return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map((element) => literal(name, element)).join(', ')}]`;
  throw new InvalidInputError(
    `Index setting ${JSON.stringify(name.slice(0, 100))} has a value that is not valid for an index.`,
    {
      remedy: ANOTHER_ARCHIVE,
    },
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
