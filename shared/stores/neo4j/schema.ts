import type { RecordShape } from 'neo4j-driver';
import { z } from 'zod';
import { InvalidInputError } from '../../errors.ts';
import { parseJson } from '../../input.ts';
import { quote, RESERVED_PREFIX } from './names.ts';
import type { ScopeText } from './scope.ts';
import type { Neo4jServer, ServerVersion } from './server.ts';
import { decodeProperties, encodeProperties, type Properties } from './values.ts';

/** Rows that a schema may have: far more than servers bear (each index costs files and memory). */
export const SCHEMA_ROWS_MAX = 10_000;

const Names = z.array(z.string().min(1)).max(1000);

/** What each kind needs of a server: first version, and whether Community Edition has it (Neo4j release notes). */
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

/** A constraint or an index as a line of `graph/schema.jsonl` holds it. Statements are built from it, never run as given. */
const SchemaLine = z.object({
  type: z.enum(['constraint', 'index']),
  name: z.string().min(1),
  kind: z.enum(Object.keys(KINDS) as [Kind, ...Kind[]]),
  entity: z.enum(['NODE', 'RELATIONSHIP']),
  /** Labels or relationship types. */
  tokens: Names.min(1),
  properties: Names.min(1),
  /** For type constraints, in Cypher's words: `LIST<STRING NOT NULL>`. */
  property_type: z
    .string()
    .regex(/^[A-Za-z0-9 <>|(),]{1,500}$/)
    .optional(),
  /** Settings of full-text, point and vector indexes, with their types as in node lines. */
  config: z.record(z.string(), z.json()),
  types: z.record(z.string(), z.string()).optional(),
  /** The statement that would make it, for people. */
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
  readonly config: Properties;
}

/** What the server has of the scope, without what is ours and without what a constraint brings along. */
export async function readSchema(
  server: Neo4jServer,
  label: string | undefined,
  signal: AbortSignal,
): Promise<SchemaRow[]> {
  // No column is named that older 5.x servers lack.
  const constraints = await server.read('reading its constraints', 'SHOW CONSTRAINTS YIELD *', {}, signal);
  const indexes = await server.read('reading its indexes', 'SHOW INDEXES YIELD *', {}, signal);
  return [
    ...constraints.map((row) => schemaRow('constraint', row)),
    ...indexes
      .filter((row) => row.owningConstraint === null && row.type !== 'LOOKUP')
      .map((row) => schemaRow('index', row)),
  ]
    .filter(({ name }) => !name.startsWith(RESERVED_PREFIX))
    .filter((row) => label === undefined || (row.entity === 'NODE' && row.tokens.includes(label)))
    .sort((a, b) => compare(canonicalSchema(a), canonicalSchema(b)));
}

function schemaRow(type: SchemaRow['type'], row: RecordShape): SchemaRow {
  // 2025.x says NODE_PROPERTY_UNIQUENESS for what 5.x calls UNIQUENESS.
  const kind = String(row.type)
    .replace('NODE_PROPERTY_UNIQUENESS', 'UNIQUENESS')
    .replace('RELATIONSHIP_PROPERTY_UNIQUENESS', 'RELATIONSHIP_UNIQUENESS');
  if (!Object.hasOwn(KINDS, kind)) {
    throw new InvalidInputError(
      `The graph has a ${type} "${row.name}" of a kind that this ngbak does not know: ${kind}.`,
      { remedy: `Update ngbak, or drop the ${type} and make it again after a restore.` },
    );
  }
  return {
    type,
    name: String(row.name),
    kind: kind as Kind,
    entity: row.entityType === 'RELATIONSHIP' ? 'RELATIONSHIP' : 'NODE',
    tokens: (row.labelsOrTypes ?? []) as string[],
    properties: (row.properties ?? []) as string[],
    propertyType: typeof row.propertyType === 'string' ? row.propertyType : undefined,
    config: type === 'index' ? ((row.options?.indexConfig ?? {}) as Properties) : {},
  };
}

/** The line of a row, and the text that its digest is taken over: the same without the statement. */
export function encodeSchema(row: SchemaRow): { line: string; canonical: string } {
  const canonical = canonicalSchema(row);
  const statement = JSON.stringify(createStatement(row));
  return { line: `${canonical.slice(0, -1)},"statement":${statement}}`, canonical };
}

/** The text that a row's digest is taken over. */
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

/** Whether two rows define the same, whatever they are called. */
export function sameDefinition(a: SchemaRow, b: SchemaRow): boolean {
  return canonicalSchema({ ...a, name: '' }) === canonicalSchema({ ...b, name: '' });
}

/** Whether a row is about the scope and nothing else: a restore may drop it. Every row is about a whole database. */
export function servesOnly(
  { entity, tokens }: SchemaRow,
  { label, isWholeLabel }: Pick<ScopeText, 'label' | 'isWholeLabel'>,
): boolean {
  if (label === undefined) return true;
  return isWholeLabel && entity === 'NODE' && tokens.length === 1 && tokens[0] === label;
}

/** Reads a line of `graph/schema.jsonl`. Throws InvalidInputError. */
export function parseSchemaLine(text: string): SchemaRow {
  const line = parseJson(SchemaLine, text, 'it', 'Take another copy of this backup, or another backup.');
  if (line.name.startsWith(RESERVED_PREFIX)) {
    throw new InvalidInputError(`its name starts with ${RESERVED_PREFIX}, which is reserved for ngbak`, {
      remedy: 'Take another copy of this backup, or another backup.',
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
  };
}

/** What stands against a row on a server of that version and edition; undefined where nothing does. */
export function schemaObstacle(row: SchemaRow, server: ServerVersion): string | undefined {
  const { minor, community } = KINDS[row.kind];
  const thing = `${row.type} "${row.name}" (${row.kind})`;
  if (!community && server.edition === 'community') {
    return `${thing} needs Enterprise Edition, and the target is Community Edition`;
  }
  const needed = row.kind === 'VECTOR' && row.entity === 'RELATIONSHIP' ? 18 : minor;
  if (server.major === 5 && server.minor < needed) {
    return `${thing} needs Neo4j 5.${needed} or later, and the target is ${server.version}`;
  }
  return undefined;
}

/** The statement that makes a constraint or an index. All names are quoted, all settings are literals. */
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
  const options = settings.length === 0 ? '' : ` OPTIONS {indexConfig: {${settings.join(', ')}}}`;
  return `CREATE ${kind}INDEX ${quote(row.name)} FOR ${pattern} ${on}${options}`;
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
  if (typeof value === 'string' && /^[A-Za-z0-9_. -]{0,200}$/.test(value)) return `'${value}'`;
  if (Array.isArray(value)) return `[${value.map((element) => literal(name, element)).join(', ')}]`;
  throw new InvalidInputError(
    `Index setting ${JSON.stringify(name.slice(0, 100))} has a value that no index has.`,
    {
      remedy: 'Take another copy of this backup, or another backup.',
    },
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
