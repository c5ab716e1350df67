import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CreateFunctionCommand, DeleteFunctionCommand, LambdaClient } from '@aws-sdk/client-lambda';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { StopExecutionCommand } from '@aws-sdk/client-sfn';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { openArchive } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { catalogKey, leftoverKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { readInspection } from '../../shared/workflows/restore/inspection.ts';
import { readAll } from '../archive/build.ts';
import { servers } from '../servers.ts';
import { type PythonClient, pythonClient } from '../stores/clients/python-client.ts';
import { until } from '../support/until.ts';
import { withClients } from './content.ts';
import { NANO_FILES, NANO_WORKING_DIR, NANO_WRITERS, STACK_NAME } from './context.ts';
import { deployedStack } from './harness.ts';
import { whileHeld } from './held.ts';

/*
 * nano-graphrag keeps its files in a folder and does not support S3: the test uploads them after writing, and downloads
 * them before reading, like a function that runs it.
 */
const { bucket: Bucket, prefix } = NANO_FILES;
const stack = deployedStack();
const { s3 } = stack.bucket;
const label = `${NANO_WORKING_DIR.replace('-', '_')}__chunk_entity_relation`;
let client: PythonClient;
let folder: string;

/** Makes nano-graphrag's own storage classes write the knowledge base, or read it: IDs, values, searches. */
const nano = (action: 'write' | 'read') => {
  const { uri, username, password } = servers.neo4j;
  const address = { NEO4J_URI: uri, NEO4J_USERNAME: username, NEO4J_PASSWORD: password };
  return client([action, 'neo4j', NANO_WORKING_DIR], address, folder);
};

async function objects(): Promise<Record<string, Buffer>> {
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: `${prefix}/` }));
  const read = Contents.map(async ({ Key = '' }) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
    return [Key.slice(prefix.length + 1), Buffer.from((await Body?.transformToByteArray()) ?? [])];
  });
  return Object.fromEntries(await Promise.all(read));
}

async function toBucket(): Promise<void> {
  const path = join(folder, NANO_WORKING_DIR);
  for (const name of await readdir(path)) {
    const Body = await readFile(join(path, name));
    await s3.send(new PutObjectCommand({ Bucket, Key: `${prefix}/${name}`, Body }));
  }
}

/** As on a machine with only the contents of the bucket. */
async function fromBucket(): Promise<void> {
  const path = join(folder, NANO_WORKING_DIR);
  for (const name of await readdir(path)) await rm(join(path, name));
  for (const [name, content] of Object.entries(await objects())) await writeFile(join(path, name), content);
}

/** Represents the writers of the knowledge base: records each call, and refuses those that a file names. */
const WRITERS = `import { appendFileSync, existsSync } from 'node:fs';
export async function handler({ action, target, job_id }) {
  if (existsSync(process.env.FOLDER + '/refuses-' + action)) throw new Error('as told');
  appendFileSync(process.env.FOLDER + '/calls', action + ' ' + target + ' ' + job_id + '\\n');
}`;
const lambda = new LambdaClient({});

async function makeWriters(): Promise<void> {
  await writeFile(join(folder, 'index.mjs'), WRITERS);
  await promisify(execFile)('python3', ['-m', 'zipfile', '-c', 'writers.zip', 'index.mjs'], { cwd: folder });
  await lambda.send(
    new CreateFunctionCommand({
      FunctionName: NANO_WRITERS.split(':').at(-1),
      Runtime: 'nodejs24.x',
      Role: 'arn:aws:iam::000000000000:role/writers',
      Handler: 'index.handler',
      Code: { ZipFile: await readFile(join(folder, 'writers.zip')) },
      Environment: { Variables: { FOLDER: folder } },
      Timeout: 120,
    }),
  );
}

/** The calls that the writers received for a job, in order. */
async function callsOf(jobId: string): Promise<string[]> {
  const text = await readFile(join(folder, 'calls'), 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const [action = '', target, job] = line.split(' ');
    return target === 'nano' && job === jobId ? [action] : [];
  });
}

/** Waits until the writers are resumed: the janitor does that after the end. */
const untilResumed = (jobId: string) =>
  until(`the writers of job ${jobId} are resumed`, () => callsOf(jobId), {
    holds: (calls) => calls.includes('resume'),
  });

const graph = () =>
  withClients(({ cypher }) =>
    cypher(`MATCH (n:${label}) OPTIONAL MATCH (n)-[r]->(m)
            RETURN labels(n) AS labels, properties(n) AS node, type(r) AS type, properties(r) AS edge, m.id AS other
            ORDER BY n.id, other`),
  );

