/** Versions that applications record in SQLite databases, read while the databases are open. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { profileScopes } from '../../../shared/profiles/profiles.ts';
import { evidenceOf, markRequests } from '../../../shared/profiles/system-evidence.ts';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import { legContext, withStore } from '../memory-archive.ts';

const layout = { profile: 'cognee', parameters: {} };
let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-marks-'));
  file = join(folder, '.cognee_system/databases/cognee_db');
  await mkdir(dirname(file), { recursive: true });
});
afterEach(() => rm(folder, { recursive: true }));

async function found() {
  const scope = filesAdapter.Scope.parse(profileScopes('cognee', {}, 'files').kv);
  const marks = markRequests(layout, 'kv');
  const open = () => filesAdapter.create({ location: folder }, scope, { target: 'test', marks });
  return evidenceOf(layout, { kv: await withStore(open, (store) => store.probe(legContext())) });
}

test('a version that is only in the log of an open database is read; the database is unchanged', async () => {
  const database = new DatabaseSync(file);
  database.exec(
    `PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
     CREATE TABLE global_database_version (id INTEGER PRIMARY KEY, cognee_version TEXT);
     INSERT INTO global_database_version VALUES (1, '1.6.5');
     CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('f6b8d0a2c4e6')`,
  );
  try {
    expect(await found()).toEqual({
      version: '1.6.5',
      since: '1.2.0',
      marks: [
        { store: 'kv', kind: 'value', name: 'global_database_version.cognee_version', value: '1.6.5' },
        { store: 'kv', kind: 'value', name: 'alembic_version.version_num', value: 'f6b8d0a2c4e6' },
      ],
    });
    expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  } finally {
    database.close();
  }
});

test.each([
  ['no such table', 'CREATE TABLE users (id TEXT)'],
  ['a view in its place', "CREATE VIEW global_database_version AS SELECT '9.9' AS cognee_version"],
  ['no row', 'CREATE TABLE global_database_version (cognee_version TEXT)'],
  [
    'a number in its place',
    'CREATE TABLE global_database_version (cognee_version); INSERT INTO global_database_version VALUES (7)',
  ],
])('a database with %s reveals nothing', async (_, sql) => {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
  expect(await found()).toBeUndefined();
});

test.each([
  ['text', 'no database'],
  ['a damaged database', `SQLite format 3\0${'x'.repeat(5000)}`],
])('%s under that name reveals nothing and fails nothing', async (_, content) => {
  await writeFile(file, content);
  expect(await found()).toBeUndefined();
});
