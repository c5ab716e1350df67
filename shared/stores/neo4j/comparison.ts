import { z } from 'zod';
import type { EntryReader } from '../../archive/format/types.ts';
import type { Json } from '../../core/json.ts';
import type {
  ComparedRecord,
  ComparisonBasis,
  ComparisonSubject,
  ContentPiece,
  ReaderStart,
  RecordComparison,
  RecordReader,
} from '../comparison/record-reader.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import { relationshipName } from './compare.ts';
import type { Neo4jScope } from './connection.ts';
import {
  DANGLING_PREFIX,
  NODES_PREFIX,
  RELATIONSHIPS_PREFIX,
  readArchivedSchema,
  SCHEMA_ENTRY,
} from './entries.ts';
import {
  canonicalNode,
  type EndLine,
  type NodeLine,
  nodeText,
  parseNodeLine,
  parseRelationshipLine,
  placedRelationship,
  type RelationshipLine,
  relationshipText,
} from './lines.ts';
import { canonicalSchema, encodeSchema, parseSchemaLine, type SchemaRow } from './schema.ts';
import { scopeText } from './scope.ts';
import { uniqueRules } from './unique-values.ts';
import { encodeNamed, type Properties } from './values.ts';

/** How nodes and relationships are identified. */
const Rules = z.object({
  /** The key property of the scope, if it has one. */
  key: z.string().nullable(),
  /** True if nodes with different labels may have the same key. */
  labelled: z.boolean(),
  /** Without a key: uniqueness constraints of nodes, the first of which that applies to a node identifies it. */
  constraints: z.array(z.object({ name: z.string(), label: z.string(), properties: z.array(z.string()) })),
  /** True if a restore would not load the dangling relationships of the archive. */
  prunes: z.boolean(),
});
type Rules = z.infer<typeof Rules>;

/** Maximum number of constraints by which nodes are identified. */
const CONSTRAINTS_MAX = 1000;
/** Properties by which people look for a node, besides its key. */
const NAME_PROPERTIES = ['id', 'name', 'entity_id', 'entity_name', 'title'];

/**
 * Compares graphs record by record. Internal IDs differ between servers, so a node is identified by the key property of
 * its scope; without one, by a uniqueness constraint; without any, by its content. A relationship is identified by its
 * type and its ends, which have a key, or a digest.
 */
export const graphComparison: RecordComparison<Neo4jScope> = {
  prepare: prepareGraph,
  reader: (basis, start) => new GraphReader(Rules.parse(basis.rules), start),
};

async function prepareGraph({
  archives,
  scope,
  live,
}: ComparisonSubject<Neo4jScope>): Promise<ComparisonBasis> {
  const schemas = await Promise.all(archives.map(readArchivedSchema));
  const constraints = new Map<string, Rules['constraints'][number]>();
  for (const { name, entity, token, properties } of uniqueRules(schemas.flatMap((rows) => rows ?? []))) {
    if (entity !== 'NODE' || token === undefined || constraints.size >= CONSTRAINTS_MAX) continue;
    constraints.set(name, { name, label: token, properties: [...properties] });
  }
  const rules: Rules = {
    key: scope?.key_property ?? null,
    labelled: scope === undefined || scopeText(scope).isWholeDatabase,
    constraints: [...constraints.values()].sort((one, other) => (one.name < other.name ? -1 : 1)),
    prunes: live !== undefined && live.options.dangling !== 'stitch',
  };
  const reason = 'the archive has no schema, so a restore leaves the schema of the target as it is';
  const limitations: ComparisonBasis['limitations'] = schemas.includes(undefined)
    ? { schema: { by: 'counts', reason } }
    : {};
  return { rules, limitations };
}

class GraphReader implements RecordReader {
  readonly #rules: Rules;
  readonly #isLive: boolean;

  constructor(rules: Rules, { isLive }: ReaderStart) {
    this.#rules = rules;
    this.#isLive = isLive;
  }

  /** Records are lines: nothing is kept between entries. */
  save(): Json {
    return null;
  }

  async *read(piece: ContentPiece, _archive: EntryReader): AsyncGenerator<ComparedRecord> {
    const record = this.#recordOf(piece.name);
    if (!record) return;
    let line = 0;
    for await (const text of linesOf(piece.data, piece)) {
      yield parseNamed(text, record, piece, ++line);
    }
  }

