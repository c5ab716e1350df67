/** The independent proof, of tables in PostgreSQL and of files in S3. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { Client } from 'pg';
import { compareProofs, type Proof, type ProofConnections, readEverything } from '../../local/proof/proof.ts';
import { OwnPostgres } from '../stores/postgres/own-server.ts';

const TABLES = `
  CREATE EXTENSION vector;
  CREATE TABLE docs (workspace text, id text, place serial, weight double precision DEFAULT 1, meta jsonb,
    dense vector(3), tags text[], PRIMARY KEY (workspace, id), CONSTRAINT positive CHECK (place > 0));
  CREATE INDEX docs_dense ON docs USING hnsw (dense vector_cosine_ops);
  INSERT INTO docs SELECT w, 'd' || n, n, n * 0.1, jsonb_build_object('n', n), ARRAY[n, 0.1, 0]::vector, ARRAY['x', NULL]
    FROM generate_series(1, 1200) n, unnest(ARRAY['alpha', 'beta']) w;
  CREATE TABLE plain (value text); INSERT INTO plain VALUES ('a'), ('b')`;
const D7 = "WHERE workspace = 'alpha' AND id = 'd7'";

let server: OwnPostgres;
let client: Client;
let folder: string;
let before: Proof;
const workspace = { column: 'workspace', value: 'alpha' };
const read = (name: string, of: ProofConnections, scope = {}) =>
  readEverything(of, { folder: join(folder, name), scope });

beforeAll(async () => {
  server = await OwnPostgres.start();
  client = await server.connect();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-proof-tables-'));
  await client.query(TABLES);
  before = await read('before', { postgres: server.address });
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

it('reads every table, row and sequence, twice with the same result', async () => {
  expect(Object.fromEntries(Object.entries(before.parts).map(([name, { count }]) => [name, count]))).toEqual({
    'rows docs': 2400,
    'rows plain': 2,
    sequences: 1,
    tables: 2,
  });
  expect((await read('again', { postgres: server.address })).parts).toEqual(before.parts);
});

it.each([
  ['a row is missing', 'rows docs', 'is missing', `DELETE FROM docs ${D7}`],
  ['a row was added', 'rows docs', 'was not there before', "INSERT INTO docs VALUES ('alpha', 'new', 9)"],
  ['a text differs', 'rows plain', /missing|not there/, "UPDATE plain SET value = 'c' WHERE value = 'a'"],
  ['a null is empty text', 'rows docs', 'column tags', `UPDATE docs SET tags = ARRAY['x', ''] ${D7}`],
  ['a zero has another sign', 'rows docs', 'column dense', `UPDATE docs SET dense = '[7,0.1,-0]' ${D7}`],
  [
    'a number differs in its last bit',
    'rows docs',
    'column weight',
    `UPDATE docs SET weight = 0.7000000000000002 ${D7}`,
  ],
  ['a member of JSON differs', 'rows docs', 'column meta', `UPDATE docs SET meta = '{"n": 7.0}' ${D7}`],
  ['an index is missing', 'tables', 'index docs_dense is missing', 'DROP INDEX docs_dense'],
  [
    'an index has another operator class',
    'tables',
    'index docs_dense is different',
    'DROP INDEX docs_dense; CREATE INDEX docs_dense ON docs USING hnsw (dense vector_l2_ops)',
  ],
  ['a constraint is missing', 'tables', 'constraint positive', 'ALTER TABLE docs DROP CONSTRAINT positive'],
  ['a default differs', 'tables', 'column weight', 'ALTER TABLE docs ALTER weight SET DEFAULT 2'],
  ['a type differs', 'tables', 'column value', 'ALTER TABLE plain ALTER value TYPE varchar(9)'],
  ['a table is missing', 'tables', 'is missing', 'DROP TABLE plain'],
  ['a table is unlogged', 'tables', 'setting persistence', 'ALTER TABLE plain SET UNLOGGED'],
  ['a sequence was advanced', 'sequences', 'last_value', "SELECT setval('docs_place_seq', 5000)"],
])('fails if %s', async (_what, part, problem, damage) => {
  await client.query(`${damage};`);
  try {
    const { identical, differences } = await compareProofs(
      before,
      await read('after', { postgres: server.address }),
      100,
    );
    expect(identical).toBe(false);
    expect(differences).toContainEqual(
      expect.objectContaining({ part, problem: expect.stringMatching(problem) }),
    );
  } finally {
    await client.query('DROP TABLE IF EXISTS plain, docs; DROP EXTENSION vector');
    await client.query(TABLES);
  }
});

it('reads the rows of one workspace only, if that is the scope', async () => {
  const alpha = await read('alpha', { postgres: server.address }, { workspace });
  expect(alpha.parts['rows docs']?.count).toBe(1200);
  await client.query("UPDATE docs SET weight = 0 WHERE workspace = 'beta'");
  const again = await read('alpha-again', { postgres: server.address }, { workspace });
  expect(again.parts).toEqual(alpha.parts);
});

it('reads the bytes of every file below a prefix, and fails if one is missing, changed or additional', async () => {
  const bucket = `proof-${randomBytes(6).toString('hex')}`;
  const s3 = new S3Client({});
  const put = (Key: string, Body: string) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const names = Array.from({ length: 40 }, (_, n) => `kb/output/lancedb/x.lance/data/${n}`);
  for (const name of [...names, 'kb/settings.yaml', 'kb/input/a.txt', 'kb2/other']) await put(name, name);
  const files = { bucket, prefix: 'kb' };
  const [first, same] = [await read('files', { files }), await read('files-again', { files })];
  expect(Object.entries(first.parts).map(([name, { count }]) => [name, count])).toEqual([
    ['files .', 1],
    ['files input', 1],
    ['files output/lancedb', 40],
  ]);
  expect(same.parts).toEqual(first.parts);
  await put('kb/settings.yaml', 'kb/settings.yamL');
  await put('kb/output/new', '');
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'kb/input/a.txt' }));
  expect(await compareProofs(first, await read('files-after', { files }))).toMatchObject({
    identical: false,
    total: 3,
    differences: expect.arrayContaining([
      { part: 'files .', thing: 'settings.yaml', problem: 'content is different' },
      { part: 'files input', thing: 'input/a.txt', problem: 'is missing' },
      { part: 'files output', thing: 'output/new', problem: 'was not there before' },
    ]),
  });
});
