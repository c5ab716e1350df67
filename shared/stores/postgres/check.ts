import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { ANOTHER_ARCHIVE, damagedArchive, InvalidInputError } from '../../core/errors.ts';
import type { Json } from '../../core/json.ts';
import { LineSplitter } from '../../core/lines.ts';
import type {
  CollectedField,
  ContentCheck,
  ContentFindings,
  ContentOrigin,
  EntrySink,
} from '../content-check.ts';
import { entryLineRules, parseNamed } from '../entry-lines.ts';
import { SavedTallies, TallyBook } from '../tally-book.ts';
import { DEFINITIONS_BYTES_MAX } from './archive.ts';
import { TABLES_MAX } from './catalog.ts';
import { fieldsOf, rowProblem } from './copy-text.ts';
import { canonicalSequence, canonicalTable, parseSequence, parseTable } from './definition.ts';
import { SEQUENCES_ENTRY, TABLES_ENTRY, tableOfEntry } from './names.ts';
import { textReader } from './references.ts';

const SavedCheck = z.object({
  book: SavedTallies,
  /** Tables that were defined so far, with the number of their columns. */
  tables: z.array(z.tuple([z.string(), z.number()])),
});
/** The position of a check within an entry. */
const SavedSink = z.object({ rest: z.string(), line: z.number() });

/** Reads the texts of a field from the fields of a row, and adds them. */
interface Collector extends Pick<CollectedField, 'add'> {
  read(fields: readonly string[]): readonly string[];
}

/** Checks an archive's tables, rows and sequences as a load reads them. */
export class PostgresCheck implements ContentCheck {
  readonly #book: TallyBook;
  readonly #tables: Map<string, number>;
  readonly #fieldsOf: (table: string) => readonly CollectedField[];
  /** Of tables with fields that are collected. */
  readonly #collectors = new Map<string, readonly Collector[]>();

  constructor({ fieldsOf: collected = () => [] }: Pick<ContentOrigin, 'fieldsOf'>, from: Json | undefined) {
    this.#fieldsOf = collected;
    const { book, tables } = from === undefined ? { book: {}, tables: [] } : SavedCheck.parse(from);
    this.#book = new TallyBook(book);
    this.#tables = new Map(tables);
  }

  open(entry: IndexEntry, from?: Json): EntrySink | undefined {
    const take = this.#reader(entry);
    if (!take) return undefined;
    const saved = from === undefined ? { rest: '', line: 0 } : SavedSink.parse(from);
    const splitter = new LineSplitter(entryLineRules(entry), Buffer.from(saved.rest, 'base64'));
    let { line } = saved;
    const read = (lines: Iterable<string>): void => {
      for (const text of lines) parseNamed(text, take, entry, ++line);
    };
    return {
      write: (chunk) => read(splitter.push(chunk)),
      end: () => read(splitter.end()),
      abort: () => undefined,
      save: () => ({ rest: splitter.rest.toString('base64'), line }),
    };
  }

  #reader({ name, size }: IndexEntry): ((line: string) => void) | undefined {
    if (name === TABLES_ENTRY || name === SEQUENCES_ENTRY) {
      if (size > DEFINITIONS_BYTES_MAX) throw damagedArchive(`${name} is too large.`);
      return name === TABLES_ENTRY ? this.#table : this.#sequence;
    }
    const table = tableOfEntry(name);
    if (table === undefined) return undefined;
    const columns = this.#tables.get(table);
    if (columns === undefined) throw damagedArchive(`${name} has rows of a table that is not defined.`);
    const collectors = this.#collectors.get(table) ?? [];
    return (line) => {
      const problem = rowProblem(line, columns);
      if (problem !== undefined) {
        throw new InvalidInputError(`The row ${problem}.`, { remedy: ANOTHER_ARCHIVE });
      }
      this.#book.add(`rows:${table}`, line);
      if (collectors.length === 0) return;
      const fields = fieldsOf(line);
      for (const { read, add } of collectors) for (const text of read(fields)) add(text);
    };
  }

  readonly #table = (line: string): void => {
    const table = parseTable(line);
    const isKnown = table.key.every((name) => table.columns.some((column) => column.name === name));
    if (!isKnown || this.#tables.has(table.name) || this.#tables.size >= TABLES_MAX) {
      throw damagedArchive(`The definition of table "${table.name}" contradicts itself or others.`);
    }
    this.#tables.set(table.name, table.columns.length);
    const wanted = this.#fieldsOf(table.name);
    if (wanted.length > 0) {
      const collectors = wanted.map(({ name, add }) => ({ read: textReader(table, name), add }));
      this.#collectors.set(table.name, collectors);
    }
    this.#book.add('tables', canonicalTable(table));
  };

  readonly #sequence = (line: string): void => {
    const state = parseSequence(line);
    if (!this.#tables.has(state.table)) throw damagedArchive(`Table "${state.table}" is not defined.`);
    this.#book.add('sequences', canonicalSequence(state));
  };

  save(): Json {
    return { book: this.#book.saved(), tables: [...this.#tables].map(([name, columns]) => [name, columns]) };
  }

  async end(): Promise<ContentFindings> {
    return Promise.resolve({ tallies: this.#book.tallies(), problems: [], warnings: [] });
  }
}
