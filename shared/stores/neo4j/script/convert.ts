import { createHash } from 'node:crypto';
import type { ConvertedScript } from '../../../archive/format/ngraf-023.ts';
import type { EntryPiece } from '../../../archive/format/types.ts';
import { type EncodedLine, LineChunk } from '../../line-chunk.ts';
import { TallyBook } from '../../tally-book.ts';
import {
  CHUNK_BYTES,
  CHUNK_ROOM_BYTES,
  canonicalNode,
  canonicalRelationship,
  type EndLine,
  nodeText,
  type RelationshipLine,
  relationshipText,
} from '../lines.ts';
import { encodeSchema, SCHEMA_ROWS_MAX, type SchemaRow } from '../schema.ts';
import type { Properties } from '../values.ts';
import {
  type NodeKey,
  type Parsed,
  parseStatement,
  type ScriptNode,
  type ScriptRelationship,
} from './grammar.ts';
import { refusedScript } from './scanner.ts';
import { readStatements } from './statements.ts';

/**
 * Maximum number of nodes in a script: their IDs are held in memory, about 100 bytes each. NGRAF-023 itself held whole
 * scripts in memory and sent each to the server as one parameter.
 */
const NODES_MAX = 2_000_000;

/** Kinds of indexes whose settings scripts omit. */
const WITHOUT_SETTINGS = ['FULLTEXT', 'POINT'];

/**
 * Converts a Cypher script written by `apoc.export.cypher` into graph entries, sequentially and in bounded memory: the
 * nodes and relationships that its statements would create, and the constraints and indexes of their label. No
 * statement is executed. Throws InvalidInputError with the line of anything that the exporter does not write, of a
 * duplicate node, or of a relationship whose ends do not exist.
 */
export async function* convertScript(
  script: AsyncIterable<Uint8Array>,
): AsyncGenerator<EntryPiece, ConvertedScript> {
  const conversion = new Conversion();
  let line = 1;
  for await (const statement of readStatements(script)) {
    line = statement.line;
    conversion.begin(statement.line);
    yield* conversion.add(parseStatement(statement));
  }
  return yield* conversion.end(line);
}

class Conversion {
  readonly #chunk = new LineChunk(CHUNK_ROOM_BYTES);
  readonly #book = new TallyBook();
  readonly #labelsById = new Map<string, readonly string[]>();
  readonly #schema: Extract<Parsed, { kind: 'schema' }>['row'][] = [];
  /** Types of the script's relationships. */
  readonly #types = new Set<string>();
  #stage: 'nodes' | 'relationships' = 'nodes';
  /** Number of the next entry of the stage. */
  #number = 1;
  #relationships = 0;
  #line = 1;
  #common: ReadonlySet<string> | undefined;
  #keyLabel: string | undefined;
  #keyProperty: string | undefined;
  #isInTransaction = false;
  #isNumbered = false;
  #hasNumbers = false;

  /** Sets the line number used in messages. */
  begin(line: number): void {
    this.#line = line;
  }

