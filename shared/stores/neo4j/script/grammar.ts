import type { SchemaRow } from '../schema.ts';
import type { Properties } from '../values.ts';
import { Scanner } from './scanner.ts';
import type { Statement } from './statements.ts';
import { readProperties, readValue } from './values.ts';

/**
 * Label and property that the exporter adds to nodes without a unique key; it removes both at the end of its script.
 */
const IMPORT_LABEL = 'UNIQUE IMPORT LABEL';
const IMPORT_ID = 'UNIQUE IMPORT ID';
const IMPORT_CONSTRAINT = 'UNIQUE_IMPORT_NAME';
/** The name of {@link IMPORT_ID} in a row. */
const ROW_ID = '_id';
const NUMBER = /\d{1,9}/y;
const CONSTRAINT_RULE = /IS (UNIQUE|NODE KEY|RELATIONSHIP KEY|NOT NULL)/y;
const INDEX_KIND = /CREATE (RANGE|TEXT|POINT|FULLTEXT) INDEX/y;

/** How a script identifies a node: by labels and properties that no other node shares. */
export interface NodeKey {
  readonly labels: readonly string[];
  readonly properties: Properties;
  /** True if the exporter numbered the node because it has no unique key. */
  readonly isNumbered: boolean;
}

export interface ScriptNode {
  readonly key: NodeKey;
  readonly labels: readonly string[];
  readonly properties: Properties;
}

export interface ScriptRelationship {
  readonly start: NodeKey;
  readonly end: NodeKey;
  readonly type: string;
  readonly properties: Properties;
}

/** The content of a statement; scripts contain nothing else. */
export type Parsed =
  | { readonly kind: 'begin' | 'commit' | 'nothing' | 'numbered' | 'unnumbered' }
  | {
      readonly kind: 'schema';
      readonly row: Omit<SchemaRow, 'name' | 'config'> & {
        readonly name?: string;
        readonly config?: Properties;
      };
    }
  | { readonly kind: 'nodes'; readonly nodes: readonly ScriptNode[] }
  | { readonly kind: 'relationships'; readonly relationships: readonly ScriptRelationship[] };

/**
 * Parses one statement of a script that `apoc.export.cypher` wrote for Cypher Shell in batches (`UNWIND_BATCH`).
 * Nothing is ever executed; any other form is rejected with its line number. Throws InvalidInputError.
 */
export function parseStatement({ text, line }: Statement): Parsed {
  const scanner = new Scanner(text, line);
  const parsed = parse(scanner);
  scanner.end();
  return parsed;
}

function parse(scanner: Scanner): Parsed {
  if (scanner.has(':begin')) return { kind: 'begin' };
  if (scanner.has(':commit')) return { kind: 'commit' };
  if (scanner.has('UNWIND')) return parseRows(scanner);
  if (scanner.has('CREATE CONSTRAINT')) return parseConstraint(scanner);
  const kind = scanner.match(INDEX_KIND)?.[1];
  if (kind !== undefined) return parseIndex(scanner, kind as 'RANGE' | 'TEXT' | 'POINT' | 'FULLTEXT');
  if (scanner.has('CALL db.awaitIndexes(')) {
    if (!scanner.match(NUMBER)) throw scanner.refuse('a number of seconds');
    scanner.expect(')');
    return { kind: 'nothing' };
  }
  if (scanner.has('DROP CONSTRAINT')) {
    scanner.expect(IMPORT_CONSTRAINT);
    return { kind: 'unnumbered' };
  }
  if (scanner.has('MATCH')) {
    scanner.expect('(', 'n', ':', `\`${IMPORT_LABEL}\``, ')', 'WITH', 'n', 'LIMIT');
    if (!scanner.match(NUMBER)) throw scanner.refuse('a number of nodes');
    scanner.expect('REMOVE', `n:\`${IMPORT_LABEL}\``, 'REMOVE', `n.\`${IMPORT_ID}\``);
    return { kind: 'nothing' };
  }
  throw scanner.refuse('one of the statements of such scripts');
}

/** A row of a batch: values and {@link PropertyMap}s by name. */
type Row = ReadonlyMap<string, unknown>;

function parseRows(scanner: Scanner): Parsed {
  scanner.expect('[');
  const rows = scanner.list(']', () => readRow(scanner));
  scanner.expect('AS', 'row');
  if (scanner.has('CREATE')) return parseNodes(scanner, rows);
  return parseRelationships(scanner, rows);
}

