import { setImmediate as letOthersWork } from 'node:timers/promises';
import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { pulledSink } from '../../archive/read/pulled-sink.ts';
import { ANOTHER_ARCHIVE, InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import {
  type ContentCheck,
  type ContentFindings,
  type ContentOrigin,
  collectFields,
  type EntrySink,
} from '../content-check.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import { SavedTallies, TallyBook } from '../tally-book.ts';
import { type StoreWarning, WARNING_SAMPLES_MAX } from '../warning.ts';
import { Neo4jScope } from './connection.ts';
import {
  DANGLING_PREFIX,
  NODES_PREFIX,
  RELATIONSHIPS_PREFIX,
  readArchivedSchema,
  requireSchemaRows,
  SCHEMA_ENTRY,
  SLICE_RECORDS,
} from './entries.ts';
import { CONSTRAINT_BROKEN, RELATIONSHIPS_WITHOUT_ENDS } from './facts.ts';
import { IdSet } from './id-set.ts';
import {
  canonicalNode,
  canonicalRelationship,
  isOfEnds,
  parseNodeLine,
  parseRelationshipLine,
  type RelationshipLine,
  withEnds,
} from './lines.ts';
import {
  canonicalSchema,
  createStatement,
  isInPlaceOfOneOf,
  parseSchemaLine,
  type SchemaRow,
  schemaObstacle,
} from './schema.ts';
import type { ServerVersion } from './server.ts';
import { KEY_RULE, keyRule, SavedUniqueValues, UniqueValues, uniqueRules } from './unique-values.ts';

const SavedIds = z.object({ complete: z.boolean(), pages: z.record(z.string(), z.string()) });
const State = z.object({
  tallies: SavedTallies,
  nodes: SavedIds,
  ends: SavedIds,
  unique: SavedUniqueValues.optional(),
  problems: z.array(z.string()),
});

/** Maximum length of a name or key in messages, in characters. */
const NAME_CHARACTERS = 200;

/** Checks the entries of a graph: see {@link ContentCheck}. */
export function checkGraph(origin: ContentOrigin, from?: Json): ContentCheck {
  return new GraphCheck(origin, from);
}

/** The server that a graph was saved from; undefined if the archive does not state it. */
function serverOf(version: string | undefined, edition: string | undefined): ServerVersion | undefined {
  const [major, minor] = (version ?? '').split('.').map(Number);
  if (version === undefined || !Number.isInteger(major) || !Number.isInteger(minor)) return undefined;
  return { version, major: major ?? 0, minor: minor ?? 0, edition: edition ?? 'enterprise' };
}

function repeatedId(id: string): InvalidInputError {
  return new InvalidInputError(`the archive contains another node with the id ${id}`, {
    remedy: ANOTHER_ARCHIVE,
  });
}

class GraphCheck implements ContentCheck {
  readonly #server: ServerVersion | undefined;
  readonly #sum: TallyBook;
  /** IDs of nodes, and IDs referenced as relationship ends. */
  readonly #nodes: IdSet;
  readonly #ends: IdSet;
  readonly #problems: string[];
  readonly #origin: ContentOrigin;
  readonly #savedUnique: z.infer<typeof SavedUniqueValues> | undefined;
  #schema: Promise<readonly SchemaRow[]> | undefined;
  #unique: Promise<UniqueValues> | undefined;
  /** The result of `#unique`, once resolved. State is saved only after at least one line was read. */
  #uniqueValues: UniqueValues | undefined;

  constructor(origin: ContentOrigin, from: Json | undefined) {
    const state = from === undefined ? undefined : State.parse(from);
    this.#origin = origin;
    this.#server = serverOf(origin.version, origin.edition);
    this.#savedUnique = state?.unique;
    this.#sum = new TallyBook(state?.tallies);
    this.#nodes = new IdSet(state?.nodes);
    this.#ends = new IdSet(state?.ends);
    this.#problems = state?.problems ?? [];
  }

  open(entry: IndexEntry): EntrySink | undefined {
    const { name } = entry;
    const { fieldsOf = () => [] } = this.#origin;
    if (name.startsWith(NODES_PREFIX)) {
      const fields = fieldsOf('nodes');
      return this.#sink(entry, parseNodeLine, (node, unique) => {
        const { id, labels, properties } = node;
        // Relationships find their ends by these IDs: those of a second node would be ambiguous.
        if (!this.#nodes.add(id)) throw repeatedId(id);
        unique.add('NODE', labels, properties, ({ name, properties: [key = ''] }) =>
          name === KEY_RULE ? String(properties[key]).slice(0, NAME_CHARACTERS) : id,
        );
        this.#sum.add('nodes', canonicalNode(node));
        collectFields(fields, properties);
      });
    }
    if (name.startsWith(RELATIONSHIPS_PREFIX)) {
      const fields = fieldsOf('relationships');
      const hasEnds = fields.some(({ name: field }) => isOfEnds(field));
      return this.#sink(entry, parseRelationshipLine, (line, unique) => {
        unique.add('RELATIONSHIP', [line.type], line.properties, () => line.id);
        this.#ends.add(line.start.id);
        this.#ends.add(line.end.id);
        this.#add('relationships', line);
        collectFields(fields, hasEnds ? withEnds(line) : line.properties);
      });
    }
    if (name.startsWith(DANGLING_PREFIX)) {
      return this.#sink(entry, parseRelationshipLine, (line) => this.#add('dangling', line));
    }
    if (name !== SCHEMA_ENTRY) return undefined;
    let rows = 0;
    return this.#sink(entry, parseSchemaLine, (row) => {
      requireSchemaRows(++rows);
      this.#addSchema(row);
    });
  }

  #add(name: string, line: RelationshipLine): void {
    this.#sum.add(name, canonicalRelationship(line));
  }

  #addSchema(row: SchemaRow): void {
    this.#sum.add('schema', canonicalSchema(row));
    // Throws if a setting has a value that cannot be written into a statement.
    createStatement(row);
    const obstacle = this.#server && schemaObstacle(row, this.#server);
    if (obstacle !== undefined) {
      this.#problems.push(`the source server could not have it: ${obstacle}`);
    }
  }

  /** The constraints and indexes of the archive. Unreadable lines are reported when their own entry is checked. */
  #schemaRows(): Promise<readonly SchemaRow[]> {
    this.#schema ??= readArchivedSchema(this.#origin.archive).then(
      (rows) => rows ?? [],
      () => [],
    );
    return this.#schema;
  }

  /** The uniqueness rules: constraints are read before the first record, wherever they are in the archive. */
  async #readRules(): Promise<UniqueValues> {
    const { scope } = this.#origin;
    const rows = await this.#schemaRows();
    const { label, property, key_property: key } = Neo4jScope.safeParse(scope).data ?? {};
    const rules = uniqueRules(rows);
    const isStated = rules.some(
      ({ entity, token, properties }) =>
        entity === 'NODE' && token === label && properties.length === 1 && properties[0] === key,
    );
    // In a whole database, nodes of different kinds may share a key; those of a tenant, if their labels differ.
    const isScoped = label !== undefined || property !== undefined;
    if (isScoped && key !== undefined && !isStated) rules.push(keyRule(key, label === undefined));
    this.#uniqueValues = new UniqueValues(rules, this.#savedUnique);
    return this.#uniqueValues;
  }

  #sink<T>(
    entry: IndexEntry,
    parse: (line: string) => T,
    take: (record: T, unique: UniqueValues) => void,
  ): EntrySink {
    return pulledSink(async (content) => {
      this.#unique ??= this.#readRules();
      const unique = await this.#unique;
      let line = 0;
      for await (const text of linesOf(content, entry)) {
        if (++line % SLICE_RECORDS === 0) await letOthersWork();
        parseNamed(
          text,
          (whole) => {
            take(parse(whole), unique);
          },
          entry,
          line,
        );
      }
    });
  }

  save(): Json {
    const unique = this.#uniqueValues?.save() ?? this.#savedUnique;
    return {
      tallies: this.#sum.saved(),
      nodes: this.#nodes.save(),
      ends: this.#ends.save(),
      problems: this.#problems,
      ...(unique ? { unique } : {}),
    };
  }

  /** Reports the duplicates in this archive among values that must be unique. */
  #repeated(): StoreWarning[] {
    const warnings: StoreWarning[] = [];
    for (const { name } of this.#uniqueValues?.rules ?? []) {
      const found = this.#uniqueValues?.repeated(name);
      if (!found) continue;
      warnings.push({
        ...(name === KEY_RULE
          ? {
              code: 'nodes-with-equal-keys',
              text: 'Nodes have the same key as another node: while the backup was made, a node was deleted and created again or a key moved, and both nodes were read; or the key property does not tell nodes apart. A restore brings back all of them.',
            }
          : {
              code: CONSTRAINT_BROKEN,
              text: `Nodes or relationships have values that the constraint "${name.slice(0, NAME_CHARACTERS)}" allows only once, because they changed while the backup was made. They are named by their internal ids.`,
            }),
        count: found.count,
        samples: [...found.samples],
      });
    }
    if (
      this.#uniqueValues?.isComplete === false &&
      this.#uniqueValues.rules.some(({ name }) => name !== KEY_RULE)
    ) {
      warnings.push({
        code: 'uniqueness-not-checked',
        text: 'The graph has more values that should be unique than are held in memory, so it was not checked that the uniqueness constraints can be created again. All records were read, counted and digested.',
      });
    }
    return warnings;
  }

  /** Reports indexes that cannot be created beside a constraint of the archive. */
  async #displaced(): Promise<StoreWarning[]> {
    const rows = await this.#schemaRows();
    const names = rows.filter((row) => isInPlaceOfOneOf(rows, row)).map(({ name }) => name);
    if (names.length === 0) return [];
    return [
      {
        code: 'index-in-place-of-constraint',
        text: 'Indexes are on the same properties as a constraint that needs an index of its own, because the constraint was replaced while the backup was made. A restore leaves these indexes out.',
        count: names.length,
        samples: names.slice(0, WARNING_SAMPLES_MAX).map((name) => name.slice(0, NAME_CHARACTERS)),
      },
    ];
  }

  async end(): Promise<ContentFindings> {
    const { count, samples } = this.#ends.missingIn(this.#nodes, WARNING_SAMPLES_MAX);
    const warnings = [...this.#repeated(), ...(await this.#displaced())];
    if (this.#nodes.complete && count > 0) {
      warnings.push({
        code: RELATIONSHIPS_WITHOUT_ENDS,
        text: 'Relationships have ends that are not in the archive, because nodes were created or deleted while it was made. A restore leaves these relationships out. The nodes are named by their internal ids.',
        count,
        samples,
      });
    }
    if (!this.#nodes.complete || !this.#ends.complete) {
      warnings.push({
        code: 'ends-not-checked',
        text: 'The internal ids of the graph are spread too far to be held in memory, so it was not checked that both ends of every relationship are in the archive. All records were read, counted and digested.',
      });
    }
    return { tallies: this.#sum.tallies(), problems: this.#problems, warnings };
  }
}
