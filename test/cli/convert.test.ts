import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { directClient } from '../../cli/direct-client.ts';
import { restoreRequestKey } from '../../shared/aws/keys.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { ListJobsInput } from '../../shared/operations/list-jobs.ts';
import { profileScopes } from '../../shared/profiles/profiles.ts';
import { UploadRequest } from '../../shared/workflows/restore/request.ts';
import { buildArchive, DRAFT } from '../archive/build.ts';
import { freshContext } from '../operations/context.ts';
import { catalogRecord, catalogue } from '../support/catalog.ts';
import { environmentOf, type Ran, run } from './run.ts';

const ID = 'snapshot_2026-01-02T03-04-05Z';
const parameters = { workspace: 'alpha' };

let context: Awaited<ReturnType<typeof freshContext>>;
let environment: NodeJS.ProcessEnv;
let folder: string;

beforeEach(async () => {
  context = await freshContext();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-restore-as-'));
  // So that a test sees what is left there.
  environment = { ...environmentOf(context), TMPDIR: folder };
});
afterEach(() => rm(folder, { recursive: true }));

const archiveWith = (documents: object, expiry = '') =>
  buildArchive(
    [
      { name: 'kv/full_docs.json', data: Buffer.from(JSON.stringify(documents)) },
      { name: 'kv/full_docs.expiry.jsonl', data: Buffer.from(expiry) },
    ],
    {
      draft: {
        ...DRAFT,
        backup_id: ID,
        storage_backends: { kv: { kind: 'redis' } },
        scope: {
          ...{ type: 'full', stores: ['kv'], target: 'default', profile: 'lightrag', parameters },
          scopes: { kv: profileScopes('lightrag', parameters, 'redis').kv ?? {} },
        },
      },
    },
  );

const restore = (what: string, ...more: string[]) =>
  run(['restore', what, '--as', 'files', '--target', 'default', '--no-wait', '--json', ...more], environment);

/** The archive that a restore uploaded. */
async function uploaded(ran: Ran): Promise<Buffer> {
  const jobId = String(ran.lines().find(({ type }) => type === 'started')?.data.job_id);
  const request = await context.bucket.readRecord(restoreRequestKey(jobId), UploadRequest);
  const { Body } = await context.bucket.s3.send(
    new GetObjectCommand({ Bucket: context.bucket.name, Key: request?.value.key }),
  );
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

test('a restore of a file or of a backup in another form uploads what a conversion writes, and leaves nothing here', async () => {
  const bytes = await archiveWith({ 'alpha_full_docs:doc-1': { content: 'ä' } });
  const path = join(folder, 'mine.ngbak');
  await writeFile(path, bytes);
  const out = join(folder, 'out.ngbak');
  expect((await run(['archive', 'convert', path, '--as', 'files', '-o', out], environment)).code).toBe(0);
  const expected = await readFile(out);

  const fromFile = await restore(path);
  expect([fromFile.code, fromFile.stderr]).toEqual([0, '']);
  expect(expected.equals(await uploaded(fromFile))).toBe(true);

  const { archive } = catalogRecord({ backup_id: ID });
  const crc = crc32Base64(crc32(bytes));
  const record = { backup_id: ID, archive: { ...archive, bytes: bytes.length, crc32: crc } };
  await catalogue(context.bucket, record, bytes);
  const fromCatalog = await restore(ID);
  expect([fromCatalog.code, fromCatalog.stderr]).toEqual([0, '']);
  expect(expected.equals(await uploaded(fromCatalog))).toBe(true);
  expect((await readdir(folder)).sort()).toEqual(['mine.ngbak', 'out.ngbak']);
});

test('what would be lost is refused before anything is uploaded, and so are options that need the source itself', async () => {
  const path = join(folder, 'mine.ngbak');
  const expiry = '{"key":"alpha_full_docs:doc-1","expires_at":4000000000000}\n';
  await writeFile(path, await archiveWith({ 'alpha_full_docs:doc-1': {} }, expiry));
  expect(await restore(path)).toMatchObject({ code: 4, stdout: expect.stringContaining('--drop expiry') });
  const signed = await restore(path, '--require-signature');
  expect(signed).toMatchObject({ code: 2, stdout: expect.stringContaining('has no signature') });
  const { jobs } = await directClient(context).listJobs(ListJobsInput.parse({ kind: 'restore' }));
  expect(jobs).toEqual([]);
  expect(await readdir(folder)).toEqual(['mine.ngbak']);
});
