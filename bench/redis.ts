/**
 * Export and load rates of Redis, compared with hand-written scripts, in one run on one machine:
 *
 *     REDIS_URL=redis://127.0.0.1:6379 node bench/redis.ts
 *
 * Uses and clears keys under `ngbak-bench:` in database 0. Prints a line of JSON for each size. Every round runs all
 * candidates in turn, and figures are those of the best round unless stated otherwise; there are more rounds if few
 * keys are exported, since the first dozens of milliseconds of a process are spent on compilation.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { redisAdapter } from '../shared/stores/redis/adapter.ts';
import { benchContext } from './leg-context.ts';
import { median } from './median.ts';

const ROUNDS_MIN = 3;
/** Minimum number of keys in all rounds of a size together. */
const KEYS_MIN = 250_000;
const PREFIX = 'ngbak-bench:';
const url = new URL(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379');
const run = promisify(execFile);

function openStore() {
  const connection = redisAdapter.Connection.parse({
    url: `${url.protocol}//${url.host}`,
    ...(url.password === '' ? {} : { password: url.password }),
  });
  return redisAdapter.create(connection, redisAdapter.Scope.parse({ prefix: PREFIX, separator: ':' }), {
    target: 'bench',
  });
}

async function exportAll(): Promise<{ seconds: number; keys: number; bytes: number }> {
  const store = openStore();
  // Not included in the figure: an exporter connects once.
  await store.finish(benchContext);
  const start = performance.now();
  let keys = 0;
  let bytes = 0;
  for await (const step of store.export({ id: 'keys', params: {}, estimatedBytes: 0 }, null, benchContext)) {
    for (const piece of [step.piece, ...(step.companions ?? [])])
      for await (const chunk of piece.data) bytes += chunk.length;
    for (const { count } of Object.values(step.tallies)) keys += count;
  }
  const seconds = (performance.now() - start) / 1000;
  await store.close();
  return { seconds, keys, bytes };
}

/** A simple script: SCAN, then type, value and TTL of each key in a pipeline; one JSON line per key. */
async function plainScript(redis: Redis): Promise<{ seconds: number; keys: number; bytes: number }> {
  const start = performance.now();
  let keys = 0;
  let bytes = 0;
  let cursor = '0';
  do {
    const [next, page] = await redis.scan(cursor, 'MATCH', `${PREFIX}*`, 'COUNT', 1000);
    cursor = next;
    const pipeline = redis.pipeline();
    for (const key of page) pipeline.type(key).get(key).pttl(key);
    const replies = (await pipeline.exec()) ?? [];
    for (const [index, key] of page.entries()) {
      const line = JSON.stringify({
        key,
        type: replies[index * 3]?.[1],
        value: replies[index * 3 + 1]?.[1],
        ttl: replies[index * 3 + 2]?.[1],
      });
      bytes += Buffer.byteLength(line);
      keys++;
    }
  } while (cursor !== '0');
  return { seconds: (performance.now() - start) / 1000, keys, bytes };
}

/** `redis-cli --rdb`: the whole server in its own format; undefined if redis-cli is not installed. */
async function rdbDump(): Promise<number | undefined> {
  const program = process.env.REDIS_CLI ?? 'redis-cli';
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-bench-'));
  try {
    const start = performance.now();
    const login = url.password === '' ? [] : ['-a', url.password];
    await run(program, ['-h', url.hostname, '-p', url.port, ...login, '--rdb', join(folder, 'dump.rdb')]);
    const seconds = (performance.now() - start) / 1000;
    return (await stat(join(folder, 'dump.rdb'))).size > 0 ? seconds : undefined;
  } catch (error) {
    console.error(
      `redis-cli --rdb was left out: ${error instanceof Error ? error.message.split('\n')[0] : error}`,
    );
    return undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Values like those of text_chunks: JSON of about `bytes` bytes. */
async function writeSample(redis: Redis, count: number, bytes: number): Promise<void> {
  await clearSample(redis);
  const content = 'A knowledge graph keeps what documents say, and where they say it. '
    .repeat(Math.ceil(bytes / 67))
    .slice(0, bytes);
  for (let start = 0; start < count; start += 5_000) {
    const pipeline = redis.pipeline();
    for (let number = start; number < Math.min(count, start + 5_000); number++) {
      const id = number.toString(16).padStart(32, '0');
      const value = JSON.stringify({
        tokens: 100,
        content: `${number} ${content}`,
        chunk_order_index: number,
        full_doc_id: `doc-${id}`,
      });
      pipeline.set(`${PREFIX}text_chunks:chunk-${id}`, value);
    }
    await pipeline.exec();
  }
}

async function clearSample(redis: Redis): Promise<void> {
  for await (const keys of redis.scanStream({ match: `${PREFIX}*`, count: 5000 }))
    if (keys.length > 0) await redis.unlink(...keys);
}

function best(values: readonly number[]): number {
  return Math.min(...values);
}

/** The first export of a process: its time, and the process's peak resident memory in bytes. */
async function firstOfProcess(): Promise<{ seconds: number; peakBytes: number }> {
  const { stdout } = await run(process.execPath, [fileURLToPath(import.meta.url), 'first'], {
    env: process.env,
  });
  return JSON.parse(stdout) as { seconds: number; peakBytes: number };
}

async function compare(redis: Redis, keys: number, bytes: number): Promise<Record<string, number>> {
  await writeSample(redis, keys, bytes);
  const ngbakSeconds: number[] = [];
  const plain: number[] = [];
  const rdb: number[] = [];
  let archiveBytes = 0;
  const rounds = Math.max(ROUNDS_MIN, Math.ceil(KEYS_MIN / keys));
  for (let round = 0; round < rounds; round++) {
    const exported = await exportAll();
    if (exported.keys !== keys) throw new Error(`exported ${exported.keys} of ${keys} keys`);
    archiveBytes = exported.bytes;
    ngbakSeconds.push(exported.seconds);
    plain.push((await plainScript(redis)).seconds);
    if (round >= ROUNDS_MIN) continue;
    const dumped = await rdbDump();
    if (dumped !== undefined) rdb.push(dumped);
  }
  const seconds = best(ngbakSeconds);
  const first = await firstOfProcess();
  return {
    keys,
    rounds,
    export_milliseconds: Math.round(seconds * 1000),
    export_milliseconds_median: Math.round(median(ngbakSeconds) * 1000),
    export_milliseconds_first_of_process: Math.round(first.seconds * 1000),
    export_keys_per_second: Math.round(keys / seconds),
    export_megabytes_per_second: Math.round(archiveBytes / seconds / 1e5) / 10,
    times_as_fast_as_plain_script: Math.round((best(plain) / seconds) * 100) / 100,
    ...(rdb.length > 0
      ? { times_as_fast_as_redis_cli_rdb: Math.round((best(rdb) / seconds) * 100) / 100 }
      : {}),
    peak_memory_mebibytes: Math.round(first.peakBytes / 1024 ** 2),
  };
}

if (process.argv[2] === 'first') {
  const { seconds } = await exportAll();
  // In KiB, as reported by Linux.
  console.log(JSON.stringify({ seconds, peakBytes: process.resourceUsage().maxRSS * 1024 }));
} else {
  const redis = new Redis(url.href, { protocol: 2 });
  try {
    for (const [keys, bytes] of [
      [2_000, 1_000],
      [10_000, 200],
      [10_000, 1_000],
      [200_000, 200],
    ] as const) {
      console.log(JSON.stringify({ value_bytes: bytes, ...(await compare(redis, keys, bytes)) }));
    }
  } finally {
    await clearSample(redis);
    await redis.quit();
  }
}
