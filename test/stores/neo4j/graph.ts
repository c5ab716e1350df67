import { createHash } from 'node:crypto';
import neo4j, { type Driver, type Node, type Relationship } from 'neo4j-driver';
import { neo4jAdapter } from '../../../shared/stores/neo4j/adapter.ts';
import type { Neo4jScope } from '../../../shared/stores/neo4j/connection.ts';
import type { Store } from '../../../shared/stores/store.ts';

/** A server that tests use. */
export interface TestServer {
  readonly uri: string;
  readonly username: string;
  readonly password: string;
}

/** Opens the adapter under test. */
export function openGraph(server: TestServer, scope: Neo4jScope = {}): () => Store {
  return () => neo4jAdapter.create({ ...server }, scope, { target: 'tests' });
}

/** A plain driver, which shares no code with the adapter. */
export function plainDriver({ uri, username, password }: TestServer): Driver {
  return neo4j.driver(uri, neo4j.auth.basic(username, password), { useBigInt: true });
}

/** Runs one auto-commit statement. */
export async function run(
  driver: Driver,
  cypher: string,
  parameters: Record<string, unknown> = {},
): Promise<Record<string, unknown>[]> {
  const session = driver.session();
  try {
    return (await session.run(cypher, parameters)).records.map((record) => record.toObject());
  } finally {
    await session.close();
  }
}

/** Every value that Cypher can store, by property name. */
export const EVERY_VALUE = `
  true_: true, false_: false, empty: '', text: 'a "quoted" \\\\ back\\nslash', astral: '😀𝄞', nul: 'a\\u0000b',
  rtl: 'שלום \\u202e', long: reduce(t = '', i IN range(1, 200) | t + 'Lorem ipsum dolor sit amet '),
  zero: 0, one: 1, minus: -1, int_max: 9223372036854775807, int_min: -9223372036854775807 - 1,
  unsafe: 9007199254740993, float_one: 1.0, float_zero: 0.0, minus_zero: -0.0, tenth: 0.1, huge: 1.7976931348623157E308,
  tiny: 4.9E-324, big_float: 1.0E21, nan: 0.0 / 0, inf: 1.0 / 0, minus_inf: -1.0 / 0,
  date: date('2024-02-29'), date_far: date('+999999999-12-31'), date_bc: date('-0044-03-15'),
  time: time('23:59:59.999999999+18:00'), time_utc: time('00:00:00Z'), localtime: localtime('12:00:00.000000001'),
  datetime: datetime('2020-10-25T02:30:00.123456789+01:00[Europe/Berlin]'),
  datetime_other: datetime('2020-10-25T02:30:00.123456789+02:00[Europe/Berlin]'),
  datetime_offset: datetime('1969-12-31T23:59:59.000000001-11:30'), datetime_old: datetime('1890-01-01T00:00:00[Europe/Berlin]'),
  datetime_far: datetime('+999999999-01-01T00:00:00+01:00'), localdatetime: localdatetime('0001-01-01T00:00:00.000000001'),
  duration: duration({months: 5, days: -3, seconds: -1, nanoseconds: 500000000}),
  duration_max: duration({seconds: 9223372036854775807}), duration_min: duration({seconds: -9223372036854775807}),
  point: point({x: 1.5, y: -2}), point3: point({x: 1, y: 2, z: 1e300}), place: point({longitude: 12.5, latitude: 55.25}),
  place3: point({longitude: -180, latitude: 90, height: -11034.5}),
  list_empty: [], ints: [1, 2, 9007199254740993], floats: [1.0, 2.5, 0.0 / 0], plain_floats: [0.5, 1.25], texts: ['a', '', '😀'],
  bools: [true, false], dates: [date('2020-01-01'), date('0000-01-01')], points: [point({x: 0, y: 0}), point({x: 1, y: 1})],
  durations: [duration('P1Y'), duration('PT0.1S')], datetimes: [datetime('2020-01-01T00:00Z'), datetime('2020-01-01T00:00[Asia/Tokyo]')],
  times: [time('01:00:00+01:00')], localtimes: [localtime('01:00')], localdatetimes: [localdatetime('2020-01-01T01:00')],
  \`weird \`\`name\`: 1, \`\\\\u005Cu0060\`: 2, \`constructor\`: 'c', \`types\`: 't', \`id\`: 'every value'`;

/**
 * The contents of a scope as sorted text, by plain queries and the driver's own serialization. A relationship is
 * identified by the whole content of both its ends. `quotedLabel` is the label as quoted in Cypher.
 */
