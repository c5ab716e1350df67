import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { recordText } from '../../cli/commands/show.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import { verifyBackup } from '../../shared/operations/verify-backup.ts';
import { infoFields } from '../../shared/stores/redis/server.ts';
import { servers } from '../servers.ts';
import { fillTarget, readTarget, removeTarget, SCRATCH, withClients } from './content.ts';
import { secretName } from './context.ts';
import { progressOf } from './follow.ts';
import { deployedStack, sleep } from './harness.ts';
import { killFunction } from './processes.ts';
import { type RecordingProxy, startRecordingProxy } from './recording-proxy.ts';

/** Backups of a target whose stores provably did not change, through the deployed stack. */

const stack = deployedStack();
const target = 'scratch';
/** Large enough that S3 copies it, in bytes of random data. */
const LARGE_BYTES = 7 * 1024 ** 2;
/** A short state may have ended before the kill: then another backup is tried. */
const KILLS_MAX = 8;
const SEAL = 'Seal archive';

let proxy: RecordingProxy;

beforeAll(async () => {
  await fillTarget();
  await withClients(async ({ redis }) => {
    await redis.set(`${SCRATCH.prefix}docs:large`, randomBytes(LARGE_BYTES).toString('base64'));
    // Keys that expire have no proof: neither those of the target nor what other tests left in the database.
    for await (const keys of redis.scanStream({ count: 1000 })) {
      for (const key of keys as string[]) await redis.persist(key);
    }
  });
  const { uri, username, password } = servers.neo4j;
  const { hostname, port } = new URL(uri);
  proxy = await startRecordingProxy(hostname, Number(port));
  const graph = { uri: `bolt://127.0.0.1:${proxy.port}`, username, password };
  await stack.putSecret(secretName(target, 'graph'), graph);
});

afterAll(async () => {
  const { uri, username, password } = servers.neo4j;
  await stack.putSecret(secretName(target, 'graph'), { uri, username, password });
  await proxy?.close();
  await removeTarget(SCRATCH);
});

async function backUp(input: object = {}) {
  const { output, cause } = await stack.run('Backup', { target, ...input });
  expect(cause).toBeUndefined();
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  const record = await showBackup({ bucket: stack.bucket } as OperationsContext, backup_id);
  return { id: backup_id, record, ...record.readings };
}

/** The calls of each command so far, by its name. */
const callsOfCommands = () =>
  withClients(async ({ redis }) => {
    const fields = infoFields(Buffer.from(await redis.info('commandstats')));
    return Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [
        name.replace('cmdstat_', ''),
        Number(/^calls=(\d+)/.exec(value)?.[1]),
      ]),
    );
  });

test('an unmoved target is backed up without reading its proven stores, and restored exactly after its predecessor was deleted', async () => {
  const content = await readTarget();
  const first = await backUp({ full: true });
  expect(first.graph?.reason).toBe('a full reading was requested');
  // What is recorded during a reading contains queries of records, so that their absence means something.
  expect(proxy.take()).toContain(`MATCH (n:\`${SCRATCH.label}\``);
  const before = await callsOfCommands();
  const second = await backUp();
  const after = await callsOfCommands();
  for (const store of ['graph', 'vectors', 'kv'] as const) {
    expect(second[store]).toEqual({
      ...{ backup_id: first.id, at: first.record.created_at, carried: 1, from: first.id },
    });
  }
  expect(recordText(second.record)).toContain(`graph: carried from ${first.id}, which read it at`);
  const sent = proxy.take();
  expect(sent).toContain('SHOW DATABASES');
  expect(sent).not.toContain('MATCH');
  const called = Object.keys(after).filter((name) => after[name] !== before[name]);
  const allowed = ['auth', 'hello', 'select', 'info', 'time', 'command', 'client', 'ping'];
  expect(called.filter((name) => !allowed.includes(name.split('|')[0] ?? ''))).toEqual([]);

  // Its data was read from S3 when the first backup was verified, and S3 states the checksum of the copy.
  expect(first.record.verification.by_checksum).toBeUndefined();
  expect(second.record.verification.by_checksum?.stores.toSorted()).toEqual(['graph', 'kv', 'vectors']);
  expect(second.record.references).toEqual(first.record.references);
  for (const store of ['graph', 'vectors', 'kv'] as const) {
    expect(first.record.regions?.[store]?.backup_id).toBe(first.id);
    expect(second.record.regions?.[store]).toEqual(first.record.regions?.[store]);
  }
  expect(recordText(second.record)).toContain('by the checksum of their copy; read at');
  expect(second.record).toMatchObject({
    type: 'full',
    state: first.record.state,
    good: true,
    statistics: first.record.statistics,
    tallies: first.record.tallies,
    consistency: { grade: 'unchanged' },
  });
  const context = { bucket: stack.bucket } as OperationsContext;
  await stack.bucket.removeAll(`backups/${first.id}.`);
  const verified = await verifyBackup(context, second.id, { cursor: null, timeLeft: () => 60_000 });
  expect(verified).toMatchObject({ done: true, is_valid: true, errors: [] });
  await removeTarget(SCRATCH);
  const restore = await stack.run('Restore', { backup_id: second.id, confirm: target });
  expect(restore.cause).toBeUndefined();
  expect(await readTarget()).toEqual(content);
});

test('a store that moved is read, the others are carried', async () => {
  const first = await backUp();
  await withClients(({ cypher }) => cypher(`MATCH (n:${SCRATCH.label} {id: 'n1'}) SET n.weight = 99.5`));
  const second = await backUp();
  expect(second.graph?.reason).toMatch(new RegExp(`^since ${first.id}, last_transaction: `));
  expect(second.kv).toMatchObject({ carried: 1, from: first.id });
  const third = await backUp();
  expect(third.graph).toMatchObject({ carried: 1, from: second.id });
  await removeTarget(SCRATCH);
  expect((await stack.run('Restore', { backup_id: third.id, confirm: target })).cause).toBeUndefined();
  const restored = JSON.stringify(await readTarget());
  expect(restored).toContain('99.5');
});

test('a function that is killed while it copies leaves a complete archive and no trace', async () => {
  const first = await backUp();
  const name = 'NgbakTest-seal-backup';
  let hit = false;
  for (let tries = 0; tries < KILLS_MAX && !hit; tries++) {
    // Its start takes longer than its work, so that the state is still there.
    await killFunction(name);
    const { executionArn, name: job } = await stack.start('Backup', { target });
    for (;;) {
      const progress = await progressOf(stack.sfn, executionArn);
      if (progress?.running.includes(SEAL)) {
        await killFunction(name);
        await sleep(50);
      }
      hit = (progress?.killed ?? 0) > 0;
      if (progress !== undefined && (hit || progress.status !== 'RUNNING')) break;
      await sleep(20);
    }
    const { output, cause } = await stack.waitForExecution(executionArn);
    expect(cause).toBeUndefined();
    await stack.waitForJob(job);
    const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
    const record = await showBackup({ bucket: stack.bucket } as OperationsContext, backup_id);
    expect(record.readings?.graph).toMatchObject({ backup_id: first.graph?.backup_id });
    expect(record).toMatchObject({ good: true, tallies: first.record.tallies });
    expect(await stack.keys(`staging/${job}/`)).toEqual([]);
  }
  expect(hit).toBe(true);
});
