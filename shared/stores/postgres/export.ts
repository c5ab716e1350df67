import { createHash } from 'node:crypto';
import { z } from 'zod';
import { NgbakError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { LineSplitter } from '../../core/lines.ts';
import { LINE_BYTES_MAX } from '../entry-lines.ts';
import type { ExportStep } from '../export-step.ts';
import type { Cursor, LegContext } from '../leg.ts';
import { LineChunk } from '../line-chunk.ts';
import { listTables, readDefinitions, readSequences, rowsOf, savedTables } from './catalog.ts';
import { fieldsOf, textOf } from './copy-text.ts';
import {
  canonicalSequence,
  canonicalTable,
  columnList,
  lineOfTable,
  type TableDefinition,
} from './definition.ts';
import { quoteName, quoteText, rowsEntry, SEQUENCES_ENTRY, TABLES_ENTRY } from './names.ts';
import { SNAPSHOT } from './probe.ts';
import type { PostgresSite } from './site.ts';

/** Room in a buffer for the row that closes an entry, in bytes. */
const ROOM_BEYOND_FULL = 256 * 1024;
const CURSOR_BYTES_MAX = 8 * 1024;
/** Rows between two reports of progress. */
const PROGRESS_ROWS = 1000;

const ExportCursor = z.strictObject({
  /** Of the definitions of all tables: they must be the same in all legs. */
  definitions: z.string(),
  /** Positions of the saved tables among all tables of the scope. */
  saved: z.array(z.int().nonnegative()),
  /** Position of the table among the saved ones; that of the last one plus one for the sequences. */
  table: z.int().nonnegative(),
  /** Number of the next entry of the table. */
  entry: z.int().positive(),
  /** Primary key of the last archived row; null before the first row of the table. */
  after: z.array(z.string()).nullable(),
});
type ExportCursor = z.infer<typeof ExportCursor>;

/**
 * Streams definitions, rows and sequences. Everything that one leg reads is of one point in time; a leg that resumes
 * in another function continues behind the last archived primary key, at a later point in time.
 */
export async function* exportPostgres(
  { client, scope, limits }: PostgresSite,
  cursor: Cursor | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  client.obey(context.signal);
  await client.rows(`BEGIN ${SNAPSHOT}`);
  let isComplete = false;
  try {
    yield* exportSnapshot({ client, scope, limits }, cursor, context);
    await client.rows('COMMIT');
    isComplete = true;
  } finally {
    if (!isComplete) client.drop();
  }
}

async function* exportSnapshot(
  site: PostgresSite,
  cursor: Cursor | null,
  context: LegContext,
): AsyncGenerator<ExportStep> {
  const { client, scope, limits } = site;
  const { tables } = await listTables(client, scope);
  const all = await readDefinitions(client, scope, tables);
  const digest = createHash('sha256').update(all.map(canonicalTable).join('\n')).digest('hex');
  const chunk = new LineChunk(limits.entryBytes + ROOM_BEYOND_FULL);
  const start = async (): Promise<ExportCursor> => {
    const saved = await savedTables(client, scope, all);
    return { definitions: digest, saved, table: 0, entry: 1, after: null };
  };
  const from = cursor === null ? await start() : readCursor(cursor);
  if (from.definitions !== digest) {
    throw new NgbakError(`Tables of ${client.name} were created, altered or removed during the backup.`, {
      remedy: 'Start a new backup when no migration is running.',
    });
  }
  const definitions = from.saved.flatMap((at) => all[at] ?? []);
  if (cursor === null) {
    for (const table of definitions) {
      chunk.add({ line: lineOfTable(table), canonical: canonicalTable(table) });
    }
    if (chunk.count === 0) return;
    yield { piece: chunk.piece(TABLES_ENTRY), tallies: { tables: chunk.tally() }, next: from };
  }
  const rows = new RowsExport(site, chunk, context);
  for (const [index, table] of definitions.entries()) {
    if (index < from.table) continue;
    const place = index === from.table ? from : { ...from, entry: 1, after: null };
    yield* rows.table(table, { ...place, table: index });
  }
  const sequences = await readSequences(client, scope.schema, definitions);
  if (sequences.length === 0) return;
  chunk.clear();
  for (const state of sequences)
    chunk.add({ line: JSON.stringify(state), canonical: canonicalSequence(state) });
  yield { piece: chunk.piece(SEQUENCES_ENTRY), tallies: { sequences: chunk.tally() }, next: null };
}

function readCursor(cursor: Cursor): ExportCursor {
  return parseInput(ExportCursor, cursor, 'The cursor of the PostgreSQL export', 'Start a new backup.');
}

/** Exports the rows of tables, one after another. */
class RowsExport {
  readonly #site: PostgresSite;
  readonly #chunk: LineChunk;
  readonly #context: LegContext;
  #done: number;

  constructor(site: PostgresSite, chunk: LineChunk, context: LegContext) {
    this.#site = site;
    this.#chunk = chunk;
    this.#context = context;
    this.#done = context.doneBefore?.('rows') ?? 0;
  }

  async *table(table: TableDefinition, from: ExportCursor): AsyncGenerator<ExportStep> {
    const { client, limits } = this.#site;
    const chunk = this.#chunk;
    const rules = { bytesMax: LINE_BYTES_MAX, tooLong: () => this.#tooLong(table) };
    const splitter = new LineSplitter(rules);
    let { entry } = from;
    let last = '';
    const flush = (isEnd: boolean): ExportStep => ({
      piece: chunk.piece(rowsEntry(table.name, entry++)),
      tallies: { [`rows:${table.name}`]: chunk.tally() },
      next: isEnd
        ? { ...from, table: from.table + 1, entry: 1, after: null }
        : this.#next(table, { ...from, entry, after: keyOf(table, last) }),
    });
    chunk.clear();
    for await (const bytes of client.copyOut(this.#statement(table, from.after))) {
      this.#context.signal.throwIfAborted();
      for (const line of splitter.push(bytes)) {
        if (chunk.bytes >= limits.entryBytes) {
          yield flush(false);
          chunk.clear();
        }
        chunk.add({ line, canonical: line });
        last = line;
        if (++this.#done % PROGRESS_ROWS === 0) this.#context.progress('rows', this.#done);
      }
    }
    this.#context.progress('rows', this.#done);
    if (chunk.count > 0) yield flush(true);
  }

  #statement(table: TableDefinition, after: readonly string[] | null): string {
    const { scope } = this.#site;
    const rows = rowsOf(scope, table.name, after === null ? undefined : isAfter(table, after));
    const order = table.key.map(quoteName).join(', ');
    return `COPY (SELECT ${columnList(table)} FROM ${rows} ORDER BY ${order}) TO STDOUT`;
  }

  /** A cursor has to fit into the state of the workflow. */
  #next(table: TableDefinition, next: ExportCursor): ExportCursor {
    if (Buffer.byteLength(JSON.stringify(next)) <= CURSOR_BYTES_MAX) return next;
    throw new NgbakError(
      `${this.#site.client.name}: table "${table.name}" has a primary key of more than 7 KB.`,
      {
        remedy: 'Exclude the table by "exclude" in the scope, or shorten its keys.',
      },
    );
  }

  #tooLong({ name }: TableDefinition): NgbakError {
    return new NgbakError(
      `${this.#site.client.name}: table "${name}" has a row of more than ${LINE_BYTES_MAX} bytes.`,
      { remedy: 'Exclude the table by "exclude" in the scope, and save it otherwise.' },
    );
  }
}

/** The primary key of a row. */
export function keyOf(table: TableDefinition, line: string): string[] {
  const fields = fieldsOf(line);
  return keyPositions(table).map((position) => textOf(fields[position] ?? '\\N') ?? '');
}

function keyPositions({ columns, key }: TableDefinition): number[] {
  return key.map((name) => columns.findIndex((column) => column.name === name));
}

/** Literals of a primary key, of the types of its columns. */
export function keyLiterals(table: TableDefinition, key: readonly string[]): string {
  const types = keyPositions(table).map((position) => table.columns[position]?.type ?? 'text');
  return key.map((value, at) => `CAST(${quoteText(value)} AS ${types[at]})`).join(', ');
}

function isAfter(table: TableDefinition, key: readonly string[]): string {
  return `(${table.key.map(quoteName).join(', ')}) > (${keyLiterals(table, key)})`;
}
