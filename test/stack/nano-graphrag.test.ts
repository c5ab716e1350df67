import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { servers } from '../servers.ts';
import { type PythonClient, pythonClient } from '../stores/clients/python-client.ts';
import { withClients } from './content.ts';
import { NANO_FILES, NANO_WORKING_DIR } from './context.ts';
import { deployedStack } from './harness.ts';

/*
 * nano-graphrag keeps its files in a folder and knows nothing of S3: the test puts them there after it has written, and takes
 * them from there before it reads, as a function does that runs it.
 */
const { bucket: Bucket, prefix } = NANO_FILES;
const stack = deployedStack();
const { s3 } = stack.bucket;
const label = `${NANO_WORKING_DIR.replace('-', '_')}__chunk_entity_relation`;
let client: PythonClient;
let folder: string;

/** Has nano-graphrag's own storage classes write the knowledge base, or read it: ids, values, searches. */
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

/** As on a machine that has nothing but what is in the bucket. */
async function fromBucket(): Promise<void> {
  const path = join(folder, NANO_WORKING_DIR);
  for (const name of await readdir(path)) await rm(join(path, name));
  for (const [name, content] of Object.entries(await objects())) await writeFile(join(path, name), content);
}

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
  await nano('write');
  await toBucket();
}, 600_000);
afterAll(async () => {
  await withClients(({ cypher }) => cypher(`MATCH (n:${label}) DETACH DELETE n`));
  for (const name of Object.keys(await objects()))
    await s3.send(new DeleteObjectCommand({ Bucket, Key: `${prefix}/${name}` }));
  await s3.send(new DeleteBucketCommand({ Bucket }));
  await rm(folder, { recursive: true });
});

it('what nano-graphrag wrote comes back through the deployed stack, and nano-graphrag reads the same', async () => {
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
}, 300_000);
