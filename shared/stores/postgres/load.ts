import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { ANOTHER_ARCHIVE, damagedArchive, InvalidInputError, NgbakError } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { linesOf, parseNamed } from '../entry-lines.ts';
import { DONE, type LegContext, type LegResult } from '../leg.ts';
import type { RestoreLeg } from '../restore-leg.ts';
import { TallyBook } from '../tally-book.ts';
import { definitionsOf, sequencesOf } from './archive.ts';
import { listTables, withSearchPath } from './catalog.ts';
import type { PostgresClient } from './client.ts';
import { fieldsOf, rowProblem, textOf, withoutFields } from './copy-text.ts';
import {
  type Addition,
  additionsOf,
  canonicalSequence,
  canonicalTable,
  createTable,
  isComputed,
  type TableDefinition,
  writtenList,
} from './definition.ts';
import {
  qualified,
  quoteName,
  quoteText,
  ROWS_FOLDER,
  stagingSchema,
  tableOfEntry,
  UNITS_TABLE,
} from './names.ts';
import { runLong } from './run-long.ts';
import { type PostgresScope, tableFilter } from './scope.ts';
import type { PostgresSite } from './site.ts';
import { isSwapped, keepsTables, type Staged, swap } from './swap.ts';

/** Bytes of rows that are sent at once. */
const SENT_BYTES = 64 * 1024;

/** Where a load continues: rows, then constraints and indexes, then the swap. */
const LoadCursor = z.strictObject({
  phase: z.enum(['rows', 'build', 'swap']),
  /** Number of finished entries, or of finished additions. */
  done: z.int().nonnegative(),
  /** How often the current addition, or the swap, was started. */
  tries: z.int().nonnegative(),
});
type LoadCursor = z.infer<typeof LoadCursor>;

/** Removes what an earlier attempt of this job left behind. The tables stay until the load replaces them. */
export async function clearPostgres({ client }: PostgresSite, { context }: RestoreLeg): Promise<LegResult> {
  client.obey(context.signal);
  await dropStaging(client, context);
  return DONE;
}

export async function dropStaging(client: PostgresClient, { jobId }: LegContext): Promise<void> {
  await client.rows(`DROP SCHEMA IF EXISTS ${quoteName(stagingSchema(jobId))} CASCADE`);
}

/**
 * Loads the archive into tables of a schema of its own, adds constraints and indexes there, and then replaces the
 * tables or rows of the scope in one transaction. Before that, the scope is not touched.
 */
export async function loadPostgres(site: PostgresSite, leg: RestoreLeg): Promise<LegResult> {
  const { client, scope } = site;
  const { archive, context } = leg;
  client.obey(context.signal);
  const cursor: LoadCursor =
    leg.cursor === null
      ? { phase: 'rows', done: 0, tries: 0 }
      : parseInput(LoadCursor, leg.cursor, 'The cursor of the PostgreSQL load', 'Start the restore again.');
  const tables = await definitionsOf(archive);
  const loaded = new TallyBook();
  if (leg.cursor === null) {
    requireInScope(scope, tables);
    await createStaging(client, tables, context);
    for (const table of tables) loaded.add('tables', canonicalTable(table));
    const next: LoadCursor = { phase: 'rows', done: 0, tries: 0 };
    if (context.timeLeft() <= 0) return { cursor: next, tallies: loaded.tallies() };
  }
  const load = new Load(site, leg, tables, loaded);
  const next = await load.continue(cursor);
  return { cursor: next, tallies: loaded.tallies() };
}

/** The rows of tables that are outside of the scope would replace those of others. */
function requireInScope(scope: PostgresScope, tables: readonly TableDefinition[]): void {
  const problem = outsideScope(scope, tables);
  if (problem !== undefined)
    throw new InvalidInputError(`The archive ${problem}.`, { remedy: ANOTHER_SCOPE });
}

const ANOTHER_SCOPE = 'Change the scope of the target in cdk.json, or restore into another target.';

/** Why tables of an archive do not fit into a scope. */
export function outsideScope(scope: PostgresScope, tables: readonly TableDefinition[]): string | undefined {
  const { workspace } = scope;
  const belongs = tableFilter(scope);
  for (const { name, columns } of tables) {
    if (!belongs(name)) return `has the table "${name}", which is not in the scope of the target`;
    if (workspace && !columns.some((column) => column.name === workspace.column)) {
      return `has the table "${name}" without the column "${workspace.column}"`;
    }
  }
  return undefined;
}

