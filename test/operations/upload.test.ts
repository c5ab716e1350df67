import { createHash, randomBytes } from 'node:crypto';
import { GetObjectCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { UPLOADS } from '../../shared/aws/keys.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import { cancelJob } from '../../shared/operations/cancel-job.ts';
import { RequestRestoreInput, requestRestore, restoreBackup } from '../../shared/operations/restore.ts';
import { completeRestoreUpload, listUpload, presignParts } from '../../shared/operations/upload.ts';
import { readJob, updateJob } from '../../shared/workflows/job/record.ts';
import { MultipartRequest, SingleUpload } from '../../shared/workflows/restore/request.ts';
import { layoutOf, partLength } from '../../shared/workflows/restore/upload-parts.ts';
import { catalogue } from '../support/catalog.ts';
import { freshContext } from './context.ts';

const MIB = 1024 ** 2;
/** Two complete parts and a short one. */
const FILE = randomBytes(33 * MIB + 5);
const me = { requestedBy: 'ada' };

let context: Awaited<ReturnType<typeof freshContext>>;

beforeEach(async () => {
  context = await freshContext({ config: true });
});

const input = (changes: object = {}) =>
  RequestRestoreInput.parse({
    file_name: 'a.ngbak',
    bytes: FILE.length,
    upload: 'multipart',
    ...changes,
  });
const request = async (changes: object = {}, idempotencyKey?: string) =>
  MultipartRequest.parse(await requestRestore(context, input(changes), { ...me, idempotencyKey }));
const partOf = (number: number) => FILE.subarray((number - 1) * 16 * MIB, number * 16 * MIB);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function address(jobId: string, number: number, bytes = partOf(number)) {
  const { parts } = await presignParts(context, jobId, { parts: [{ number, sha256: sha256(bytes) }] });
  const [part] = parts;
  if (!part) throw new Error('no address was given');
  return part;
}

async function put(jobId: string, number: number, bytes = partOf(number)): Promise<number> {
  const { url, headers } = await address(jobId, number, bytes);
  return (await fetch(url, { method: 'PUT', headers, body: bytes as BodyInit })).status;
}

async function openUploads(): Promise<number> {
  const { Uploads } = await context.bucket.s3.send(
    new ListMultipartUploadsCommand({ Bucket: context.bucket.name, Prefix: UPLOADS }),
  );
  return Uploads?.length ?? 0;
}

describe('a multipart upload', () => {
  test('is split into at most 10,000 parts whose sizes add up, for any size', () => {
    for (const bytes of [
      1,
      16 * MIB,
      16 * MIB + 1,
      10_000 * 16 * MIB,
      10_000 * 16 * MIB + 1,
      48 * 1024 ** 4,
    ]) {
      const layout = layoutOf(bytes);
      expect(layout.part_count).toBeLessThanOrEqual(10_000);
      expect(layout.part_bytes).toBeLessThanOrEqual(5 * 1024 ** 3);
      const last = partLength(layout, layout.part_count);
      expect(last).toBeGreaterThan(0);
      expect((layout.part_count - 1) * layout.part_bytes + last).toBe(bytes);
    }
  });

  test('writes exactly the same bytes to its key, regardless of the order of the parts', async () => {
    const { job_id, key, multipart } = await request();
    expect(multipart).toEqual({ bytes: FILE.length, part_bytes: 16 * MIB, part_count: 3 });
    expect(await Promise.all([3, 1, 2].map((number) => put(job_id, number)))).toEqual([200, 200, 200]);
    expect(await completeRestoreUpload(context, job_id)).toEqual({ job_id, state: 'pending' });
    const { Body } = await context.bucket.s3.send(
      new GetObjectCommand({ Bucket: context.bucket.name, Key: key }),
    );
    expect(FILE.equals(Buffer.from((await Body?.transformToByteArray()) ?? []))).toBe(true);
    expect(await readJob(context.bucket, job_id)).toMatchObject({
      upload: { file_name: 'a.ngbak', bytes: FILE.length },
    });
  });

  test('lists the uploaded parts with their digests, so that it can be resumed', async () => {
    const { job_id } = await request({ stores: ['kv'] });
    await put(job_id, 2);
    expect(await listUpload(context, job_id, { after: 0 })).toMatchObject({
      job_id,
      file_name: 'a.ngbak',
      options: { stores: ['kv'], mode: 'replace' },
      part_count: 3,
      parts: [{ number: 2, bytes: 16 * MIB, sha256: sha256(partOf(2)) }],
    });
    expect((await listUpload(context, job_id, { after: 2 })).parts).toEqual([]);
  });

  test('accepts a part only with the bytes that its address was signed for', async () => {
    const { job_id } = await request();
    const { url, headers } = await address(job_id, 1);
    const other = randomBytes(16 * MIB);
    const answer = await fetch(url, { method: 'PUT', headers, body: other as BodyInit });
    expect(answer.status).toBe(400);
    expect((await listUpload(context, job_id, { after: 0 })).parts).toEqual([]);
    await expect(
      presignParts(context, job_id, { parts: [{ number: 4, sha256: sha256(other) }] }),
    ).rejects.toThrow(/no part 4/);
  });

  test('is not completed while parts are missing, and names them', async () => {
    const { job_id } = await request();
    await put(job_id, 1);
    await expect(completeRestoreUpload(context, job_id)).rejects.toThrow(/2 of 3 parts are missing.*: 2, 3/);
    await put(job_id, 2);
    await put(job_id, 3);
    await completeRestoreUpload(context, job_id);
    // The response of the first call may have been lost.
    expect(await completeRestoreUpload(context, job_id)).toMatchObject({ job_id });
  });

  test('that was completed reports the state of its job, and accepts no more parts', async () => {
    const { job_id } = await request();
    await updateJob(context.bucket, job_id, () => ({ state: 'processing', execution_arn: 'arn:x' }));
    expect(await completeRestoreUpload(context, job_id)).toEqual({ job_id, state: 'processing' });
    await expect(address(job_id, 1)).rejects.toThrow(/not waiting for an upload/);
  });

  test('is removed from S3 once its job is cancelled', async () => {
    const { job_id } = await request();
    await put(job_id, 1);
    expect(await openUploads()).toBe(1);
    await cancelJob(context, job_id, me);
    expect(await openUploads()).toBe(0);
    await expect(address(job_id, 2)).rejects.toThrow(/cancelled/);
    await expect(completeRestoreUpload(context, job_id)).rejects.toThrow(/cancelled/);
  });

  test('above the size limit of the deployment is refused before it begins', async () => {
    const { config } = context;
    context = {
      ...context,
      config: { ...(config ?? NgbakConfig.parse({ targets: {} })), upload_bytes_max: 10 },
    };
    await expect(request()).rejects.toThrow(/the limit is 10/);
    await expect(requestRestore(context, input({ upload: 'single' }), me)).rejects.toThrow(/the limit is 10/);
    expect(await openUploads()).toBe(0);
  });

  test('requires the size, and a job that was requested', async () => {
    await expect(requestRestore(context, input({ bytes: undefined }), me)).rejects.toThrow(/needs the size/);
    await expect(address('restore_none', 1)).rejects.toThrow(/No upload was requested/);
    const single = await requestRestore(context, input({ upload: 'single' }), me);
    await expect(address(single.job_id, 1)).rejects.toThrow(/one PUT or POST/);
  });
});

describe('an idempotency key of an upload', () => {
  test('makes the same request again the same job, and leaves one upload in S3', async () => {
    const first = await request({}, 'k');
    const again = await request({}, 'k');
    expect(again).toEqual({ ...first, replayed: true });
    expect(await openUploads()).toBe(1);
    await put(again.job_id, 1);
    expect((await listUpload(context, first.job_id, { after: 0 })).parts).toHaveLength(1);
  });

  test('renews the addresses of an upload in one request', async () => {
    const ask = async () =>
      SingleUpload.parse(
        await requestRestore(context, input({ upload: 'single' }), { ...me, idempotencyKey: 'k' }),
      );
    const first = await ask();
    const again = await ask();
    expect(again).toMatchObject({ job_id: first.job_id, key: first.key, replayed: true });
    const answer = await fetch(again.put.url, {
      method: 'PUT',
      headers: again.put.headers,
      body: FILE as BodyInit,
    });
    expect(answer.status).toBe(200);
  });

  test('is refused with a different request, also of the other kind, and once the job has continued', async () => {
    const { job_id } = await request({}, 'k');
    await expect(request({ stores: ['kv'] }, 'k')).rejects.toThrow(/used for another request/);
    await expect(request({ bytes: 17 }, 'k')).rejects.toThrow(/used for another request/);
    await catalogue(context.bucket, { backup_id: 'snapshot_1' });
    const restore = (key: string) =>
      restoreBackup(
        context,
        {
          backup_id: 'snapshot_1',
          mode: 'replace',
          on_conflict: 'fail',
          dry_run: false,
          safety_backup: true,
        },
        { ...me, idempotencyKey: key },
      );
    await expect(restore('k')).rejects.toThrow(/used for another request/);
    await restore('other');
    await expect(request({}, 'other')).rejects.toThrow(/used for another request/);
    expect(await openUploads()).toBe(1);
    await updateJob(context.bucket, job_id, () => ({ state: 'completed' }));
    await expect(request({}, 'k')).rejects.toThrow(/is completed/);
  });
});