/** Members of a row are values, except `properties`, `start` and `end` if they start with a brace. */
function readRow(scanner: Scanner): Row {
  scanner.expect('{');
  const members = scanner.list('}', (): [string, unknown] => {
    const name = scanner.name();
    scanner.expect(':');
    const isMap = name === 'properties' || name === 'start' || name === 'end';
    return [name, isMap ? (readMap(scanner) ?? readValue(scanner)) : readValue(scanner)];
  });
  const map = new Map(members);
  if (map.size < members.length) throw scanner.refuse('members of different names');
  return map;
}

/** Properties in braces within a row; a property value never has this form. */
class PropertyMap {
  readonly properties: Properties;

  constructor(properties: Properties) {
    this.properties = properties;
  }
}

const BRACE = /(?=\{)/y;

function readMap(scanner: Scanner): PropertyMap | undefined {
  return scanner.match(BRACE) ? new PropertyMap(readProperties(scanner)) : undefined;
}

function parseNodes(scanner: Scanner, rows: readonly Row[]): Parsed {
  scanner.expect('(', 'n');
  const pattern = readPattern(scanner, 'row.');
  scanner.expect(')', 'SET', 'n', '+=', 'row.properties');
  const others = scanner.has('SET n') ? scanner.labels() : [];
  const labels = [...(pattern.isNumbered ? [] : pattern.labels), ...others];
  const nodes = rows.map((members): ScriptNode => {
    const key = keyOf(scanner, pattern, members, ['properties']);
    const own = mapOf(scanner, members, 'properties');
    if (pattern.isNumbered) return { key, labels, properties: own };
    const taken = Object.keys(key.properties).find((name) => Object.hasOwn(own, name));
    if (taken !== undefined) throw scanner.refuse('each property once');
    return { key, labels, properties: { ...key.properties, ...own } };
  });
  return { kind: 'nodes', nodes };
}

function parseRelationships(scanner: Scanner, rows: readonly Row[]): Parsed {
  scanner.expect('MATCH', '(', 'start');
  const start = readPattern(scanner, 'row.start.');
  scanner.expect(')', 'MATCH', '(', 'end');
  const end = readPattern(scanner, 'row.end.');
  scanner.expect(')', 'CREATE', '(start)-[r:');
  const type = scanner.name();
  scanner.expect(']->(end)', 'SET', 'r', '+=', 'row.properties');
  const relationships = rows.map((members): ScriptRelationship => {
    if (members.size !== 3) throw scanner.refuse('a row of start, end and properties');
    const endOf = (name: 'start' | 'end', pattern: Pattern) =>
      keyOf(scanner, pattern, new Map(Object.entries(mapOf(scanner, members, name))), []);
    return {
      start: endOf('start', start),
      end: endOf('end', end),
      type,
      properties: mapOf(scanner, members, 'properties'),
    };
  });
  return { kind: 'relationships', relationships };
}

/** Labels and property names by which a statement finds or creates a node. */
interface Pattern {
  readonly labels: readonly string[];
  readonly keys: readonly string[];
  readonly isNumbered: boolean;
}

/** `:Label{key: row.key}`, with the values from the row. */
function readPattern(scanner: Scanner, row: string): Pattern {
  const labels = scanner.labels();
  const isNumbered = labels.length === 1 && labels[0] === IMPORT_LABEL;
  scanner.expect('{');
  const keys = scanner.list('}', () => {
    const name = scanner.name();
    scanner.expect(':', row);
    const member = scanner.name();
    if (member !== (isNumbered ? ROW_ID : name)) throw scanner.refuse('the member of the same name');
    if (isNumbered && name !== IMPORT_ID) throw scanner.refuse(`\`${IMPORT_ID}\``);
    return member;
  });
  if (keys.length === 0) throw scanner.refuse('a property that finds the node');
  return { labels, keys, isNumbered };
}

/** The key of a node in a row; the row must have the key, these members and no others. */
function keyOf(scanner: Scanner, pattern: Pattern, members: Row, others: readonly string[]): NodeKey {
  const values = pattern.keys.map((key): [string, unknown] => [key, members.get(key)]);
  const isComplete = values.every(
    ([, value]) => typeof value === 'string' || typeof value === 'bigint' || typeof value === 'number',
  );
  if (!isComplete || members.size !== pattern.keys.length + others.length) {
    throw scanner.refuse('rows that have what the statement finds nodes by');
  }
  const { labels, isNumbered } = pattern;
  return { labels, properties: Object.fromEntries(values), isNumbered };
}

function mapOf(scanner: Scanner, members: Row, name: string): Properties {
  const value = members.get(name);
  if (value instanceof PropertyMap) return value.properties;
  throw scanner.refuse(`rows with ${name}`);
}

/** `name FOR (node:Label) REQUIRE (node.a, node.b) IS UNIQUE` */
function parseConstraint(scanner: Scanner): Parsed {
  const name = scanner.name();
  scanner.expect('FOR');
  const isNode = scanner.has('(node');
  if (!isNode) scanner.expect('()-[rel');
  const tokens = scanner.labels();
  scanner.expect(isNode ? ')' : ']-()', 'REQUIRE', '(');
  const properties = scanner.list(')', () => readMember(scanner, isNode ? 'node.' : 'rel.'));
  const rule = scanner.match(CONSTRAINT_RULE)?.[1];
  if (rule === undefined || tokens.length !== 1 || properties.length === 0) {
    throw scanner.refuse('a constraint that the exporter knows');
  }
  if (name === IMPORT_CONSTRAINT) {
    if (tokens[0] !== IMPORT_LABEL || properties[0] !== IMPORT_ID)
      throw scanner.refuse(`\`${IMPORT_LABEL}\``);
    return { kind: 'numbered' };
  }
  const kind = {
    UNIQUE: isNode ? ('UNIQUENESS' as const) : ('RELATIONSHIP_UNIQUENESS' as const),
    'NODE KEY': 'NODE_KEY' as const,
    'RELATIONSHIP KEY': 'RELATIONSHIP_KEY' as const,
    'NOT NULL': isNode ? ('NODE_PROPERTY_EXISTENCE' as const) : ('RELATIONSHIP_PROPERTY_EXISTENCE' as const),
  }[rule];
  if (kind === undefined) throw scanner.refuse('a constraint that the exporter knows');
  const entity = isNode ? 'NODE' : 'RELATIONSHIP';
  return {
    kind: 'schema',
    row: { type: 'constraint', name, kind, entity, tokens, properties, propertyType: undefined },
  };
}

/** `FOR (n:Label) ON (n.a, n.b)`, or `name FOR (n:A|B) ON EACH [n.a,n.b]`; only full-text indexes keep their names. */
function parseIndex(scanner: Scanner, kind: 'RANGE' | 'TEXT' | 'POINT' | 'FULLTEXT'): Parsed {
  const isNamed = !scanner.has('FOR');
  const name = isNamed ? scanner.name() : undefined;
  if (isNamed) scanner.expect('FOR');
  const isNode = scanner.has('(n');
  if (!isNode) scanner.expect('()-[rel');
  scanner.expect(':');
  const tokens = [scanner.name()];
  while (scanner.has('|')) tokens.push(scanner.name());
  const isFulltext = kind === 'FULLTEXT';
  scanner.expect(isNode ? ')' : ']-()', 'ON', ...(isFulltext ? ['EACH', '['] : ['(']));
  const properties = scanner.list(isFulltext ? ']' : ')', () => readMember(scanner, isNode ? 'n.' : 'rel.'));
  if (properties.length === 0) throw scanner.refuse('a property');
  const config = readIndexConfig(scanner);
  return {
    kind: 'schema',
    row: {
      type: 'index',
      ...(config === undefined ? {} : { config }),
      ...(name === undefined ? {} : { name }),
      kind,
      entity: isNode ? 'NODE' : 'RELATIONSHIP',
      tokens,
      properties,
      propertyType: undefined,
    },
  };
}

/** `OPTIONS {indexConfig: {…}}`. The exporter omits settings, but they may have been added to a script by hand. */
function readIndexConfig(scanner: Scanner): Properties | undefined {
  if (!scanner.has('OPTIONS')) return undefined;
  scanner.expect('{', 'indexConfig', ':');
  const config = readProperties(scanner);
  scanner.expect('}');
  return config;
}

function readMember(scanner: Scanner, variable: string): string {
  scanner.expect(variable);
  return scanner.name();
}
