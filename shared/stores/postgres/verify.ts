import { z } from 'zod';
import type { IndexEntry } from '../../archive/format/types.ts';
import { damagedArchive } from '../../core/errors.ts';
import { parseInput } from '../../core/input.ts';
import { readLines } from '../../core/lines.ts';
import { entryLineRules, linesOf } from '../entry-lines.ts';
import { Findings } from '../findings.ts';
import type { LoadOptions, RestoreLeg, VerifyResult } from '../restore-leg.ts';
import { definitionsOf, sequencesOf } from './archive.ts';
import { countRows, listTables, readDefinitions, readSequences, rowsOf } from './catalog.ts';
import { canonicalSequence, canonicalTable, columnList, type TableDefinition } from './definition.ts';
import { keyOf } from './export.ts';
import { ROWS_FOLDER, tableOfEntry } from './names.ts';
import { hasKeyOf, pagesOf } from './pages.ts';
import type { PostgresSite } from './site.ts';
import { columnProblem, keepsTables } from './swap.ts';

/** Characters of a key in a description. */
const KEY_SHOWN = 100;

const VerifyCursor = z.strictObject({
  /** Number of compared entries. */
  done: z.int().nonnegative(),
  /** Rows of the archive so far, in the order of the tables. */
  counts: z.array(z.int().nonnegative()),
});
type VerifyCursor = z.infer<typeof VerifyCursor>;

/**
 * Compares definitions, every row of the archive with the one of the same key, the number of rows of each table, and
 * the state of sequences.
 */
export async function verifyPostgres(site: PostgresSite, leg: RestoreLeg): Promise<VerifyResult> {
  const { client } = site;
  const { archive, context } = leg;
  client.obey(context.signal);
  const tables = await definitionsOf(archive);
  const findings = new Findings();
  let cursor: VerifyCursor =
    leg.cursor === null
      ? { done: 0, counts: tables.map(() => 0) }
      : parseInput(
          VerifyCursor,
          leg.cursor,
          'The cursor of the PostgreSQL verification',
          'Start the restore again.',
        );
  const verification = new Verification(site, tables, findings, leg.options);
  if (leg.cursor === null) await verification.definitions();
  const before = context.doneBefore?.('rows') ?? 0;
  let rows = 0;
  let number = 0;
  for await (const entry of archive.entries(ROWS_FOLDER)) {
    if (number++ < cursor.done) continue;
    context.signal.throwIfAborted();
    const { position, count } = await verification.entry(archive.open(entry), entry);
    const counts = cursor.counts.map((sum, at) => (at === position ? sum + count : sum));
    cursor = { done: number, counts };
    rows += count;
    context.progress('rows', before + rows);
    if (context.timeLeft() <= 0) return findings.result(cursor);
  }
  await verification.counts(cursor.counts);
  await verification.sequences(await sequencesOf(archive));
  return findings.result(null);
}

class Verification {
  readonly #site: PostgresSite;
  readonly #tables: readonly TableDefinition[];
  readonly #findings: Findings;
  /** Whether existing tables and sequences are those of others as well. */
  readonly #isShared: boolean;
  readonly #options: LoadOptions;

  constructor(
    site: PostgresSite,
    tables: readonly TableDefinition[],
    findings: Findings,
    options: LoadOptions,
  ) {
    this.#isShared = keepsTables(site.scope, options);
    this.#options = options;
    this.#site = site;
    this.#tables = tables;
    this.#findings = findings;
  }

