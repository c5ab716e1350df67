/** A target with its key-value data in Redis and in files, through the deployed stack: API, CLI, dashboard, and faults. */
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { recordText } from '../../cli/commands/show.ts';
import { jobText } from '../../cli/job-text.ts';
import { relatedJobId } from '../../shared/core/job-ids.ts';
import type { OperationsContext } from '../../shared/operations/context.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { answerConfirmation } from '../../shared/workflows/restore/confirmation.ts';
import { findSafetyBackup } from '../../shared/workflows/restore/safety.ts';
import { until } from '../support/until.ts';
import { accessibilityProblems, overflows, startBrowser } from './browser.ts';
import { withClients } from './content.ts';
import { SEVERAL_FILES as Bucket, secretName } from './context.ts';
import { progressOf } from './follow.ts';
import { type HeldState, LOADS, whileHeld } from './held.ts';
import { killFunction } from './processes.ts';

const PREFIX = 'several_';
const FILES = {
  'several/kv_store_doc_status.json': '{"doc-1": {"status": "processed"}}',
  'several/graph.graphml': '<graphml/>',
};
const s3 = new S3Client({ forcePathStyle: true });

let browser: Awaited<ReturnType<typeof startBrowser>>;

beforeAll(async () => {
  browser = await startBrowser();
  await s3.send(new CreateBucketCommand({ Bucket }));
  await browser.stack.putSecret(secretName('several', 'kv_files'), { location: `s3://${Bucket}` });
  await fill();
});
afterEach(() => browser.closeVisits());
afterAll(async () => {
  await browser?.close();
  await withClients(async ({ redis }) => {
    for (const key of await redis.keys(`${PREFIX}*`)) await redis.del(key);
  });
  await removeBucket();
});

/** Removes the files and their bucket: for a function that uses it, an error that no retry helps against. */
async function removeBucket(): Promise<void> {
  for (const Key of Object.keys(await objects())) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
}

async function fill(): Promise<void> {
  await withClients(async ({ redis }) => {
    for (let number = 0; number < 40; number++)
      await redis.set(`${PREFIX}full_docs:doc-${number}`, `{"n": ${number}}`);
  });
  for (const [Key, Body] of Object.entries(FILES)) await s3.send(new PutObjectCommand({ Bucket, Key, Body }));
}

async function objects(): Promise<Record<string, string>> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
  const read = Contents.map(async ({ Key = '' }) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    return [Key, (await Body?.transformToString()) ?? ''];
  });
  return Object.fromEntries(await Promise.all(read));
}

const keys = () =>
  withClients(async ({ redis }) => {
    const names = (await redis.keys(`${PREFIX}*`)).sort();
    return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await redis.get(name)])));
  });

const content = async () => ({ keys: await keys(), files: await objects() });

/** Backs up the contents, and changes every store. Returns the ID of the backup, and the contents then and now. */
async function backUpAndChange() {
  await fill();
  const saved = await content();
  const { cause, output } = await browser.stack.run('Backup', { target: 'several' });
  expect(cause).toBeUndefined();
  const { backup_id } = JSON.parse(output ?? '') as { backup_id: string };
  await withClients(async ({ redis }) => {
    await redis.set(`${PREFIX}full_docs:doc-0`, '{"changed": true}');
    await redis.set(`${PREFIX}full_docs:new`, '{}');
  });
  await s3.send(new PutObjectCommand({ Bucket, Key: 'several/graph.graphml', Body: 'changed' }));
  await s3.send(new PutObjectCommand({ Bucket, Key: 'several/new.json', Body: '{}' }));
  return { backup_id, saved, changed: await content() };
}

/** Waits until an execution loads its stores. Nothing was written to them if that is held. */
async function untilLoading(executionArn: string): Promise<void> {
  await until('the stores are loaded', async () => {
    const progress = await progressOf(browser.stack.sfn, executionArn);
    if (progress !== undefined && progress.status !== 'RUNNING')
      throw new Error(`The execution ended before it loaded its stores: ${progress.status}.`);
    return progress?.running.includes('Load stores');
  });
}

const INSPECTION: readonly HeldState[] = [
  { functionName: 'NgbakTest-inspect-restore', seenAs: 'Inspect archive' },
];

/**
 * Restores a backup, and lets the files fail when the load begins. The rollback finds the bucket again, without files.
 *
 * @param rolling  awaited before the rollback goes beyond its first step
 */
async function restoreWithoutFiles(
  backup_id: string,
  rolling: (rollbackArn: string) => Promise<void> = async () => undefined,
): Promise<string> {
  const { stack } = browser;
  const { executionArn, name } = await stack.start('Restore', { backup_id });
  await stack.waitForJob(name, ({ state }) => state === 'awaiting_confirmation');
  await whileHeld(INSPECTION, async () => {
    await whileHeld(LOADS, async () => {
      await answerConfirmation(stack, name, { confirm: true, phrase: 'several' });
      await untilLoading(executionArn);
      await removeBucket();
    });
    const rollback = await stack.waitForJob(
      relatedJobId('rollback', name),
      ({ execution_arn }) => execution_arn !== undefined,
    );
    await s3.send(new CreateBucketCommand({ Bucket }));
    await rolling(rollback.execution_arn ?? '');
  });
  return name;
}

