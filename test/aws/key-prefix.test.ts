import { randomBytes } from 'node:crypto';
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { z } from 'zod';
import { openArchive } from '../../shared/archive/read/open.ts';
import { s3Source } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { KeyPrefix } from '../../shared/aws/key-prefix.ts';
import { AccessDeniedError } from '../../shared/core/errors.ts';
import { UNOWNED_MS, removeUnowned } from '../../shared/workflows/janitor/unowned.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import { beginUpload } from '../../shared/workflows/restore/upload-parts.ts';
import { buildArchive } from '../archive/build.ts';
import { servers } from '../servers.ts';
import { createUser } from '../stack/operator.ts';

const name = `shared-${randomBytes(6).toString('hex')}`;
const Value = z.object({ of: z.string() });
let whole: Bucket;
let a: Bucket;
let b: Bucket;

async function keysOf(bucket: Bucket, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of bucket.keys(prefix)) keys.push(key);
  return keys;
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

beforeAll(async () => {
  whole = new Bucket(name);
  await whole.s3.send(new CreateBucketCommand({ Bucket: name }));
  const VersioningConfiguration = { Status: 'Enabled' as const };
  await whole.s3.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration }));
  // One name begins with the other: only the slash separates them.
  a = new Bucket(`${name}/team/a`);
  b = new Bucket(`${name}/team/a.b/`);
});
afterAll(async () => {
  await whole.abortUploads('');
  await whole.removeAll('');
  await whole.s3.send(new DeleteBucketCommand({ Bucket: name }));
});

test('two deployments share a bucket under two prefixes, and neither sees or deletes objects of the other', async () => {
  for (const bucket of [whole, a, b]) {
    await bucket.writeRecord('jobs/one/job.json', { of: bucket.place }, { absent: true });
    await bucket.updateRecord('jobs/one/job.json', Value, (value) => ({ of: `${value?.of}, changed` }));
    await bucket.writeRecord('jobs/two/job.json', { of: bucket.place });
    await beginUpload(bucket, 'uploads/one/x.ngbak');
  }
  for (const bucket of [a, b]) {
    expect((await bucket.readRecord('jobs/one/job.json', Value))?.value.of).toBe(`${bucket.place}, changed`);
    expect(await keysOf(bucket)).toEqual(['jobs/one/job.json', 'jobs/two/job.json']);
    expect(await collect(bucket.folders('jobs/'))).toEqual(['one', 'two']);
    expect(await collect(bucket.versions('jobs/one/job.json'))).toHaveLength(2);
    expect((await collect(bucket.uploads(''))).map(({ key }) => key)).toEqual(['uploads/one/x.ngbak']);
  }
  expect((await keysOf(whole, 'team/')).sort()).toEqual([
    'team/a.b/jobs/one/job.json',
    'team/a.b/jobs/two/job.json',
    'team/a/jobs/one/job.json',
    'team/a/jobs/two/job.json',
  ]);
  // The widest deletions that exist.
  expect(await a.removeAll('')).toBe(3);
  expect(await a.abortUploads('')).toBe(1);
  expect(await keysOf(a)).toEqual([]);
  expect(await keysOf(b)).toHaveLength(2);
  expect(await collect(b.versions('jobs/one/job.json'))).toHaveLength(2);
  expect((await collect(whole.uploads(''))).map(({ key }) => key).sort()).toEqual([
    'team/a.b/uploads/one/x.ngbak',
    'uploads/one/x.ngbak',
  ]);
  const { etag = '' } = (await b.readRecord('jobs/two/job.json', Value)) ?? {};
  await b.removeRecord('jobs/two/job.json', etag);
  expect(await keysOf(whole, 'team/')).toEqual(['team/a.b/jobs/one/job.json']);
});

test('the janitor removes unowned objects only below its prefix, and uploads of others in the bucket stay', async () => {
  for (const bucket of [whole, a, b]) {
    await bucket.writeRecord('staging/gone/plan.json', {});
    await beginUpload(bucket, 'uploads/gone/x.ngbak');
  }
  await beginUpload(whole, 'reports/of/others.csv');
  expect(await removeUnowned(a, () => UNOWNED_MS, { ageMs: -60_000 })).toEqual({ objects: 1, uploads: 1 });
  expect(await keysOf(whole, 'staging/')).toEqual(['staging/gone/plan.json']);
  expect(await keysOf(b, 'staging/')).toEqual(['staging/gone/plan.json']);
  // A deployment that has the whole bucket keeps to its own folders, too.
  await removeUnowned(whole, () => UNOWNED_MS, { ageMs: -60_000 });
  const left = (await collect(whole.uploads(''))).map(({ key }) => key);
  expect(left).toContain('reports/of/others.csv');
  expect(left).toContain('team/a.b/uploads/gone/x.ngbak');
  expect(left).not.toContain('uploads/gone/x.ngbak');
});