  /**
   * Compares the definitions. Tables that keep rows of others keep theirs: their columns and keys have to be the same.
   */
  async definitions(): Promise<void> {
    const { client, scope } = this.#site;
    const { tables } = await listTables(client, scope);
    const present = await readDefinitions(client, scope, tables);
    for (const saved of this.#tables) {
      const now = present.find(({ name }) => name === saved.name);
      const problem = now ? differenceOf(saved, now, this.#isShared) : 'is missing';
      if (problem !== undefined) this.#findings.add(`table ${saved.name}`, problem);
      if (now) this.#findings.tallies.add('tables', canonicalTable(problem === undefined ? saved : now));
    }
    if (this.#isShared) return;
    for (const { name } of present) {
      const isSaved = this.#tables.some((saved) => saved.name === name);
      if (!isSaved) this.#findings.add(`table ${name}`, 'is not in the archive');
    }
  }

  /** Compares the rows of an entry, page by page. */
  async entry(
    content: AsyncIterable<Uint8Array>,
    entry: IndexEntry,
  ): Promise<{ position: number; count: number }> {
    const position = this.#tables.findIndex(({ name }) => name === tableOfEntry(entry.name));
    const table = this.#tables[position];
    if (!table) throw damagedArchive(`${entry.name} has rows of a table that is not defined.`);
    let count = 0;
    for await (const page of pagesOf(linesOf(content, entry), this.#site.limits)) {
      await this.#page(table, page);
      count += page.length;
    }
    return { position, count };
  }

  async #page(table: TableDefinition, page: readonly string[]): Promise<void> {
    const { client, scope } = this.#site;
    const expected = new Map(page.map((line) => [line, keyOf(table, line)]));
    const rows = rowsOf(scope, table.name, hasKeyOf(table, page));
    const sql = `COPY (SELECT ${columnList(table)} FROM ${rows}) TO STDOUT`;
    const changed = new Set<string>();
    for await (const line of readLines(
      client.copyOut(sql),
      entryLineRules({ name: `table ${table.name}` }),
    )) {
      const isSame = expected.delete(line);
      if (!isSame) changed.add(JSON.stringify(keyOf(table, line)));
      if (isSame || !this.#keeps) this.#findings.tallies.add(`rows:${table.name}`, line);
    }
    for (const key of expected.values()) {
      const text = JSON.stringify(key);
      // With `keep`, a row only has to exist.
      if (this.#keeps && changed.has(text)) continue;
      const problem = changed.has(text) ? 'has other content' : 'is missing';
      this.#findings.add(`table ${table.name}, row ${text.slice(0, KEY_SHOWN)}`, problem);
    }
  }

  get #keeps(): boolean {
    return this.#options.mode === 'merge' && this.#options.onConflict === 'keep';
  }

  /** All rows of the archive were looked up by their keys, so more rows than that are not in the archive. */
  async counts(counts: readonly number[]): Promise<void> {
    if (this.#options.mode === 'merge') return;
    const { client, scope } = this.#site;
    const { tables } = await listTables(client, scope);
    for (const { name } of tables) {
      const at = this.#tables.findIndex((table) => table.name === name);
      const extra = (await countRows(client, scope, name)) - (counts[at] ?? 0);
      if (extra > 0)
        this.#findings.add(`table ${name}`, `has ${extra} rows that are not in the archive`, extra);
    }
  }

  async sequences(saved: Awaited<ReturnType<typeof sequencesOf>>): Promise<void> {
    const { client, scope } = this.#site;
    const existing = new Set((await listTables(client, scope)).tables.map(({ name }) => name));
    const present = this.#tables.filter(({ name }) => existing.has(name));
    const states = await readSequences(client, scope.schema, present);
    for (const state of saved) {
      const now = states.find(({ table, sequence }) => table === state.table && sequence === state.sequence);
      const isSame = now && canonicalSequence(now) === canonicalSequence(state);
      // Sequences that others use as well are never set back.
      const isBeyond = now && this.#isShared && BigInt(now.last_value) >= BigInt(state.last_value);
      if (!isSame && !isBeyond) {
        this.#findings.add(`sequence ${state.sequence}`, now ? 'has another state' : 'is missing');
      }
      if (now) {
        this.#findings.tallies.add('sequences', canonicalSequence(isBeyond ? state : now));
      }
    }
  }
}

function differenceOf(saved: TableDefinition, now: TableDefinition, isShared: boolean): string | undefined {
  if (isShared) return columnProblem(saved, now);
  return canonicalTable(saved) === canonicalTable(now) ? undefined : 'is defined differently';
}
