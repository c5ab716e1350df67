import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Larger databases are not checked, in bytes with their logs: the temporary folder of a function has 512 MB. */
export const CHECKED_BYTES_MAX = 128 * 1024 ** 2;
/** The first bytes of every SQLite database: https://sqlite.org/fileformat.html, section 1.3.1. */
const MAGIC = 'SQLite format 3\0';
/** Number of bytes that {@link isSqlite} needs. */
export const HEAD_BYTES = MAGIC.length;

/** Whether a file with these first bytes is a SQLite database. */
export function isSqlite(head: Uint8Array): boolean {
  return Buffer.from(head.subarray(0, HEAD_BYTES)).toString('latin1') === MAGIC;
}

/** `unknown` if this Node.js has no SQLite, or the database needs an extension. */
export type SqliteState = 'sound' | 'damaged' | 'unknown';

/** A temporary copy of a database and its logs, in which SQLite checks what has been read. */
export class SqliteCopy {
  readonly #folder: string;
  readonly #handles = new Map<string, FileHandle>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(): Promise<SqliteCopy> {
    return new SqliteCopy(await mkdtemp(join(tmpdir(), 'ngbak-sqlite-')));
  }

  /** @param suffix '' for the database, or that of a log */
  async append(suffix: string, chunk: Uint8Array): Promise<void> {
    let handle = this.#handles.get(suffix);
    if (!handle) {
      handle = await open(join(this.#folder, `copy${suffix}`), 'w');
      this.#handles.set(suffix, handle);
    }
    await handle.appendFile(chunk);
  }

  /** Applies the logs to the copy, and runs SQLite's integrity check. Call it once, after the last byte. */
  async check(): Promise<SqliteState> {
    await this.#close();
    const sqlite = process.getBuiltinModule('node:sqlite');
    if (sqlite === undefined) return 'unknown';
    try {
      const database = new sqlite.DatabaseSync(join(this.#folder, 'copy'));
      try {
        // Nothing in the schema of the database runs.
        database.exec('PRAGMA trusted_schema = OFF');
        const rows = database.prepare('PRAGMA integrity_check(1)').all();
        return rows.length === 1 && Object.values(rows[0] ?? {})[0] === 'ok' ? 'sound' : 'damaged';
      } finally {
        database.close();
      }
    } catch (error) {
      return error instanceof Error && /no such module/.test(error.message) ? 'unknown' : 'damaged';
    }
  }

  /**
   * Reads one value of the first row of each of these tables, as text; undefined if there is none, or if SQLite cannot
   * read the copy. Call it once, after the last byte.
   */
  async firstValues(
    wanted: readonly { readonly table: string; readonly column: string }[],
  ): Promise<(string | undefined)[]> {
    await this.#close();
    const sqlite = process.getBuiltinModule('node:sqlite');
    if (sqlite === undefined) return [];
    try {
      const database = new sqlite.DatabaseSync(join(this.#folder, 'copy'));
      try {
        // Nothing in the schema of the database runs.
        database.exec('PRAGMA trusted_schema = OFF');
        const columns = database.prepare(
          `SELECT 1 FROM sqlite_schema AS s, pragma_table_info(s.name) AS c WHERE s.type = 'table' AND s.name = ? AND c.name = ?`,
        );
        return wanted.map(({ table, column }) => {
          if (columns.get(table, column) === undefined) return undefined;
          const [value] = Object.values(
            database.prepare(`SELECT ${quote(column)} FROM ${quote(table)} LIMIT 1`).get() ?? {},
          );
          return typeof value === 'string' ? value : undefined;
        });
      } finally {
        database.close();
      }
    } catch {
      // A damaged copy is reported by the check of the export.
      return [];
    }
  }

  async #close(): Promise<void> {
    for (const handle of this.#handles.values()) await handle.close();
    this.#handles.clear();
  }

  async remove(): Promise<void> {
    await this.#close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
