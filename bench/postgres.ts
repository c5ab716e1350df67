/**
 * Export and load rates of PostgreSQL, compared with plain `COPY` and with `pg_dump`, in one run on one machine:
 *
 *     POSTGRES_URL=postgresql://postgres@127.0.0.1:5432/postgres POSTGRES_PASSWORD=… node bench/postgres.ts
 *
 * Uses and removes the schema `bench_of_ngbak`, and needs pgvector. Prints one line of JSON. Every round runs all candidates in
 * turn; figures are those of the best round. `pg_dump` is left out unless it is installed (path in `PG_DUMP`). The rows are
 * chunks of text with a vector, as LightRAG stores them, without a vector index: PostgreSQL builds it alike for everyone.
 */
import { execFile } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import copyStreams from 'pg-copy-streams';
import type { EntryReader, IndexEntry } from '../shared/archive/format/types.ts';
import { postgresAdapter } from '../shared/stores/postgres/adapter.ts';
import { benchContext } from './leg-context.ts';

const ROUNDS = 7;
const ROWS = 20_000;
const DIMENSIONS = 384;
const SCHEMA = 'bench_of_ngbak';
const address = new URL(process.env.POSTGRES_URL ?? 'postgresql://postgres@127.0.0.1:5432/postgres');
const username = decodeURIComponent(address.username);
const password = decodeURIComponent(address.password) || (process.env.POSTGRES_PASSWORD ?? '');
const run = promisify(execFile);

/** Wall clock and CPU of this process, in seconds. */
interface Taken {
  readonly seconds: number;
  readonly cpu: number;
}

async function measure(work: () => Promise<void>): Promise<Taken> {
  const [start, before] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 };
}

function openStore() {
  const { host, pathname } = address;
  return postgresAdapter.create(
    postgresAdapter.Connection.parse({
      url: `postgresql://${host}${pathname}`,
      username,
      password,
      tls: false,
    }),
    postgresAdapter.Scope.parse({ schema: SCHEMA }),
    { target: 'bench' },
  );
}

/** The entries of an export, in memory. */
type Entries = Map<string, Buffer>;

async function exportAll(): Promise<Entries> {
  const store = openStore();
  const entries: Entries = new Map();
  try {
    for await (const { piece } of store.export(
      { id: 'all', params: {}, estimatedBytes: 0 },
      null,
      benchContext,
    )) {
      const chunks: Buffer[] = [];
      // Copied, because an exporter uses its buffer again.
      for await (const chunk of piece.data) chunks.push(Buffer.from(chunk));
      entries.set(piece.name, Buffer.concat(chunks));
    }
  } finally {
    await store.close();
  }
  return entries;
}

function archiveOf(entries: Entries): EntryReader {
  const all = [...entries].map(
    ([name, { length: size }]): IndexEntry => ({ name, size, sha256: '', offset: 0, length: 0 }),
  );
  return {
    async *entries(prefix) {
      yield* all.filter(({ name }) => name.startsWith(prefix));
    },
    find: async (name) => all.find((entry) => entry.name === name),
    async *open({ name }) {
      yield entries.get(name) ?? Buffer.alloc(0);
    },
  };
}

async function restoreAll(entries: Entries, phase: 'load' | 'verify'): Promise<void> {
  const store = openStore();
  const archive = archiveOf(entries);
  const options = { mode: 'replace', onConflict: 'fail' } as const;
  try {
    const leg = { archive, options, cursor: null, context: benchContext };
    if (phase === 'load') await store.load(leg);
    else if ((await store.verify(leg)).differences > 0) throw new Error('the load differs from the archive');
    await store.finish(benchContext);
  } finally {
    await store.close();
  }
}

/** The simplest script: one COPY of the table into memory. */
async function copyOut(client: pg.Client): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of client.query(copyStreams.to(`COPY ${SCHEMA}.chunks TO STDOUT`)))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The simplest load: one COPY into a new table, then its primary key. */
async function copyIn(client: pg.Client, rows: Buffer): Promise<void> {
  await client.query(
    `DROP TABLE IF EXISTS ${SCHEMA}.copied; CREATE TABLE ${SCHEMA}.copied (LIKE ${SCHEMA}.chunks)`,
  );
  const pieces = async function* () {
    for (let at = 0; at < rows.length; at += 65_536) yield rows.subarray(at, at + 65_536);
  };
  await pipeline(pieces(), client.query(copyStreams.from(`COPY ${SCHEMA}.copied FROM STDIN`)));
  await client.query(`ALTER TABLE ${SCHEMA}.copied ADD PRIMARY KEY (workspace, id)`);
  await client.query(`DROP TABLE ${SCHEMA}.copied`);
}