beforeAll(async () => {
  client = await pythonClient('nano_graphrag_client.py');
  folder = await mkdtemp(join(tmpdir(), 'ngbak-stack-nano-'));
  await s3.send(new CreateBucketCommand({ Bucket }));
  await makeWriters();
  await nano('write');
  await toBucket();
});
afterEach(() => rm(join(folder, 'refuses-pause'), { force: true }));
afterAll(async () => {
  await withClients(({ cypher }) => cypher(`MATCH (n:${label}) DETACH DELETE n`));
  for (const name of Object.keys(await objects()))
    await s3.send(new DeleteObjectCommand({ Bucket, Key: `${prefix}/${name}` }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  await lambda.send(new DeleteFunctionCommand({ FunctionName: NANO_WRITERS }));
  await rm(folder, { recursive: true });
});

it('data of nano-graphrag is restored by the deployed stack, and nano-graphrag reads the same', async () => {
  const [before, files, nodes] = [await nano('read'), await objects(), await graph()];
  expect(JSON.parse(before).nodes[7]).toMatchObject({ source_id: 'chunk-7<SEP>chunk-0' });
  expect(Object.keys(files)).toContain('vdb_entities.json');
  const backup = await stack.run('Backup', { target: 'nano' });
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };

  await withClients(({ cypher }) => cypher(`MATCH (n:${label}) WHERE n.id > '"E2' DETACH DELETE n`));
  await s3.send(new DeleteObjectCommand({ Bucket, Key: `${prefix}/vdb_entities.json` }));
  await s3.send(new PutObjectCommand({ Bucket, Key: `${prefix}/kv_store_full_docs.json`, Body: '{}' }));
  await s3.send(new PutObjectCommand({ Bucket, Key: `${prefix}/kv_store_late.json`, Body: '{}' }));
  await fromBucket();
  expect(JSON.parse(await nano('read')).full_docs[0]).toBeNull();

  const restore = await stack.run('Restore', { backup_id, confirm: 'nano' });
  expect(restore.cause ?? restore.status).toBe('SUCCEEDED');
  expect(await objects()).toEqual(files);
  expect(await graph()).toEqual(nodes);
  await fromBucket();
  expect(await nano('read')).toBe(before);
});

it('its writers are paused before anything is read, and resumed after the end of a backup and of a restore', async () => {
  const settings = (size: number) =>
    s3.send(
      new PutObjectCommand({
        Bucket,
        Key: `${prefix}/settings.yaml`,
        Body: `chunk: {size: ${size}}\napi_key: hunter2hunter2\n`,
      }),
    );
  await settings(1200);
  const backup = await stack.run('Backup', { target: 'nano' });
  expect(backup.cause ?? backup.status).toBe('SUCCEEDED');
  expect(await untilResumed(backup.name ?? '')).toEqual(['pause', 'resume']);
  const { backup_id } = JSON.parse(backup.output ?? '') as { backup_id: string };
  const record = await stack.bucket.readRecord(catalogKey(backup_id), CatalogRecord);
  expect(record?.value.consistency.grade).toBe('quiesced');
  // The settings of nano-graphrag are saved with its data, and compared with the current ones during a restore.
  const archive = await openArchive(bufferSource(backup_id, await stack.download(backup_id)));
  expect(JSON.parse((await readAll(archive, 'config/effective.json')).toString())).toMatchObject({
    running: { 'settings.yaml': { chunk: { size: 1200 }, api_key: '***' } },
  });
  await settings(800);

  const restore = await stack.run('Restore', { backup_id, confirm: 'nano' });
  expect(restore.cause ?? restore.status).toBe('SUCCEEDED');
  expect(await untilResumed(restore.name ?? '')).toEqual(['pause', 'resume']);
  expect((await readInspection(stack.bucket, restore.name ?? '')).configuration).toEqual({
    total: 1,
    differences: [{ setting: 'running.settings.yaml.chunk.size', archive: '1200', target: '800' }],
  });
});

it('a backup whose writers do not pause fails before it reads, names the function, and has them resumed', async () => {
  await writeFile(join(folder, 'refuses-pause'), '');
  const backup = await stack.run('Backup', { target: 'nano' });
  expect(backup).toMatchObject({ status: 'FAILED', error: 'HookError' });
  expect(backup.cause).toContain(NANO_WRITERS);
  expect(await untilResumed(backup.name ?? '')).toEqual(['resume']);
  expect(await stack.waitForJob(backup.name ?? '')).toMatchObject({ state: 'failed' });
});

it('the writers of a backup that is stopped are resumed as well', async () => {
  const sealing = { functionName: 'NgbakTest-seal-backup', seenAs: 'Seal archive' };
  const name = await whileHeld([sealing], async () => {
    const started = await stack.start('Backup', { target: 'nano' });
    await until('the writers are paused', () => callsOf(started.name), { holds: ({ length }) => length > 0 });
    await stack.sfn.send(
      new StopExecutionCommand({
        executionArn: started.executionArn,
        cause: 'a test stopped it',
        error: 'Stopped',
      }),
    );
    return started.name;
  });
  expect(await untilResumed(name)).toEqual(['pause', 'resume']);
  expect(await stack.waitForJob(name)).toMatchObject({ state: 'cancelled' });
});

it('uploads that a restore left in the bucket of the user are aborted by the janitor; those of others stay', async () => {
  const { backup_id } = JSON.parse((await stack.run('Backup', { target: 'nano' })).output ?? '{}') as {
    backup_id: string;
  };
  const begin = async (name: string) => {
    const Key = `${prefix}/${name}`;
    const { UploadId = '' } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    return { Key, UploadId };
  };
  const own = await begin('vdb_entities.json');
  const left = await begin('vdb_entities.json');
  const unanswered = await begin('vdb_chunks.json');
  // The records of a killed step: in the middle of an upload, and before it knew the ID of another.
  const name = `restore_left_uploads_${process.pid}`;
  for (const [id, { Key }, begun] of [
    ['upload', left, { upload_id: left.UploadId }],
    ['unanswered', unanswered, { others: [], by: `${STACK_NAME}-restore-kv` }],
  ] as const) {
    await stack.bucket.writeRecord(leftoverKey(name, id), { value: { bucket: Bucket, key: Key, ...begun } });
  }
  const restore = await stack.run('Restore', { backup_id, confirm: 'nano' }, name);
  expect(restore.cause ?? restore.status).toBe('SUCCEEDED');
  const unfinished = async () => {
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
    return Uploads.map(({ UploadId }) => UploadId);
  };
  await until('the uploads are aborted', unfinished, { holds: ({ length }) => length === 1 });
  expect(await unfinished()).toEqual([own.UploadId]);
  await s3.send(new AbortMultipartUploadCommand({ Bucket, ...own }));
});
