import { z } from 'zod';
import { damagedArchive } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import type {
  ComparedRecord,
  ComparisonBasis,
  ComparisonSubject,
  ContentPiece,
  Limitation,
  ReaderStart,
  RecordComparison,
  RecordReader,
} from '../comparison/record-reader.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import { fieldsOf, textOf } from './copy-text.ts';
import { canonicalSequence, canonicalTable, parseSequence, parseTable } from './definition.ts';
import { SEQUENCES_ENTRY, TABLES_ENTRY, tableOfEntry } from './names.ts';
import type { PostgresScope } from './scope.ts';
import { keepsTables } from './swap.ts';

const Rules = z.object({
  /** The column of the workspace, which many rows share: no row is found by it. */
  workspace: z.string().nullable(),
  /** Whether tables and sequences of the target stay as they are. */
  isShared: z.boolean(),
});
type Rules = z.infer<typeof Rules>;

/** Of each table that was read: the names of its columns, and the positions of its primary key among them. */
const Tables = z.array(z.tuple([z.string(), z.array(z.string()), z.array(z.int().nonnegative())]));

const SHARED: Limitation = {
  by: 'identities',
  reason: 'the restore keeps the definitions of existing tables, and never sets a sequence back',
};

/** Compares rows by table and primary key, as the text that PostgreSQL prints; tables and sequences by their names. */
export const tablesComparison: RecordComparison<PostgresScope> = {
  prepare: async ({ scope, live }: ComparisonSubject<PostgresScope>): Promise<ComparisonBasis> => {
    const isShared = live !== undefined && scope !== undefined && keepsTables(scope, live.options);
    const rules: Rules = { workspace: scope?.workspace?.column ?? null, isShared };
    const limitations: Record<string, Limitation> = isShared ? { tables: SHARED, sequences: SHARED } : {};
    return Promise.resolve({ rules, limitations });
  },
  reader: ({ rules }, start) => new TablesReader(Rules.parse(rules), start),
};

class TablesReader implements RecordReader {
  readonly #rules: Rules;
  readonly #tables: Map<string, { readonly columns: readonly string[]; readonly key: readonly number[] }>;

  constructor(rules: Rules, { from }: ReaderStart) {
    this.#rules = rules;
    const saved = from === undefined ? [] : Tables.parse(from);
    this.#tables = new Map(saved.map(([name, columns, key]) => [name, { columns, key }]));
  }

  save(): Json {
    return [...this.#tables].map(([name, { columns, key }]) => [name, [...columns], [...key]]);
  }

  async *read(piece: ContentPiece): AsyncGenerator<ComparedRecord> {
    const { name, data } = piece;
    const read = this.#recordOf(name);
    if (!read) return;
    let number = 0;
    for await (const line of linesOf(data, piece)) yield parseNamed(line, read, piece, ++number);
  }

  #recordOf(entry: string): ((line: string) => ComparedRecord) | undefined {
    if (entry === TABLES_ENTRY) return this.#table;
    if (entry === SEQUENCES_ENTRY) return this.#sequence;
    const table = tableOfEntry(entry);
    if (table === undefined) return undefined;
    const known = this.#tables.get(table);
    if (!known) throw damagedArchive(`${entry} has rows of a table that is not defined.`);
    return (line) => this.#row(table, known, line);
  }

  readonly #table = (line: string): ComparedRecord => {
    const table = parseTable(line);
    const columns = table.columns.map(({ name }) => name);
    this.#tables.set(table.name, { columns, key: table.key.map((name) => columns.indexOf(name)) });
    return {
      kind: 'tables',
      identity: JSON.stringify(['table', table.name]),
      content: this.#rules.isShared ? null : canonicalTable(table),
      name: () => `table ${table.name}`,
      keys: () => [table.name],
      json: () => line,
    };
  };

  readonly #sequence = (line: string): ComparedRecord => {
    const state = parseSequence(line);
    return {
      kind: 'sequences',
      identity: JSON.stringify(['sequence', state.table, state.sequence]),
      content: this.#rules.isShared ? null : canonicalSequence(state),
      name: () => `sequence ${state.sequence}`,
      keys: () => [state.sequence],
      json: () => line,
    };
  };

  #row(
    table: string,
    { columns, key }: { readonly columns: readonly string[]; readonly key: readonly number[] },
    line: string,
  ): ComparedRecord {
    const fields = fieldsOf(line);
    const value = (position: number) => textOf(fields[position] ?? '\\N');
    const values = key.map((position) => value(position) ?? '');
    return {
      kind: `rows:${table}`,
      identity: JSON.stringify(['row', table, ...values]),
      content: line,
      name: () => `table ${table}, row ${JSON.stringify(values)}`,
      keys: () =>
        key.flatMap((position, at) =>
          key.length > 1 && columns[position] === this.#rules.workspace ? [] : [values[at] ?? ''],
        ),
      json: () => JSON.stringify(Object.fromEntries(columns.map((name, at) => [name, value(at)]))),
    };
  }
}