async function dump(): Promise<boolean> {
  const { hostname, port, pathname } = address;
  const place = ['-h', hostname, '-p', port || '5432', '-U', username, '-n', SCHEMA, '-f', '/dev/null'];
  try {
    const env = { ...process.env, PGPASSWORD: password };
    await run(process.env.PG_DUMP ?? 'pg_dump', [...place, pathname.slice(1)], { env });
    return true;
  } catch (error) {
    console.error(`pg_dump was left out: ${error instanceof Error ? error.message.split('\n')[0] : error}`);
    return false;
  }
}

async function plant(client: pg.Client): Promise<void> {
  await client.query(
    `CREATE EXTENSION IF NOT EXISTS vector; DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE; CREATE SCHEMA ${SCHEMA}`,
  );
  await client.query(
    `CREATE TABLE ${SCHEMA}.chunks (workspace varchar(255), id varchar(255), tokens int, content text, meta jsonb,
       content_vector vector(${DIMENSIONS}), created timestamp(0), PRIMARY KEY (workspace, id))`,
  );
  await client.query(
    `INSERT INTO ${SCHEMA}.chunks SELECT 'default', 'chunk-' || md5(n::text), 100 + n % 50,
       repeat('A knowledge graph keeps what documents say, and where they say it. ' || n || E'\\n', 10),
       jsonb_build_object('order', n, 'file', 'doc-' || n / 10),
       (SELECT array_agg(sin(n * 0.37 + d * 1.7)::real) FROM generate_series(1, ${DIMENSIONS}) d)::vector,
       '2026-01-01'::timestamp + n * interval '1 second' FROM generate_series(1, ${ROWS}) n`,
  );
  await client.query(`ANALYZE ${SCHEMA}.chunks; CHECKPOINT`);
}

function best(taken: readonly Taken[]): Taken {
  return {
    seconds: Math.min(...taken.map(({ seconds }) => seconds)),
    cpu: Math.min(...taken.map(({ cpu }) => cpu)),
  };
}

const rounded = (value: number) => Math.round(value * 100) / 100;

const client = new pg.Client({
  host: address.hostname,
  port: Number(address.port || 5432),
  database: address.pathname.slice(1),
  user: username,
  password,
});
await client.connect();
try {
  await plant(client);
  const taken: Record<'export' | 'copy' | 'dump' | 'load' | 'copied' | 'verify', Taken[]> = {
    ...{ export: [], copy: [], dump: [], load: [], copied: [], verify: [] },
  };
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let entries: Entries = new Map();
    let rows: Buffer = Buffer.alloc(0);
    taken.copy.push(
      await measure(async () => {
        rows = await copyOut(client);
      }),
    );
    taken.export.push(
      await measure(async () => {
        entries = await exportAll();
      }),
    );
    let isDumped = false;
    const dumped = await measure(async () => {
      isDumped = await dump();
    });
    if (isDumped) taken.dump.push(dumped);
    bytes = rows.length;
    taken.copied.push(await measure(() => copyIn(client, rows)));
    taken.load.push(await measure(() => restoreAll(entries, 'load')));
    taken.verify.push(await measure(() => restoreAll(entries, 'verify')));
  }
  const [exported, loaded] = [best(taken.export), best(taken.load)];
  console.log(
    JSON.stringify({
      rows: ROWS,
      megabytes: rounded(bytes / 1e6),
      export_seconds: rounded(exported.seconds),
      export_cpu_seconds: rounded(exported.cpu),
      export_megabytes_per_second: rounded(bytes / 1e6 / exported.seconds),
      export_times_as_fast_as_copy: rounded(best(taken.copy).seconds / exported.seconds),
      ...(taken.dump.length > 0
        ? { export_times_as_fast_as_pg_dump: rounded(best(taken.dump).seconds / exported.seconds) }
        : {}),
      load_seconds: rounded(loaded.seconds),
      load_cpu_seconds: rounded(loaded.cpu),
      load_times_as_fast_as_copy: rounded(best(taken.copied).seconds / loaded.seconds),
      verify_seconds: rounded(best(taken.verify).seconds),
      verify_cpu_seconds: rounded(best(taken.verify).cpu),
    }),
  );
} finally {
  await client.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
  await client.end();
}
