import { Redis } from 'ioredis';
import type { EntryReader } from '../../../shared/archive/format/types.ts';
import { addTallies, type Tallies } from '../../../shared/core/digest.ts';
import type { Cursor, LegContext, LegResult } from '../../../shared/stores/leg.ts';
import { RedisStore } from '../../../shared/stores/redis/adapter.ts';
import type { Limits } from '../../../shared/stores/redis/keys.ts';
import { RedisScope } from '../../../shared/stores/redis/scope.ts';
import type { LoadOptions, VerifyResult } from '../../../shared/stores/restore-leg.ts';
import type { Store } from '../../../shared/stores/store.ts';
import { servers } from '../../servers.ts';
import { MemoryArchive } from '../memory-archive.ts';

/** The server of the tests. Every test has a unique prefix. */
const { url, password } = servers.redis;
export const REDIS_URL = Object.assign(new URL(url), { password }).toString();

export const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'overwrite' };

/** A plain connection, for writing and reading test data. */
export function connect(url = REDIS_URL): Redis {
  return new Redis(url, { protocol: 2, maxRetriesPerRequest: 1 });
}

let prefixes = 0;

/** A unique prefix. */
export function freshPrefix(): string {
  return `ngbak-test-${process.pid}-${Date.now()}-${prefixes++}:`;
}

/** Deletes everything under a prefix. */
export async function wipe(redis: Redis, prefix: string): Promise<void> {
  for await (const keys of redis.scanBufferStream({ match: `${prefix}*`, count: 1000 })) {
    if (keys.length > 0) await redis.unlink(...keys);
  }
}

const opened: RedisStore[] = [];

/** Closes every opened store, also after a failed test. */
export async function closeStores(): Promise<void> {
  for (const store of opened.splice(0)) await store.close();
}

export function openStore(scope: unknown, limits?: Limits, url = REDIS_URL, extra: object = {}): RedisStore {
  const { host, protocol, password, username } = new URL(url);
  const login = { ...(username ? { username } : {}), ...(password ? { password } : {}) };
  const store = new RedisStore(
    { url: `${protocol}//${host}`, ...login, ...extra },
    RedisScope.parse(scope),
    'test',
    limits,
  );
  opened.push(store);
  return store;
}

/** A context that never ends a leg by itself; `steps` ends it after a number of checks of the clock. */
export function legContext(steps = Number.POSITIVE_INFINITY): LegContext & { logged: string[] } {
  let left = steps;
  const logged: string[] = [];
  return {
    jobId: 'test',
    timeLeft: () => left--,
    signal: new AbortController().signal,
    progress: () => undefined,
    warn: () => undefined,
    log: (message) => {
      logged.push(message);
    },
    logged,
  };
}

/**
 * Exports everything; with `steps`, a leg ends after that number of steps, and its cursor is passed as JSON to the
 * next.
 */
export async function exportAll(
  open: () => Store,
  steps = Number.POSITIVE_INFINITY,
): Promise<{ archive: MemoryArchive; tallies: Tallies; legs: number }> {
  const archive = new MemoryArchive();
  let tallies: Tallies = {};
  let cursor: Cursor | null = null;
  let legs = 0;
  do {
    const store = open();
    legs++;
    let ended = true;
    let done = 0;
    const shard = { id: 'keys', params: {}, estimatedBytes: 0 };
    for await (const step of store.export(shard, cursor, legContext(steps))) {
      for (const piece of [step.piece, ...(step.companions ?? [])]) {
        await archive.add(piece);
      }
      tallies = addTallies(tallies, step.tallies);
      cursor = step.next;
      if (cursor !== null && JSON.stringify(cursor).length > 8192) throw new Error('the cursor is too long');
      if (cursor !== null && ++done >= steps) {
        ended = false;
        break;
      }
    }
    if (ended) cursor = null;
    cursor = JSON.parse(JSON.stringify(cursor)) as Cursor | null;
    await store.close();
  } while (cursor !== null);
  return { archive, tallies, legs };
}

/** Runs a step of a restore leg by leg. */
export async function runLegs<T extends LegResult>(
  step: (cursor: Cursor | null, context: LegContext) => Promise<T>,
  looks = Number.POSITIVE_INFINITY,
): Promise<T & { legs: number }> {
  let cursor: Cursor | null = null;
  let tallies: Tallies = {};
  let differences = 0;
  const samples: VerifyResult['samples'][number][] = [];
  for (let legs = 1; ; legs++) {
    const leg: T = await step(cursor, legContext(looks));
    tallies = addTallies(tallies, leg.tallies);
    if ('differences' in leg) {
      const verified = leg as unknown as VerifyResult;
      differences += verified.differences;
      samples.push(...verified.samples);
    }
    cursor = JSON.parse(JSON.stringify(leg.cursor)) as Cursor | null;
    if (cursor === null) return { ...leg, tallies, differences, samples, legs };
  }
}

/** Clears, loads, verifies and finishes, as a restore does. */
export async function restoreAll(
  store: Store,
  archive: EntryReader,
  options: LoadOptions = REPLACE,
  looks = Number.POSITIVE_INFINITY,
): Promise<{ loaded: Tallies; verified: VerifyResult }> {
  await runLegs((cursor, context) => store.clear({ archive, options, cursor, context }), looks);
  const loaded = await runLegs((cursor, context) => store.load({ archive, options, cursor, context }), looks);
  const verified = await runLegs(
    (cursor, context) => store.verify({ archive, options, cursor, context }),
    looks,
  );
  await runLegs((_cursor, context) => store.finish(context), looks);
  return { loaded: loaded.tallies, verified };
}
