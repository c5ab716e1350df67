import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Conformance, conformsToPort } from './conformance.ts';
import { sqliteAdapter } from './example/sqlite.ts';

conformsToPort('sqlite', async (): Promise<Conformance> => {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-example-'));
  const path = join(folder, 'documents.db');
  const database = new DatabaseSync(path);
  database.exec('CREATE TABLE documents (collection TEXT, id TEXT, body TEXT, PRIMARY KEY (collection, id))');
  database.exec("INSERT INTO documents VALUES ('of another target', 'doc-1', 'theirs')");
  const run = async (sql: string) => database.exec(sql);
  const put = (id: string, body: string) =>
    run(`INSERT OR REPLACE INTO documents VALUES ('mine', '${id}', '${body}')`);
  const empty = () => run("DELETE FROM documents WHERE collection = 'mine'");
  return {
    adapter: sqliteAdapter,
    open: () => sqliteAdapter.create({ path }, { collection: 'mine' }, { target: 'test' }),
    // Several entries.
    seed: async () => {
      await run('BEGIN');
      await empty();
      for (let number = 0; number < 1200; number++) await put(`doc-${number}`, `{"text": "ä\n${number}"}`);
      await run('COMMIT');
    },
    empty,
    change: async () => {
      await put('doc-1', 'changed');
      await put('new', '');
      await run("DELETE FROM documents WHERE collection = 'mine' AND id = 'doc-2'");
    },
    loseRecord: () => run("DELETE FROM documents WHERE collection = 'mine' AND id = 'doc-600'"),
    changeRecord: () => put('doc-600', 'changed'),
    // Behind the last one of the archive.
    addRecord: () => put('new', ''),
    leftovers: () => Promise.resolve([]),
    // Read without ngbak, so that the comparison is independent.
    content: async () =>
      JSON.stringify(database.prepare("SELECT * FROM documents WHERE collection = 'mine'").all()),
    merges: false,
    close: async () => {
      database.close();
      await rm(folder, { recursive: true });
    },
  };
});
