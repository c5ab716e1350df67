import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import type { Driver } from 'neo4j-driver';
import { addTallies, type Tallies } from '../../../shared/core/digest.ts';
import { UnavailableError } from '../../../shared/core/errors.ts';
import type { Cursor, LegResult } from '../../../shared/stores/leg.ts';
import type { LoadOptions } from '../../../shared/stores/restore-leg.ts';
import { until } from '../../support/until.ts';
import { exportAll, legContext, MemoryArchive, withStore } from '../memory-archive.ts';
import { graphLeftovers, openGraph, plainDriver, run } from './graph.ts';
import { OwnNeo4j } from './own-server.ts';

const REPLACE: LoadOptions = { mode: 'replace', onConflict: 'fail' };

// A deadline for hangs: the server starts several times.

let server: OwnNeo4j;
let driver: Driver;
const open = () => openGraph(server.address, { label: 'Fault', key_property: 'id' })();

beforeAll(async () => {
  server = await OwnNeo4j.start();
  driver = plainDriver(server.address);
});
beforeEach(async () => {
  await run(driver, 'MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS');
});
afterAll(async () => {
  await driver?.close();
  await server?.stop();
});

const plant = (count: number) =>
  run(
    driver,
    `UNWIND range(1, $count) AS i CREATE (n:Fault {id: i, text: 'text that fills the line of a node to a fair size ' + i})-[:R {i: i}]->(n)`,
    { count },
  );

test('the server is killed in the middle of an export and restarted: nothing is lost, nothing duplicated', async () => {
  await plant(40_000);
  const whole = await exportAll(open);
  const context = legContext();
  const shards = await withStore(open, async (store) => store.plan(context, await store.probe(context)));
  const archive = new MemoryArchive();
  let tallies: Tallies = {};
  let kills = 0;
  let back = Promise.resolve();
  for (const shard of shards) {
    let cursor: Cursor | null = null;
    for (let done = false; !done; ) {
      const from: Cursor | null = cursor;
      await withStore(open, async (store) => {
        for await (const step of store.export(shard, from, context)) {
          for (const piece of [step.piece, ...(step.companions ?? [])]) await archive.add(piece);
          tallies = addTallies(tallies, step.tallies);
          cursor = step.next;
          if (kills++ > 0) continue;
          await server.kill();
          back = server.up();
        }
        done = true;
      }).catch((error: unknown) => {
        // The workflow retries these errors, from the cursor of the leg.
        expect(error).toBeInstanceOf(UnavailableError);
      });
      await back;
    }
  }
  expect(kills).toBeGreaterThan(1);
  expect(tallies).toEqual(whole.tallies);
  expect(archive.names().map((name) => archive.text(name))).toEqual(
    whole.archive.names().map((name) => whole.archive.text(name)),
  );
});

test('the server is killed in the middle of a load and restarted: every record exists once', async () => {
  await plant(20_000);
  const { archive, tallies } = await exportAll(open);
  await run(driver, 'MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS');
  let loaded: Tallies = {};
  let cursor: Cursor | null = null;
  let failures = 0;
  for (let legs = 0; legs === 0 || cursor !== null; ) {
    const from: Cursor | null = cursor;
    const kill =
      [1, 3, 6].includes(legs) && failures < 3 ? setTimeout(() => void server.kill(), 40) : undefined;
    try {
      const leg: LegResult = await withStore(open, (store) =>
        store.load({ archive, options: REPLACE, cursor: from, context: legContext({ timeLeft: () => 0 }) }),
      );
      clearTimeout(kill);
      loaded = addTallies(loaded, leg.tallies);
      cursor = leg.cursor;
      legs++;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      failures++;
      await server.kill();
      await server.up();
    }
  }
  expect(failures).toBeGreaterThan(0);
  expect(loaded).toEqual(tallies);
  const verified = await withStore(open, (store) =>
    store.verify({ archive, options: REPLACE, cursor: null, context: legContext() }),
  );
  expect([verified.samples, verified.differences, verified.tallies]).toEqual([[], 0, tallies]);
  await withStore(open, (store) => store.finish(legContext()));
  expect(await graphLeftovers(driver)).toEqual([]);
});

test('a read-only database is backed up; a restore is refused before it begins, and changes nothing', async () => {
  await plant(10);
  const whole = await exportAll(open);
  await server.kill();
  await server.up(['server.databases.default_to_read_only=true']);
  try {
    expect((await exportAll(open)).tallies).toEqual(whole.tallies);
    expect(
      await withStore(open, (store) =>
        store.admits({ archive: whole.archive, options: REPLACE, context: legContext() }),
      ),
    ).toEqual([expect.stringMatching(/^the database "neo4j" is read-only: .*default_to_read_only/)]);
    // If that happens later, the first statement that writes is refused.
    await expect(
      withStore(open, (store) =>
        store.clear({ archive: whole.archive, options: REPLACE, cursor: null, context: legContext() }),
      ),
    ).rejects.toThrow('the database is read-only');
    expect((await exportAll(open)).tallies).toEqual(whole.tallies);
  } finally {
    await server.kill();
    await server.up();
  }
});

/**
 * A proxy that holds back a query until the server has ended its transaction: to the server, the query takes that long.
 */
async function startSlowProxy(port: number, query: string, ended: () => Promise<unknown>): Promise<Server> {
  const proxy = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined);
      socket.on('close', () => [client, upstream].map((each) => each.destroy()));
    }
    upstream.on('data', (bytes) => client.write(bytes));
    let sent = Promise.resolve();
    client.on('data', (bytes) => {
      sent = sent.then(async () => {
        const at = bytes.indexOf(query);
        if (at >= 0) {
          // Messages before the query, such as the start of its transaction, are not held back.
          const begin = startOfChunk(bytes, at);
          upstream.write(bytes.subarray(0, begin));
          await ended();
          upstream.write(bytes.subarray(begin));
        } else upstream.write(bytes);
      });
    });
  });
  await new Promise<void>((ready) => proxy.listen(0, '127.0.0.1', ready));
  return proxy;
}

/** The start of the chunk that contains a byte: a chunk of Bolt starts with its length, a message ends with zero. */
function startOfChunk(bytes: Buffer, at: number): number {
  for (let begin = 0; ; ) {
    const next = begin + 2 + bytes.readUInt16BE(begin);
    if (at < next) return begin;
    begin = next;
  }
}

test('a transaction timeout that is shorter than a scan of the scope ends the backup at once and is named', async () => {
  await plant(100);
  const whole = await exportAll(open);
  await server.kill();
  await server.up(['db.transaction.timeout=5s', 'db.transaction.monitor.check.interval=100ms']);
  const ended = () =>
    until('the server has ended a transaction', async () => {
      const transactions = await run(driver, 'SHOW TRANSACTIONS YIELD status');
      return transactions.some(({ status }) => String(status).includes('TransactionTimedOut'));
    });
  const scan = 'RETURN count(r) AS found, count(CASE';
  const proxy = await startSlowProxy(Number(new URL(server.address.uri).port), scan, ended);
  const uri = `bolt://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const slow = openGraph({ ...server.address, uri }, { label: 'Fault', key_property: 'id' });
  const context = legContext();
  try {
    await expect(withStore(slow, (store) => store.probe(context))).rejects.toMatchObject({
      name: 'NgbakError',
      retryable: false,
      message: expect.stringContaining('counting its relationships took longer than the server allows'),
      remedy: expect.stringContaining('db.transaction.timeout'),
    });
  } finally {
    proxy.close();
  }
  // Without the delay, each query takes less than the limit.
  expect((await exportAll(open)).tallies).toEqual(whole.tallies);
});
