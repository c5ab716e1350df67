import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { z } from 'zod';
import { damagedArchive } from '../../../shared/core/errors.ts';
import { parseJson } from '../../../shared/core/input.ts';
import { BaseStore } from '../../../shared/stores/base-store.ts';
import { checkLines } from '../../../shared/stores/check-lines.ts';
import { defineAdapter } from '../../../shared/stores/define-adapter.ts';
import { linesOf } from '../../../shared/stores/entry-lines.ts';
import type { ExportStep, Shard, StoreProbe } from '../../../shared/stores/export-step.ts';
import { Findings } from '../../../shared/stores/findings.ts';
import { type Cursor, DONE, type LegContext, type LegResult } from '../../../shared/stores/leg.ts';
import { LineChunk } from '../../../shared/stores/line-chunk.ts';
import type { RestoreLeg, VerifyResult } from '../../../shared/stores/restore-leg.ts';
import { TallyBook } from '../../../shared/stores/tally-book.ts';

/** A record, as a line of an entry has it. */
const Document = z.strictObject({ id: z.string(), body: z.string() });
const lineOf = ({ id, body }: z.infer<typeof Document>) => JSON.stringify({ id, body });
const parseLine = (line: string) => parseJson(Document, line, 'The document');

/** Where a leg continues: the number of the next entry, and the id that the one before it ends with. */
const Position = z.strictObject({ entry: z.int().positive(), after: z.string() });
const positionOf = (cursor: Cursor | null) => Position.parse(cursor ?? { entry: 1, after: '' });
/** Most documents of an entry, and of a transaction. */
const PAGE = 500;

/** Documents in a table of SQLite. */
export const sqliteAdapter = defineAdapter({
  facts: { kind: 'sqlite', name: 'kv', tallies: [{ name: 'documents', records: { restored: 'all' } }] },
  /** The secret of the store in Secrets Manager. */
  Connection: z.strictObject({ path: z.string() }),
  /** Which part of the server belongs to the target. */
  Scope: z.strictObject({ collection: z.string() }),
  create: ({ path }, { collection }) => new SqliteStore(path, collection),
  overlaps: ({ scope: one }, { scope: other }) => one.collection === other.collection,
  check: checkLines((line) => ({ tally: 'documents', canonical: lineOf(parseLine(line)) })),
});

/** The lines of an archive, an entry at a time, each with the position behind it; then what is behind the last of them. */
async function* pagesOf({ archive, cursor, context }: RestoreLeg) {
  let { entry: number, after } = positionOf(cursor);
  let skipped = 1;
  for await (const entry of archive.entries('kv/')) {
    context.signal.throwIfAborted();
    if (skipped++ < number) continue;
    const lines = new Set<string>();
    for await (const line of linesOf(archive.open(entry), entry)) {
      const document = parseLine(line);
      if (lines.add(lineOf(document)).size > PAGE) throw damagedArchive(`${entry.name} is too large.`);
      after = document.id;
    }
    yield { lines, last: after, next: { entry: ++number, after } };
  }
  yield { lines: new Set<string>(), last: null, next: null };
}

class SqliteStore extends BaseStore {
  readonly #database: DatabaseSync;
  readonly #collection: string;

  constructor(path: string, collection: string) {
    super(sqliteAdapter);
    this.#database = new DatabaseSync(path, { open: false });
    this.#collection = collection;
  }

  /** Connects with the first call. */
  #sql(statement: string): StatementSync {
    if (!this.#database.isOpen) this.#database.open();
    return this.#database.prepare(statement);
  }

  override async close(): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
  }

  /** The documents behind an id, up to another one, in the order of their ids. */
  *#documents(after: string, last: string | null, most = -1) {
    const condition = 'collection = ? AND id > ? AND id <= coalesce(?, id)';
    const rows = this.#sql(`SELECT id, body FROM documents WHERE ${condition} ORDER BY id LIMIT ?`);
    for (const row of rows.iterate(this.#collection, after, last, most)) yield Document.parse(row);
  }

  /** A server with counters of its records and of changes tells this without reading them. */
  async probe({ signal }: LegContext): Promise<StoreProbe> {
    signal.throwIfAborted();
    const book = new TallyBook();
    for (const document of this.#documents('', null)) book.add('documents', lineOf(document));
    const { count = 0, digest = '' } = book.tallies().documents ?? {};
    const [counts, fence] = [{ documents: count }, { documents: digest }];
    return { kind: this.kind, version: '3', counts, fence, estimatedBytes: count * 1000, warnings: [] };
  }

  async *export(_shard: Shard, cursor: Cursor | null, { signal }: LegContext): AsyncGenerator<ExportStep> {
    const chunk = new LineChunk(1024 ** 2);
    let { entry, after } = positionOf(cursor);
    for (let page = [...this.#documents(after, null, PAGE)]; page.length > 0; ) {
      signal.throwIfAborted();
      chunk.clear();
      for (const document of page) chunk.add({ line: lineOf(document), canonical: lineOf(document) });
      after = page.at(-1)?.id ?? after;
      page = [...this.#documents(after, null, PAGE)];
      const piece = chunk.piece(`kv/documents-${String(entry++).padStart(5, '0')}.jsonl`);
      yield {
        piece,
        tallies: { documents: chunk.tally() },
        next: page.length === 0 ? null : { entry, after },
      };
    }
  }

  async clear({ context }: RestoreLeg): Promise<LegResult> {
    const page = 'SELECT rowid FROM documents WHERE collection = ? LIMIT ?';
    const remove = this.#sql(`DELETE FROM documents WHERE rowid IN (${page})`);
    while (remove.run(this.#collection, PAGE).changes > 0) {
      if (context.timeLeft() <= 0) return { ...DONE, cursor: {} };
    }
    return DONE;
  }

  async load(leg: RestoreLeg): Promise<LegResult> {
    const loaded = new TallyBook();
    const put = this.#sql('INSERT OR REPLACE INTO documents (collection, id, body) VALUES (?, ?, ?)');
    for await (const { lines, next } of pagesOf(leg)) {
      this.#sql('BEGIN').run();
      for (const { id, body } of [...lines].map(parseLine)) put.run(this.#collection, id, body);
      this.#sql('COMMIT').run();
      for (const line of lines) loaded.add('documents', line);
      if (next && leg.context.timeLeft() <= 0) return { cursor: next, tallies: loaded.tallies() };
    }
    return { cursor: null, tallies: loaded.tallies() };
  }

  async verify(leg: RestoreLeg): Promise<VerifyResult> {
    const findings = new Findings();
    let { after } = positionOf(leg.cursor);
    for await (const { lines, last, next } of pagesOf(leg)) {
      for (const document of this.#documents(after, last)) {
        if (lines.delete(lineOf(document))) findings.tallies.add('documents', lineOf(document));
        else findings.add(`document ${document.id}`, 'is not in the archive, or with other content');
      }
      for (const line of lines)
        findings.add(`document ${parseLine(line).id}`, 'is missing, or has other content');
      if (next && leg.context.timeLeft() <= 0) return findings.result(next);
      after = last ?? after;
    }
    return findings.result(null);
  }
}