async function createStaging(
  client: PostgresClient,
  tables: readonly TableDefinition[],
  context: LegContext,
): Promise<void> {
  const schema = stagingSchema(context.jobId);
  await dropStaging(client, context);
  await client.transaction('', async () => {
    await client.rows(`CREATE SCHEMA ${quoteName(schema)}`);
    await client.rows(
      `COMMENT ON SCHEMA ${quoteName(schema)} IS ${quoteText(`A load of ngbak: job ${context.jobId}`)}`,
    );
    await client.rows(`CREATE TABLE ${qualified(schema, UNITS_TABLE)} (unit text PRIMARY KEY)`);
    // Types, operators and functions of definitions are those of PostgreSQL and of extensions, and no others.
    await withSearchPath(client, [], async () => {
      for (const table of tables)
        for (const statement of createTable(table, schema)) await client.rows(statement);
    });
  });
}

/** One leg of a load behind the creation of its tables. */
class Load {
  readonly #site: PostgresSite;
  readonly #leg: RestoreLeg;
  readonly #tables: ReadonlyMap<string, TableDefinition>;
  readonly #loaded: TallyBook;
  readonly #schema: string;

  constructor(site: PostgresSite, leg: RestoreLeg, tables: readonly TableDefinition[], loaded: TallyBook) {
    this.#site = site;
    this.#leg = leg;
    this.#tables = new Map(tables.map((table) => [table.name, table]));
    this.#loaded = loaded;
    this.#schema = stagingSchema(leg.context.jobId);
  }

  /** Returns where the next leg continues; null if everything is loaded. */
  async continue(from: LoadCursor): Promise<LoadCursor | null> {
    let cursor: LoadCursor | null = from;
    for (let isFirst = true; cursor !== null; isFirst = false) {
      this.#leg.context.signal.throwIfAborted();
      if (!isFirst && this.#leg.context.timeLeft() <= 0) return cursor;
      cursor = await this.#unit(cursor);
    }
    return null;
  }

  #unit(cursor: LoadCursor): Promise<LoadCursor | null> {
    if (cursor.phase === 'rows') return this.#rows(cursor);
    return cursor.phase === 'build' ? this.#build(cursor) : this.#swap(cursor);
  }