  /** How the lines of an entry are read; undefined for entries that are not loaded. */
  #recordOf(entry: string): ((line: string) => ComparedRecord) | undefined {
    if (entry.startsWith(NODES_PREFIX)) return (line) => this.#node(parseNodeLine(line));
    if (entry.startsWith(RELATIONSHIPS_PREFIX)) {
      return (line) => this.#relationship('relationships', parseRelationshipLine(line));
    }
    if (entry.startsWith(DANGLING_PREFIX) && (this.#isLive || !this.#rules.prunes)) {
      return (line) => this.#relationship('dangling', parseRelationshipLine(line));
    }
    return entry === SCHEMA_ENTRY ? (line) => schemaRecord(parseSchemaLine(line)) : undefined;
  }

  #node(node: NodeLine): ComparedRecord {
    const { labels, properties } = node;
    const content = canonicalNode(node);
    const key = this.#keyOf(labels, properties) ?? this.#constraintOf(labels, properties);
    return {
      kind: 'nodes',
      identity: JSON.stringify(key === undefined ? ['node', content] : ['node', ...key]),
      content,
      name: () => nameOf(node, this.#rules),
      keys: () =>
        [...(this.#rules.key === null ? [] : [this.#rules.key]), ...NAME_PROPERTIES].flatMap((name) =>
          textOf(properties[name]),
        ),
      json: () => nodeText(node),
    };
  }

  #relationship(kind: string, line: RelationshipLine): ComparedRecord {
    const { type, properties, start, end } = line;
    return {
      kind,
      identity: JSON.stringify(['relationship', type, this.#endOf(start), this.#endOf(end)]),
      content: placedRelationship(type, properties, '', ''),
      name: () => relationshipName(line),
      keys: () => pairsOf(line),
      json: () => relationshipText(line),
    };
  }

  #endOf({ labels, properties, digest }: EndLine): readonly unknown[] {
    return this.#keyOf(labels, properties) ?? ['digest', digest ?? '', Object.values(properties).map(String)];
  }

  #keyOf(labels: readonly string[], properties: Properties): string[] | undefined {
    const { key, labelled } = this.#rules;
    if (key === null || !Object.hasOwn(properties, key)) return undefined;
    const { json, type = '' } = encodeNamed(key, properties[key]);
    return ['key', type, json, ...(labelled ? [...labels].sort() : [])];
  }

  #constraintOf(labels: readonly string[], properties: Properties): string[] | undefined {
    const rule = this.#rules.constraints.find(
      ({ label, properties: names }) =>
        labels.includes(label) && names.every((name) => Object.hasOwn(properties, name)),
    );
    if (!rule) return undefined;
    const values = rule.properties.flatMap((name) => {
      const { json, type = '' } = encodeNamed(name, properties[name]);
      return [type, json];
    });
    return ['constraint', rule.name, ...values];
  }
}

function schemaRecord(row: SchemaRow): ComparedRecord {
  return {
    kind: 'schema',
    identity: JSON.stringify(['schema', row.type, row.name]),
    content: canonicalSchema(row),
    name: () => `${row.type} "${row.name}"`,
    keys: () => [row.name],
    json: () => encodeSchema(row).line,
  };
}

/** The labels of a node and the value that identifies it, or its internal ID on the server where it was read. */
function nameOf({ id, labels, properties }: NodeLine, { key, constraints }: Rules): string {
  const names = [
    ...(key === null ? [] : [key]),
    ...constraints.filter(({ label }) => labels.includes(label)).flatMap((rule) => rule.properties),
    ...NAME_PROPERTIES,
  ];
  const [value] = names.flatMap((name) => textOf(properties[name]));
  const label = labels.length === 0 ? '' : `:${labels.join(':')} `;
  return `node ${label}${value === undefined ? `with internal ID ${id}` : JSON.stringify(value)}`;
}

/** A relationship is found by its ends: `A -> B`, and with its type: `A -[TYPE]-> B`. */
function pairsOf({ type, start, end }: RelationshipLine): string[] {
  const [from] = Object.values(start.properties).flatMap(textOf);
  const [to] = Object.values(end.properties).flatMap(textOf);
  return from === undefined || to === undefined ? [] : [`${from} -> ${to}`, `${from} -[${type}]-> ${to}`];
}

/** A value that people can type; none for lists and others. */
function textOf(value: unknown): string[] {
  return typeof value === 'string' || typeof value === 'bigint' ? [String(value)] : [];
}