export async function graphContent(
  driver: Driver,
  label?: string,
  quotedLabel = `\`${label}\``,
): Promise<string> {
  const pattern = label === undefined ? '' : `:${quotedLabel}`;
  const nodes = await run(driver, `MATCH (n${pattern}) RETURN n`);
  const relationships = await run(driver, `MATCH (a${pattern})-[r]->(b${pattern}) RETURN a, r, b`);
  const lines = [...recordTexts(nodes, relationships), ...(await schemaTexts(driver, label))];
  return lines.sort().join('\n');
}

/**
 * The nodes with a value in a property, all relationships of them, and the whole schema, as {@link graphContent} does.
 * Without a value: the nodes without the property.
 */
export async function tenantContent(driver: Driver, property: string, value?: string): Promise<string> {
  const is = (node: string) =>
    value === undefined ? `${node}.\`${property}\` IS NULL` : `${node}.\`${property}\` = $value`;
  const nodes = await run(driver, `MATCH (n) WHERE ${is('n')} RETURN n`, { value });
  const relationships = await run(
    driver,
    `MATCH (a)-[r]->(b) WHERE ${is('a')} OR ${is('b')} RETURN a, r, b`,
    {
      value,
    },
  );
  return [...recordTexts(nodes, relationships), ...(await schemaTexts(driver))].sort().join('\n');
}

function recordTexts(
  nodes: readonly Record<string, unknown>[],
  relationships: readonly Record<string, unknown>[],
): string[] {
  return [
    ...nodes.map(({ n }) => nodeText(n as Node)),
    ...relationships.map(
      ({ a, r, b }) =>
        `${hash(nodeText(a as Node))} -[${(r as Relationship).type} ${valuesText((r as Relationship).properties)}]-> ${hash(nodeText(b as Node))}`,
    ),
  ];
}

async function schemaTexts(driver: Driver, label?: string): Promise<string[]> {
  const constraints = await run(driver, 'SHOW CONSTRAINTS YIELD createStatement, labelsOrTypes');
  const indexes = await run(
    driver,
    "SHOW INDEXES YIELD createStatement, labelsOrTypes, owningConstraint, type WHERE owningConstraint IS NULL AND type <> 'LOOKUP' RETURN *",
  );
  return [...constraints, ...indexes]
    .filter(({ labelsOrTypes }) => label === undefined || (labelsOrTypes as string[]).includes(label))
    .map(({ createStatement }) => String(createStatement));
}

function nodeText(node: Node): string {
  return `(${[...node.labels].sort().join(':')} ${valuesText(node.properties)})`;
}

function valuesText(values: Record<string, unknown>): string {
  return Object.keys(values)
    .sort()
    .map((name) => `${JSON.stringify(name)}=${valueText(values[name])}`)
    .join(' ');
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(valueText).join()}]`;
  if (typeof value === 'bigint') return `int ${value}`;
  if (typeof value === 'number') return `float ${Object.is(value, -0) ? '-0' : value}`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (value instanceof Int8Array) return `bytes ${[...value]}`;
  return `${(value as object).constructor.name} ${JSON.stringify(value, (_key, member) => (typeof member === 'bigint' ? `int ${member}` : member))}`;
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12);
}

/** Possible leftovers of a restore on the server: marks on records, its own indexes and constraints. */
export async function graphLeftovers(driver: Driver): Promise<string[]> {
  const found = await run(
    driver,
    `MATCH (n) WHERE any(l IN labels(n) WHERE l STARTS WITH '__ngbak_') OR any(k IN keys(n) WHERE k STARTS WITH '__ngbak_')
     RETURN 'node ' + reduce(t = '', l IN labels(n) | t + ':' + l) AS what LIMIT 5
     UNION ALL MATCH ()-[r]->() WHERE any(k IN keys(r) WHERE k STARTS WITH '__ngbak_') RETURN 'relationship ' + type(r) AS what LIMIT 5`,
  );
  const indexes = await run(
    driver,
    "SHOW INDEXES YIELD name WHERE name STARTS WITH '__ngbak_' RETURN 'index ' + name AS what",
  );
  return [...found, ...indexes].map(({ what }) => String(what));
}

/** Drops every constraint and index of the database. */
export async function dropSchema(driver: Driver): Promise<void> {
  const quoted = (name: unknown) => `\`${String(name).replaceAll('`', '``')}\``;
  for (const { name } of await run(driver, 'SHOW CONSTRAINTS YIELD name')) {
    await run(driver, `DROP CONSTRAINT ${quoted(name)}`);
  }
  for (const { name } of await run(driver, "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'")) {
    await run(driver, `DROP INDEX ${quoted(name)}`);
  }
}