  /** Loads entries until the time is up. The entries before the first one are only listed. */
  async #rows({ done }: LoadCursor): Promise<LoadCursor> {
    const { archive, context } = this.#leg;
    let number = 0;
    for await (const entry of archive.entries(ROWS_FOLDER)) {
      if (number++ < done) continue;
      await this.#entry(entry);
      if (context.timeLeft() <= 0) return { phase: 'rows', done: number, tries: 0 };
    }
    return { phase: 'build', done: 0, tries: 0 };
  }

  /** Loads an entry once, however often its leg is repeated. */
  async #entry(entry: IndexEntry): Promise<void> {
    const { client } = this.#site;
    const table = this.#tables.get(tableOfEntry(entry.name) ?? '');
    if (!table) throw damagedArchive(`${entry.name} has rows of a table that is not defined.`);
    await client.transaction('', async () => {
      const [unit] = await client.rows(
        `INSERT INTO ${qualified(this.#schema, UNITS_TABLE)} VALUES ($1) ON CONFLICT DO NOTHING RETURNING unit`,
        [entry.name],
      );
      const content = this.#content(table, entry);
      const into = `COPY ${qualified(this.#schema, table.name)} (${writtenList(table)}) FROM STDIN`;
      if (unit) await client.copyIn(into, content);
      else for await (const _ of content);
    });
  }

  /** The rows of an entry as they are written, and counts them. */
  async *#content(table: TableDefinition, entry: IndexEntry): AsyncGenerator<Buffer> {
    const { archive, context } = this.#leg;
    const computed = new Set(table.columns.flatMap((column, at) => (isComputed(column) ? [at] : [])));
    const check = this.#rowCheck(table);
    let number = 0;
    let lines: string[] = [];
    let size = 0;
    const count = (line: string): string => {
      check(line);
      this.#loaded.add(`rows:${table.name}`, line);
      return computed.size === 0 ? line : withoutFields(line, computed);
    };
    for await (const line of linesOf(archive.open(entry), entry)) {
      const row = parseNamed(line, count, entry, ++number);
      lines.push(row);
      size += row.length;
      if (size < SENT_BYTES) continue;
      yield Buffer.from(`${lines.join('\n')}\n`);
      [lines, size] = [[], 0];
    }
    if (lines.length > 0) yield Buffer.from(`${lines.join('\n')}\n`);
    context.progress('rows', (context.doneBefore?.('rows') ?? 0) + this.#loaded.count);
  }

  /** Throws InvalidInputError for a line that is not a row of the table, or not one of the scope. */
  #rowCheck({ columns, name }: TableDefinition): (line: string) => void {
    const { workspace } = this.#site.scope;
    const position = columns.findIndex((column) => column.name === workspace?.column);
    const allowed = new Set(workspace?.in);
    return (line) => {
      const problem = rowProblem(line, columns.length);
      if (problem !== undefined)
        throw new InvalidInputError(`The row ${problem}.`, { remedy: ANOTHER_ARCHIVE });
      if (!workspace) return;
      if (allowed.has(textOf(fieldsOf(line)[position] ?? '\\N') ?? '')) return;
      throw new InvalidInputError(`Table "${name}" has a row of another "${workspace.column}".`, {
        remedy: ANOTHER_SCOPE,
      });
    };
  }

  /** Adds one constraint or index. */
  async #build({ done, tries }: LoadCursor): Promise<LoadCursor> {
    const { client } = this.#site;
    const { whole } = await this.#staged();
    const additions = additionsOf(whole, this.#schema);
    const addition = additions[done];
    this.#leg.context.progress('constraints and indexes', done, additions.length);
    if (!addition) return { phase: 'swap', done: 0, tries: 0 };
    const isDone = () => hasAddition(client, this.#schema, addition);
    const state = await withSearchPath(client, [], () =>
      runLong(client, this.#schema, [addition.statement], isDone, this.#leg.context),
    );
    if (state === 'done') return { phase: 'build', done: done + 1, tries: 0 };
    return {
      phase: 'build',
      done,
      tries: this.#again(tries, state, `"${addition.name}" of table "${addition.table}"`),
    };
  }

  async #swap({ tries }: LoadCursor): Promise<LoadCursor | null> {
    const { client, scope } = this.#site;
    const { archive, context, options } = this.#leg;
    const sequences = await sequencesOf(archive);
    const isDone = () => isSwapped(client, this.#schema);
    const statements = (await isDone())
      ? []
      : await swap(client, scope, {
          staged: await this.#staged(),
          sequences,
          options,
          staging: this.#schema,
        });
    const state = await runLong(client, this.#schema, statements, isDone, context);
    if (state !== 'done') {
      return { phase: 'swap', done: 0, tries: this.#again(tries, state, 'the exchange of the tables') };
    }
    for (const sequence of sequences) this.#loaded.add('sequences', canonicalSequence(sequence));
    return null;
  }

  #again(tries: number, state: 'running' | 'ended', what: string): number {
    if (state === 'running') return tries;
    if (tries + 1 < TRIES_MAX) return tries + 1;
    throw new NgbakError(
      `${this.#site.client.name} ended ${what} ${TRIES_MAX} times before it was complete.`,
      {
        remedy: 'Read the log of the server; it may lack memory or disk space.',
      },
    );
  }

  /** All tables are replaced, or those that do not exist are created. */
  async #staged(): Promise<Staged> {
    const { client, scope } = this.#site;
    const tables = [...this.#tables.values()];
    if (!keepsTables(scope, this.#leg.options)) return { whole: tables, merged: [] };
    const existing = await listTables(client, scope);
    const names = new Set(existing.tables.map(({ name }) => name));
    return {
      whole: tables.filter(({ name }) => !names.has(name)),
      merged: tables.filter(({ name }) => names.has(name)),
    };
  }
}

/** How often an addition or the exchange is started. */
const TRIES_MAX = 3;

async function hasAddition(
  client: PostgresClient,
  schema: string,
  { table, name }: Addition,
): Promise<boolean> {
  const [found] = await client.rows(
    `SELECT 1 FROM pg_namespace n
     LEFT JOIN pg_class x ON x.relnamespace = n.oid AND x.relname = $3
     LEFT JOIN pg_index i ON i.indexrelid = x.oid AND i.indisvalid
     LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = $2
     LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.conname = $3
     WHERE n.nspname = $1 AND (i.indexrelid IS NOT NULL OR k.oid IS NOT NULL)`,
    [schema, table, name],
  );
  return found !== undefined;
}