test('is backed up, restored exactly and shown by the names of its stores', async () => {
  const { stack } = browser;
  const before = [await keys(), await objects()];
  const backup = await stack.run('Backup', { target: 'several' });
  expect(backup.cause).toBeUndefined();
  const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };
  const record = await showBackup({ bucket: stack.bucket } as OperationsContext, backup_id);
  expect(record).toMatchObject({
    stores: ['kv', 'kv_files', 'config'],
    good: true,
    statistics: { documents: 40 },
    tallies: { kv: { 'keys:full_docs': { count: 40 } }, kv_files: { files: { count: 2 } } },
  });
  expect(recordText(record)).toContain('kv_files');

  await withClients(async ({ redis }) => {
    for (const key of await redis.keys(`${PREFIX}*`)) await redis.del(key);
  });
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'several/graph.graphml' }));
  const restore = await stack.run('Restore', { backup_id, confirm: 'several' });
  expect(restore.cause).toBeUndefined();
  expect([await keys(), await objects()]).toEqual(before);

  const { job_id } = JSON.parse(restore.output ?? '{}') as { job_id?: string };
  const jobId = job_id ?? restore.name ?? '';
  const answer = await fetch(`${stack.apiUrl()}/api/v1/jobs/${jobId}`, {
    headers: { authorization: `Bearer ${stack.apiKey('viewer')}` },
  });
  const job = (await answer.json()) as JobView;
  expect(job.progress.map(({ store }) => store)).toEqual(expect.arrayContaining(['kv', 'kv_files']));
  expect(jobText(job)).toContain('Key-value (files)');

  const waiting = await stack.start('Restore', { backup_id });
  await stack.waitForJob(waiting.name, ({ state }) => state === 'awaiting_confirmation');
  for (const [path, text] of [
    [`job/${jobId}`, 'Key-value data (files)'],
    [`restore/${waiting.name}/report`, 'Key-value data (files)'],
    [`restore/${waiting.name}/options`, 'Key-value data (files)'],
    [`restore/${waiting.name}/confirm`, 'Key-value data (files)'],
    [`backup/${backup_id}`, 'kv_files'],
    ['create-backup?target=several', 'Key-value data (files)'],
    ['settings', 'Key-value data (files)'],
  ] as const) {
    const visit = await browser.visit({ role: 'operator' });
    const { page } = visit;
    await visit.open(path);
    // The names of stores to choose from.
    const choice = /create-backup|options/.test(path)
      ? page.getByLabel('Stores', { exact: true })
      : undefined;
    await choice?.click();
    await page.getByText(text).first().waitFor();
    if (choice) await page.keyboard.press('Escape');
    expect([path, await overflows(page)]).toEqual([path, false]);
    expect([path, await accessibilityProblems(page)]).toEqual([path, []]);
    visit.assertClean();
  }
  await answerConfirmation(stack, waiting.name, { confirm: false });
  expect((await stack.waitForJob(waiting.name)).state).toBe('cancelled');
});

test('a restore of which one store fails is rolled back in all of them', async () => {
  const { backup_id, changed } = await backUpAndChange();
  const job = await browser.stack.waitForJob(await restoreWithoutFiles(backup_id));
  expect(job.error?.message).toMatch(/NoSuchBucket.*rolled back to snapshot_/s);
  expect(job.state).toBe('rolled_back');
  expect(await content()).toEqual(changed);
});

test('a rollback that fails for one store continues with the others, and its safety backup can be restored', async () => {
  const { stack } = browser;
  const { backup_id, changed } = await backUpAndChange();
  let failing: Promise<void> | undefined;
  const jobId = await restoreWithoutFiles(backup_id, async (rollbackArn) => {
    const held = Promise.withResolvers<void>();
    failing = whileHeld(LOADS, async () => {
      held.resolve();
      await untilLoading(rollbackArn);
      // The restore had begun to load the keys.
      await withClients(({ redis }) => redis.set(`${PREFIX}full_docs:doc-0`, '{"begun": true}'));
      await removeBucket();
    });
    await held.promise;
  });
  await failing;
  const job = await stack.waitForJob(jobId);
  const safety = (await findSafetyBackup(stack.bucket, jobId))?.backup_id ?? '';
  expect(job.state).toBe('failed');
  expect(job.error?.message).toMatch(/NoSuchBucket.*The rollback failed as well: .*NoSuchBucket/s);
  expect(job.error?.message).toContain(`ngbak restore ${safety}`);
  expect(await keys()).toEqual(changed.keys);

  await s3.send(new CreateBucketCommand({ Bucket }));
  const byHand = await stack.run('Restore', { backup_id: safety, confirm: 'several' });
  expect(byHand.cause ?? byHand.status).toBe('SUCCEEDED');
  expect(await content()).toEqual(changed);
});

test('a function that is killed while it loads several stores leaves exactly the archive', async () => {
  const { stack } = browser;
  for (let isHit = false; !isHit; ) {
    const { backup_id, saved } = await backUpAndChange();
    const { executionArn, name } = await stack.start('Restore', { backup_id, confirm: 'several' });
    await whileHeld(LOADS, () => untilLoading(executionArn));
    await until(
      'an attempt was killed, or the execution has ended',
      async () => {
        await killFunction('NgbakTest-restore-kv');
        const progress = await progressOf(stack.sfn, executionArn);
        isHit = (progress?.killed ?? 0) > 0;
        return isHit || progress?.status !== 'RUNNING';
      },
      { pauseMs: 20 },
    );
    expect((await stack.waitForJob(name)).state).toBe('completed');
    expect(await content()).toEqual(saved);
  }
});
