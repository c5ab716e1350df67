/**
 * Writes into a SQLite database until it is killed: `sqlite-writer.ts FILE MODE PAUSE_MS ROWS`. Each transaction adds rows
 * with the same number, and sets the number in another table; none of it is ever seen alone by a reader. Prints a line
 * after the first one.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , path = '', mode = '', pause = '', rows = ''] = process.argv;
const database = new DatabaseSync(path);
database.exec(`PRAGMA journal_mode = ${mode}; PRAGMA synchronous = OFF; PRAGMA cache_size = 10`);
// Checkpoints move the log into the database often.
database.exec('PRAGMA wal_autocheckpoint = 40');
database.exec('CREATE TABLE IF NOT EXISTS history (number INTEGER, text TEXT)');
database.exec('CREATE INDEX IF NOT EXISTS by_number ON history (number)');
database.exec('CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY, number INTEGER)');
const insert = database.prepare('INSERT INTO history VALUES (?, ?)');
const update = database.prepare(
  'INSERT INTO latest VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET number = excluded.number',
);
const { number: last = 0 } = (database.prepare('SELECT number FROM latest').get() ?? {}) as {
  number?: number;
};
for (let number = last + 1; ; number++) {
  database.exec('BEGIN');
  for (let row = 0; row < Number(rows); row++) insert.run(number, 'x'.repeat(200 + row));
  // With a small cache, pages are written before the transaction ends.
  if (mode === 'DELETE') await sleep(Number(pause));
  update.run(number);
  database.exec('COMMIT');
  if (number === last + 1) process.stdout.write('started\n');
  await sleep(Number(pause));
}
