/** Databases in one file with a log, saved while they are written: SQLite, and others by the names of their logs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { filesAdapter } from '../../../shared/stores/files/adapter.ts';
import type { StoreWarning } from '../../../shared/stores/warning.ts';
import { exportAll, legContext, MemoryArchive, restoreAll } from '../memory-archive.ts';

const OLD = new Date('2026-01-01T00:00:00Z');
const BACKUPS = 3;

let root: string;
let folder: string;
let writer: ChildProcess | undefined;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'ngbak-databases-'));
  folder = join(root, 'live');
  await mkdir(folder);
});
afterEach(async () => {
  if (writer && writer.exitCode === null && writer.signalCode === null) {
    const ended = once(writer, 'exit');
    writer.kill('SIGKILL');
    await ended;
  }
  writer = undefined;
  await rm(root, { recursive: true });
});

const open = (location = folder) =>
  filesAdapter.create({ location }, filesAdapter.Scope.parse({}), { target: 'test' });

async function startWriter(mode: string, pauseMs: number, rows: number): Promise<void> {
  const script = join(import.meta.dirname, 'sqlite-writer.ts');
  const args = ['--disable-warning=ExperimentalWarning', script, join(folder, 'history.db'), mode];
  writer = spawn(process.execPath, [...args, String(pauseMs), String(rows)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(writer.stdout ?? writer, 'data');
}

/** Saves the folder as it is now. */
async function save(): Promise<{ archive: MemoryArchive; warnings: StoreWarning[] }> {
  const warnings: StoreWarning[] = [];
  const archive = new MemoryArchive();
  const store = open();
  const context = legContext({ warn: (warning) => void warnings.push(warning) });
  const shard = { id: 'all', params: {}, estimatedBytes: 0 };
  for await (const step of store.export(shard, null, context)) {
    for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
  }
  await store.close();
  return { archive, warnings };
}

/** Restores an archive into a new folder. */
async function restored(archive: MemoryArchive): Promise<string> {
  const location = await mkdtemp(join(root, 'restored-'));
  expect((await restoreAll(() => open(location), archive)).differences).toBe(0);
  return join(location, 'history.db');
}

/** The number of the last transaction, after checking that every transaction is there completely or not at all. */
function checkHistory(path: string, rows: number): number {
  const database = new DatabaseSync(path);
  try {
    expect(database.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }]);
    const { number } = database.prepare('SELECT number FROM latest').get() as { number: number };
    const counts = database.prepare('SELECT number, count(*) AS rows FROM history GROUP BY number').all();
    expect(counts.map((count) => ({ ...count }))).toEqual(
      Array.from({ length: number }, (_, index) => ({ number: index + 1, rows })),
    );
    return number;
  } finally {
    database.close();
  }
}

describe('a SQLite database that is being written', () => {
  test.each([
    ['with a write-ahead log', 'WAL', 5, 3],
    ['with a rollback journal, in the middle of transactions', 'DELETE', 150, 400],
  ])('%s contains every transaction completely or not at all', async (_, mode, pauseMs, rows) => {
    await startWriter(mode, pauseMs, rows);
    let last = 0;
    for (let backup = 0; backup < BACKUPS; backup++) {
      const { archive, warnings } = await save();
      expect(warnings).toEqual([]);
      expect(archive.names().filter((name) => name.endsWith('-shm'))).toEqual([]);
      const number = checkHistory(await restored(archive), rows);
      expect(number).toBeGreaterThanOrEqual(last);
      last = number;
    }
    expect(last).toBeGreaterThan(0);
  });

  test('and is too large to be held in memory is read at the time of its log', async () => {
    const path = join(folder, 'history.db');
    const large = new DatabaseSync(path);
    large.exec('CREATE TABLE ballast (bytes BLOB)');
    large.prepare('INSERT INTO ballast VALUES (zeroblob(?))').run(9 * 1024 ** 2);
    large.close();
    await startWriter('WAL', 100, 3);
    const { archive, warnings } = await save();
    expect(warnings).toEqual([]);
    expect(archive.names()).toEqual(['kv/files/history.db-wal', 'kv/files/history.db']);
    expect(checkHistory(await restored(archive), 3)).toBeGreaterThan(0);
  });
});