test('presigned addresses, archives and messages have the full key', async () => {
  const archive = await buildArchive([]);
  const request = await createRestoreRequest(a, { target: 'default', fileName: 'x.ngbak' });
  expect(request.key).toBe(`team/a/uploads/${request.job_id}/x.ngbak`);
  const { put, post } = request;
  const sent = await fetch(put.url, { method: 'PUT', headers: put.headers, body: archive as BodyInit });
  expect([sent.status, await keysOf(whole, 'team/a/uploads/')]).toEqual([200, [request.key]]);
  const form = new FormData();
  for (const [field, value] of Object.entries(post.fields)) form.append(field, value);
  form.append('file', new Blob([archive as BlobPart]));
  const posted = await fetch(post.url, { method: 'POST', body: form });
  expect([posted.ok, post.fields.key]).toEqual([true, request.key]);
  const key = `uploads/${request.job_id}/x.ngbak`;
  expect(await collect(a.versions(key))).toHaveLength(2);
  const url = await getSignedUrl(a.s3, new GetObjectCommand({ Bucket: name, Key: key }));
  expect(new Uint8Array(await (await fetch(url)).arrayBuffer())).toEqual(new Uint8Array(archive));
  await openArchive(await s3Source(a.s3, a.name, key));
  await expect(s3Source(a.s3, a.name, 'none')).rejects.toThrow(`s3://${name}/team/a/none`);
  // The same client accesses other buckets without the prefix.
  await expect(a.s3.send(new HeadObjectCommand({ Bucket: `${name}-other`, Key: key }))).rejects.toThrow();
  expect([a.ownKey(`team/a/${key}`), a.ownKey(`team/a.b/${key}`)]).toEqual([key, undefined]);
});

test('a role that may list and read only below the prefix gets "not found" for missing objects, and sees no others', async () => {
  const objects = `arn:aws:s3:::${name}/team/a/*`;
  const PolicyDocument = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      { Effect: 'Allow', Action: 's3:GetObject', Resource: objects },
      { Effect: 'Allow', Action: 's3:PutObject', Resource: objects.replace('*', 'locks/*') },
      {
        Effect: 'Allow',
        Action: 's3:ListBucket',
        Resource: `arn:aws:s3:::${name}`,
        Condition: { StringLike: { 's3:prefix': ['team/a/*'] } },
      },
    ],
  });
  const grant: [string, Record<string, string>] = ['PutUserPolicy', { PolicyName: 'a', PolicyDocument }];
  const user = await createUser(servers.aws.endpoint, `prefix-${name}`, grant);
  const credentials = {
    accessKeyId: user.AWS_ACCESS_KEY_ID ?? '',
    secretAccessKey: user.AWS_SECRET_ACCESS_KEY ?? '',
  };
  const limited = new Bucket(`${name}/team/a`, new S3Client({ credentials }));
  expect(await limited.readRecord('locks/none.json', Value)).toBeUndefined();
  await limited.writeRecord('locks/one.json', { of: 'a' }, { absent: true });
  expect((await limited.readRecord('locks/one.json', Value))?.value).toEqual({ of: 'a' });
  await expect(limited.s3.send(new HeadObjectCommand({ Bucket: name, Key: 'none' }))).rejects.toMatchObject({
    name: 'NotFound',
  });
  // A forbidden write is refused, and not reported as a missing object.
  await expect(limited.writeRecord('jobs/one.json', {}, { etag: '"0"' })).rejects.toThrow(AccessDeniedError);
  await expect(limited.removeRecord('locks/none.json', '"0"')).rejects.toThrow(AccessDeniedError);
  const outside = new S3Client({ credentials });
  await whole.s3.send(new PutObjectCommand({ Bucket: name, Key: 'jobs/x', Body: 'x' }));
  for (const call of [
    () => outside.send(new GetObjectCommand({ Bucket: name, Key: 'jobs/x' })),
    () => outside.send(new ListObjectsV2Command({ Bucket: name, Prefix: 'jobs/' })),
    // Without the client that knows the prefix, a missing object is a refusal: the emulator is as strict as S3.
    () => outside.send(new GetObjectCommand({ Bucket: name, Key: 'team/a/locks/none.json' })),
  ])
    await expect(call()).rejects.toMatchObject({ name: 'AccessDenied' });
  outside.destroy();
  limited.s3.destroy();
});

test.each([
  '/a',
  'a//b',
  'a/../b',
  '..',
  'a b',
  'a*',
  'a?',
  '$x',
  '',
  'a/uploads',
  'backups',
  'x'.repeat(300),
])('the prefix "%s" is refused', (prefix) => {
  expect(KeyPrefix.safeParse(prefix).success).toBe(false);
  if (prefix !== '') expect(() => new Bucket(`${name}/${prefix}`)).toThrow(/prefix/i);
});
