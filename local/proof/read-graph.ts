import neo4j, { type Driver, type Integer, type Node, type Relationship } from 'neo4j-driver';
import { digestOf, type Ledger } from './ledger.ts';

/** Rows that the server prefetches. */
const FETCH_SIZE = 1000;
/** Columns of `SHOW CONSTRAINTS` and `SHOW INDEXES` with the current status, as opposed to the definition. */
const PASSING_COLUMNS = new Set([
  'id',
  'populationPercent',
  'lastRead',
  'readCount',
  'trackedSince',
  'failureMessage',
]);

/** Reads every node, relationship, constraint and index, or those of one label. */
export async function readGraph(
  driver: Driver,
  ledger: Ledger,
  options: { database?: string | undefined; label?: string | undefined },
): Promise<void> {
  const label = options.label === undefined ? '' : `:\`${options.label.replaceAll('`', '``')}\``;
  const session = driver.session({
    fetchSize: FETCH_SIZE,
    defaultAccessMode: neo4j.session.READ,
    ...(options.database === undefined ? {} : { database: options.database }),
  });
  try {
    for await (const row of session.run(`MATCH (n${label}) RETURN n`)) {
      const node = row.get('n') as Node;
      await ledger.add({ part: 'nodes', key: nodeKey(node), fields: nodeFields(node) });
    }
    // Relationships have no name: they are identified by type and ends, and the ends by the keys of their nodes.
    const ends = (end: string) => `coalesce(${end}.id, ${end}.entity_id, ${end})`;
    const relationships = `MATCH (a${label})-[r]->(b${label}) RETURN r, ${ends('a')} AS a, ${ends('b')} AS b`;
    for await (const row of session.run(relationships)) {
      const relationship = row.get('r') as Relationship;
      await ledger.add({
        part: 'relationships',
        key: `${endKey(row.get('a'))} -${relationship.type}-> ${endKey(row.get('b'))}`,
        fields: properties(relationship.properties),
      });
    }
    for (const part of ['constraints', 'indexes'] as const) {
      for await (const row of session.run(`SHOW ${part.toUpperCase()} YIELD *`)) {
        const columns = row.toObject() as Record<string, unknown>;
        const labels = columns.labelsOrTypes;
        if (options.label !== undefined && !(Array.isArray(labels) && labels.includes(options.label)))
          continue;
        await ledger.add({ part, key: String(columns.name), fields: definition(columns) });
      }
    }
  } finally {
    await session.close();
  }
}

/** The key of a node is its `id` (`entity_id` in LightRAG); without one, its whole content. */
function nodeKey(node: Node): string {
  return endKey(node.properties.id ?? node.properties.entity_id ?? node);
}

function endKey(end: unknown): string {
  if (typeof end === 'string') return end;
  if (!isNode(end)) return canonical(end);
  return `(no id) ${digestOf(JSON.stringify(nodeFields(end)))}`;
}

function isNode(value: unknown): value is Node {
  return neo4j.isNode(value as object);
}

function nodeFields(node: Node): Record<string, string> {
  const labels = [...node.labels].sort().map((label) => [`label:${label}`, '']);
  return { ...Object.fromEntries(labels), ...properties(node.properties) };
}

function properties(values: Readonly<Record<string, unknown>>): Record<string, string> {
  const names = Object.keys(values).sort();
  return Object.fromEntries(names.map((name) => [`property:${name}`, digestOf(canonical(values[name]))]));
}

function definition(columns: Readonly<Record<string, unknown>>): Record<string, string> {
  const names = Object.keys(columns).filter((name) => !PASSING_COLUMNS.has(name));
  return Object.fromEntries(names.map((name) => [`definition:${name}`, digestOf(canonical(columns[name]))]));
}

/**
 * Text of a value that is unique for each type and value: it distinguishes the integer 1 from the float 1.0, 0.0 from
 * −0.0, a list of numbers from bytes, a date from its text.
 */
export function canonical(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return `boolean ${value}`;
  if (typeof value === 'string') return `string ${JSON.stringify(value)}`;
  if (typeof value === 'bigint') return `integer ${value}`;
  if (typeof value === 'number') return `float ${floatBits(value)}`;
  if (neo4j.isInt(value as object)) return `integer ${(value as Integer).toString()}`;
  if (Array.isArray(value)) return `list [${value.map(canonical).join(', ')}]`;
  if (ArrayBuffer.isView(value)) {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return `${value.constructor.name} ${bytes.toString('hex')}`;
  }
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const text = members.map(([name, member]) => `${JSON.stringify(name)}: ${canonical(member)}`);
  return `${value.constructor?.name ?? 'map'} {${text.join(', ')}}`;
}

/** The 64 bits of a float; all NaNs are one value, as in Neo4j. */
function floatBits(value: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return Number.isNaN(value) ? 'NaN' : bytes.toString('hex');
}