describe('a SQLite database at rest', () => {
  const path = () => join(folder, 'history.db');

  /** A database whose last transaction is only in its log. */
  async function leaveLog(): Promise<void> {
    const database = new DatabaseSync(path());
    database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (x)');
    database.exec('PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (1)');
    const files = await Promise.all(
      ['history.db', 'history.db-wal', 'history.db-shm'].map(
        async (name) => [name, await readFile(join(folder, name))] as const,
      ),
    );
    database.close();
    for (const [name, content] of files) await writeFile(join(folder, name), content);
  }

  const values = (file: string) => {
    const database = new DatabaseSync(file);
    try {
      return database
        .prepare('SELECT x FROM t')
        .all()
        .map(({ x }) => x);
    } finally {
      database.close();
    }
  };

  test('is saved with its log, whatever "include" names, and without its shared memory', async () => {
    await leaveLog();
    const scope = filesAdapter.Scope.parse({ include: ['*.db'] });
    const { archive } = await exportAll(() =>
      filesAdapter.create({ location: folder }, scope, { target: 'test' }),
    );
    expect(archive.names()).toEqual(['kv/files/history.db-wal', 'kv/files/history.db']);
    expect(values(await restored(archive))).toEqual([1]);
  });

  test('is never combined with the log of another one by a restore', async () => {
    const database = new DatabaseSync(path());
    database.exec('CREATE TABLE t (x); INSERT INTO t VALUES (7)');
    database.close();
    const { archive } = await save();
    for (const options of [
      { mode: 'replace', onConflict: 'fail' },
      { mode: 'merge', onConflict: 'overwrite' },
    ] as const) {
      await rm(path());
      await leaveLog();
      expect((await restoreAll(() => open(), archive, { options })).differences).toBe(0);
      expect([await readdir(folder), values(path())]).toEqual([
        expect.not.arrayContaining(['history.db-wal']),
        [7],
      ]);
    }
    // A merge that keeps the database keeps its log as well, and adds none.
    await rm(path());
    await leaveLog();
    const withLog = await save();
    await rm(`${path()}-wal`);
    await restoreAll(() => open(), archive);
    await restoreAll(() => open(), withLog.archive, { options: { mode: 'merge', onConflict: 'keep' } });
    expect([await readdir(folder), values(path())]).toEqual([['history.db'], [7]]);
  });

  test('is saved with a warning if it is damaged', async () => {
    const database = new DatabaseSync(path());
    database.exec('CREATE TABLE t (x)');
    for (let row = 0; row < 200; row++) database.prepare('INSERT INTO t VALUES (?)').run('x'.repeat(100));
    database.close();
    const content = await readFile(path());
    content.fill(0xff, 4096, 6000);
    await writeFile(path(), content);
    await utimes(path(), OLD, OLD);
    const { archive, warnings } = await save();
    expect(warnings).toMatchObject([{ code: 'sqlite-damaged', samples: ['history.db'] }]);
    expect(archive.files.get('kv/files/history.db')).toEqual(content);
  });

  test('is saved without a check, and with a warning, if it is continued by another leg', async () => {
    const database = new DatabaseSync(path());
    database.exec('CREATE TABLE t (x)');
    database.close();
    // SQLite ignores bytes after the last page that it counts.
    await truncate(path(), 66 * 1024 ** 2);
    await utimes(path(), OLD, OLD);
    const warnings: StoreWarning[] = [];
    const context = legContext({ warn: (warning) => void warnings.push(warning) });
    const shard = { id: 'all', params: {}, estimatedBytes: 0 };
    let legs = 0;
    for (let cursor: unknown = null; legs === 0 || cursor !== null; legs++) {
      for await (const step of open().export(shard, cursor as null, context)) {
        for await (const chunk of step.piece.data) expect(chunk.length).toBeGreaterThan(0);
        cursor = step.next;
        break;
      }
    }
    expect(legs).toBe(2);
    expect(warnings).toMatchObject([{ code: 'sqlite-not-checked', samples: ['history.db'] }]);
  });
});

test('a database of another kind is saved after its log, and again if it changes meanwhile', async () => {
  const [graph, log] = [join(folder, 'graph.kuzu'), join(folder, 'graph.kuzu.wal')];
  await writeFile(graph, 'old');
  await writeFile(log, 'log of old');
  const store = open();
  const steps = store.export({ id: 'all', params: {}, estimatedBytes: 0 }, null, legContext());
  // The listing is older than the database.
  await writeFile(graph, 'new');
  await writeFile(log, 'log of new');
  const archive = new MemoryArchive();
  for await (const step of steps) {
    for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
  }
  expect([...archive.files].map(([name, content]) => [name, content.toString()])).toEqual([
    ['kv/files/graph.kuzu.wal', 'log of new'],
    ['kv/files/graph.kuzu', 'new'],
  ]);
});

test('a parquet file without its last bytes is waited for, and saved with a warning if they do not come', async () => {
  const path = join(folder, 'entities.parquet');
  await writeFile(path, 'PAR1 half');
  await utimes(path, OLD, OLD);
  // The change time of the file is now: it counts as still after a second.
  const finished = new Promise<void>((done) =>
    setTimeout(() => void writeFile(path, 'PAR1 complete PAR1').then(done), 1500),
  );
  const whole = await save();
  await finished;
  expect([whole.archive.text('kv/files/entities.parquet'), whole.warnings]).toEqual([
    'PAR1 complete PAR1',
    [],
  ]);
  await writeFile(path, 'PAR1 half');
  const cut = await save();
  expect(cut.archive.text('kv/files/entities.parquet')).toBe('PAR1 half');
  expect(cut.warnings).toMatchObject([{ code: 'parquet-unfinished', samples: ['entities.parquet'] }]);
});
