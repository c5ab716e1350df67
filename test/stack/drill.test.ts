import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { z } from 'zod';
import { archiveKey, scratchPrefix } from '../../shared/aws/keys.ts';
import type { DrillRecord } from '../../shared/workflows/drill/record.ts';
import { readDrill } from '../../shared/workflows/drill/record.ts';
import { run } from '../cli/run.ts';
import { leftovers, rememberLeftovers } from '../workflows/drill/stage.ts';
import { fillTarget, OPTIONS, readTarget, removeTarget, SCRATCH, withClients } from './content.ts';
import { deployedStack, sleep } from './harness.ts';

jest.setTimeout(300_000);

const stack = deployedStack();
/** With the policy that the stack publishes for operators: the emulator refuses everything else. */
const operator = { NGBAK_STACK: 'NgbakTest', TZ: 'UTC', ...stack.operator() };
/** Content of the target, which no drill may change. */
let live: unknown;
let backupId: string;

beforeAll(async () => {
  await rememberLeftovers();
  await fillTarget(OPTIONS);
  live = await readTarget(OPTIONS);
  const { output, cause } = await stack.run('Backup', { target: 'options' });
  expect(cause).toBeUndefined();
  backupId = (JSON.parse(output ?? '') as { backup_id: string }).backup_id;
});
afterAll(async () => {
  for (const names of [OPTIONS, SCRATCH]) await removeTarget(names);
});

async function expectUntouched(): Promise<void> {
  expect(await leftovers()).toEqual([]);
  expect(await readTarget(OPTIONS)).toEqual(live);
}

async function api(method: string, path: string, body?: object) {
  const answer = await fetch(`${stack.apiUrl()}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey('operator')}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

/** Runs a drill, and waits until its job is closed. */
async function drill(input: object, name?: string) {
  const started = await stack.start('Restore', { drill: input }, name);
  await stack.waitForExecution(started.executionArn);
  const job = await stack.waitForJob(started.name);
  return { job, record: await readDrill(stack.bucket, started.name) };
}

test('a drill from the command line restores the newest good backup, proves it, and leaves nothing', async () => {
  const ran = await run(['drill', '--target', 'options', '--wait', '--json'], operator);
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  const proved = ran.lines().find(({ type }) => type === 'drill')?.data as DrillRecord | undefined;
  expect(proved).toMatchObject({
    verdict: 'passed',
    target: 'options',
    backup_id: backupId,
    differences: [],
  });
  expect(proved?.stores.graph?.read_back.nodes?.count).toBe(20);
  expect(proved?.stores.kv?.smoke).toEqual([
    { question: '["ANY"]', target: 'key found', drill: 'key found', same: true },
  ]);
  await expectUntouched();
  const listed = await run(['drills', '--target', 'options', '--json'], operator);
  expect(listed.lines().find(({ type }) => type === 'drill')?.data.job_id).toBe(proved?.job_id);
  const shown = await run(['drills', proved?.job_id ?? ''], operator);
  expect([shown.code, shown.stdout]).toEqual([0, expect.stringMatching(/verified, no differences: removed/)]);
});

test('a drill through the API, of Qdrant snapshots, alongside a writer of the target, whose records stay', async () => {
  await fillTarget(SCRATCH);
  const { output } = await stack.run('Backup', { target: 'scratch' });
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  const started = await api('POST', '/drills', { backup_id });
  expect(started.status).toBe(202);
  const job_id = String(started.body.job_id);
  let written = 0;
  let done = false;
  const writer = async () => {
    while (!done) {
      await withClients(({ redis }) =>
        redis.set(`${SCRATCH.prefix}docs:new${++written}`, 'written meanwhile'),
      );
      await sleep(50);
    }
  };
  const writing = writer();
  await stack.waitForJob(job_id);
  done = true;
  await writing;
  const { status, body } = await api('GET', `/drills/${job_id}`);
  expect([status, body]).toEqual([200, expect.objectContaining({ verdict: 'passed', backup_id })]);
  expect(await leftovers()).toEqual([]);
  const keys = await withClients(({ redis }) => redis.keys(`${SCRATCH.prefix}docs:new*`));
  expect([keys.length, written > 0]).toEqual([written, true]);
  expect((await api('GET', '/drills?target=nobody')).body).toMatchObject({ drills: [], total: 0 });
});

test('a damaged archive fails a drill, and an existing name refuses it', async () => {
  const jobId = 'drill_of_taken_names';
  const key = `${OPTIONS.prefix}__ngbak:drill:${jobId}:docs:mine`;
  await withClients(({ redis }) => redis.set(key, 'of somebody'));
  const taken = await drill({ target: 'options' }, jobId);
  expect(taken.job).toMatchObject({ kind: 'drill', state: 'failed', error: { name: 'InvalidInputError' } });
  expect(taken.record).toMatchObject({ verdict: 'failed' });
  expect(await leftovers()).toEqual([`key ${key}`]);
  await withClients(({ redis }) => redis.del(key));

  const bytes = await stack.download(backupId);
  const damaged = Buffer.from(bytes);
  const at = Math.floor(damaged.length / 3);
  damaged[at] = (damaged[at] ?? 0) ^ 0xff;
  const second = await stack.run('Backup', { target: 'options' });
  const other = (JSON.parse(second.output ?? '') as { backup_id: string }).backup_id;
  const { bucket } = stack;
  const object = { Bucket: bucket.name, Key: archiveKey(other), Body: damaged };
  const { VersionId } = await bucket.s3.send(new PutObjectCommand(object));
  const { value } =
    (await bucket.readRecord(`backups/${other}.json`, z.looseObject({ archive: z.looseObject({}) }))) ?? {};
  await bucket.writeRecord(`backups/${other}.json`, {
    ...value,
    archive: { ...value?.archive, version_id: VersionId },
  });
  const found = await drill({ backup_id: other });
  expect(found.record).toMatchObject({ verdict: 'failed', backup_id: other, stores: {} });
  await expectUntouched();
});

test('a drill that is stopped while it loads is removed; a second one at the same time is refused', async () => {
  const first = await stack.start('Restore', { drill: { backup_id: backupId } });
  const deadline = Date.now() + 120_000;
  while ((await stack.keys(scratchPrefix(first.name))).length === 0) {
    if (Date.now() > deadline) throw new Error('The drill claims nothing.');
    await sleep(50);
  }
  const second = await stack.start('Restore', { drill: { backup_id: backupId } });
  await stack.sfn.send(new StopExecutionCommand({ executionArn: first.executionArn, cause: 'by a test' }));
  expect(await stack.waitForJob(first.name)).toMatchObject({ state: 'cancelled' });
  const ended = await stack.waitForJob(second.name);
  // Refused, unless the first one had been removed before it requested the lock.
  if (ended.state !== 'completed') expect(ended.error?.name).toBe('TargetLockedError');
  expect((await readDrill(stack.bucket, first.name))?.verdict).toBe('cancelled');
  await expectUntouched();
});
