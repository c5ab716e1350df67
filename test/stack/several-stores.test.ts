/** A target with its key-value data in Redis and in files, through the deployed stack: API, CLI and dashboard. */
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
import type { OperationsContext } from '../../shared/operations/context.ts';
import { showBackup } from '../../shared/operations/show-backup.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import { accessibilityProblems, overflows, startBrowser } from './browser.ts';
import { withClients } from './content.ts';
import { SEVERAL_FILES as Bucket, secretName } from './context.ts';

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
  for (const Key of Object.keys(await objects())) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
});

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
  expect(jobText(job)).toContain('key-value (files)');

  for (const [path, text] of [
    [`job/${jobId}`, 'Key-value data (files)'],
    [`backup/${backup_id}`, 'kv_files'],
    ['settings', 'Key-value data (files)'],
  ] as const) {
    const visit = await browser.visit({ role: 'viewer' });
    await visit.open(path);
    await visit.page.getByText(text).first().waitFor();
    expect([path, await overflows(visit.page)]).toEqual([path, false]);
    expect([path, await accessibilityProblems(visit.page)]).toEqual([path, []]);
    visit.assertClean();
  }
}, 600_000);