  *add(parsed: Parsed): Generator<EntryPiece> {
    if (parsed.kind === 'begin' || parsed.kind === 'commit') {
      if (this.#isInTransaction === (parsed.kind === 'begin'))
        throw this.#refuse('expected the other of begin and commit');
      this.#isInTransaction = parsed.kind === 'begin';
    } else if (parsed.kind === 'numbered') {
      this.#isNumbered = true;
    } else if (parsed.kind === 'unnumbered') {
      this.#isNumbered = false;
    } else if (parsed.kind === 'schema') {
      if (this.#schema.length >= SCHEMA_ROWS_MAX)
        throw this.#refuse(`it has more than ${SCHEMA_ROWS_MAX} constraints and indexes`);
      this.#schema.push(parsed.row);
    } else if (parsed.kind === 'nodes') {
      if (this.#stage !== 'nodes') throw this.#refuse('nodes must precede the first relationship');
      for (const node of parsed.nodes) yield* this.#addNode(node);
    } else if (parsed.kind === 'relationships') {
      if (this.#stage === 'nodes') {
        yield* this.#close();
        this.#stage = 'relationships';
        this.#number = 1;
      }
      for (const relationship of parsed.relationships) yield* this.#addRelationship(relationship);
    }
  }

  *end(line: number): Generator<EntryPiece, ConvertedScript> {
    this.#line = line;
    if (this.#isInTransaction) throw this.#refuse('a commit must precede the end of the file');
    if (this.#isNumbered) throw this.#refuse('it ends early: its auxiliary data is not removed');
    if (this.#labelsById.size === 0) throw this.#refuse('it creates no nodes');
    yield* this.#close();
    const label = this.#label();
    const rows = this.#schema.filter(({ entity, tokens }) =>
      entity === 'NODE'
        ? label !== undefined && tokens.includes(label)
        : tokens.some((token) => this.#types.has(token)),
    );
    for (const row of rows) this.#take('schema', encodeSchema(named(row)));
    yield this.#chunk.piece('graph/schema.jsonl');
    this.#chunk.clear();
    return { scope: this.#scope(label), tallies: this.#book.tallies(), lacks: this.#lacks(rows) };
  }

  *#addNode({ key, labels, properties }: ScriptNode): Generator<EntryPiece> {
    const id = idOf(key);
    if (this.#labelsById.has(id)) throw this.#refuse('it creates a node twice');
    if (this.#labelsById.size >= NODES_MAX) throw this.#refuse(`it has more than ${NODES_MAX} nodes`);
    const known = this.#common === undefined ? new Set(labels) : this.#common;
    this.#common = new Set(labels.filter((label) => known.has(label)));
    if (key.isNumbered) this.#hasNumbers = true;
    else this.#noteKey(key);
    this.#labelsById.set(id, internLabels(labels));
    const node = { id, labels, properties };
    this.#take('nodes', { line: nodeText(node), canonical: canonicalNode(node) });
    if (this.#chunk.bytes >= CHUNK_BYTES) yield* this.#close();
  }

  *#addRelationship({ start, end, type, properties }: ScriptRelationship): Generator<EntryPiece> {
    this.#types.add(type);
    const line: RelationshipLine = {
      id: String(++this.#relationships),
      type,
      properties,
      start: this.#end(start),
      end: this.#end(end),
    };
    this.#take('relationships', { line: relationshipText(line), canonical: canonicalRelationship(line) });
    if (this.#chunk.bytes >= CHUNK_BYTES) yield* this.#close();
  }

  #end(key: NodeKey): EndLine {
    const id = idOf(key);
    const labels = this.#labelsById.get(id);
    if (!labels) throw this.#refuse('a relationship refers to a node that the script does not create');
    const isOne = !key.isNumbered && Object.keys(key.properties).length === 1;
    return { id, labels, properties: isOne ? key.properties : {}, digest: undefined };
  }

  /** Determines the single label and property by which nodes are found, if all nodes with their own key agree on it. */
  #noteKey({ labels, properties }: NodeKey): void {
    const [property, ...more] = Object.keys(properties);
    if (labels.length !== 1 || more.length > 0) return;
    this.#keyLabel ??= labels[0];
    this.#keyProperty ??= property;
  }

  #take(tally: string, encoded: EncodedLine): void {
    this.#chunk.add(encoded);
    this.#book.add(tally, encoded.canonical);
  }

  *#close(): Generator<EntryPiece> {
    if (this.#chunk.count === 0) return;
    yield this.#chunk.piece(`graph/${this.#stage}-${String(this.#number).padStart(5, '0')}.jsonl`);
    this.#chunk.clear();
    this.#number++;
  }

  /** The label of the knowledge base: the export was restricted to the nodes of one label. */
  #label(): string | undefined {
    const common = [...(this.#common ?? [])];
    if (this.#keyLabel !== undefined && common.includes(this.#keyLabel)) return this.#keyLabel;
    const named = common.filter((label) => label.startsWith('GraphRAG_'));
    const [only, ...more] = named.length > 0 ? named : common;
    return more.length === 0 ? only : undefined;
  }

  /** As a `Neo4jScope`: the label, and the property that identifies each of its nodes. */
  #scope(label: string | undefined): ConvertedScript['scope'] {
    if (label === undefined) return undefined;
    const key = label === this.#keyLabel && !this.#hasNumbers ? this.#keyProperty : undefined;
    return key === undefined ? { label } : { label, key_property: key };
  }

  #lacks(rows: readonly { readonly kind: string; readonly config?: Properties }[]): string[] {
    const left = this.#schema.length - rows.length;
    return [
      'of the graph: byte arrays, which its script writes as lists of integers, and vector indexes',
      ...(rows.some(({ kind, config }) => WITHOUT_SETTINGS.includes(kind) && config === undefined)
        ? [
            "the settings of full-text and point indexes, such as analyzers: a restore takes the server's defaults, as the script does",
          ]
        : []),
      ...(left === 0
        ? []
        : [
            `${left} of the script's constraints and indexes, which do not belong to its label or its relationships: create them manually`,
          ]),
    ];
  }

  #refuse(problem: string) {
    return refusedScript(this.#line, problem);
  }
}

/** An ID for a node, derived from its key in the script: 63 bits of a SHA-256. Duplicates are rejected. */
function idOf({ labels, properties, isNumbered }: NodeKey): string {
  const pairs = Object.entries(properties).map(([name, value]) => [name, typeof value, String(value)]);
  const text = JSON.stringify([isNumbered, [...labels].sort(), pairs.sort()]);
  return String(createHash('sha256').update(text).digest().readBigUInt64BE() >> 1n);
}

const CACHED_LABELS_MAX = 10_000;
const cachedLabels = new Map<string, readonly string[]>();

/** Returns the same array for equal labels: there are few label sets and many nodes. */
function internLabels(labels: readonly string[]): readonly string[] {
  const name = labels.join('\0');
  const cached = cachedLabels.get(name);
  if (cached) return cached;
  if (cachedLabels.size < CACHED_LABELS_MAX) cachedLabels.set(name, labels);
  return labels;
}

/** Adds a name to a row if the script has none. */
function named(row: Extract<Parsed, { kind: 'schema' }>['row']): SchemaRow {
  const { kind, entity, tokens, properties } = row;
  const hash = createHash('sha256')
    .update(JSON.stringify([kind, entity, tokens, properties]))
    .digest('hex');
  return { ...row, name: row.name ?? `index_${hash.slice(0, 8)}`, config: row.config ?? {} };
}
