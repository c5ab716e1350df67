import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Bucket } from '../../shared/aws/bucket.ts';
import { createRestoreRequest } from '../../shared/workflows/restore/request.ts';
import {
  beginUpload,
  completeUpload,
  layoutOf,
  listUploadedParts,
  partLength,
  presignPart,
} from '../../shared/workflows/restore/upload-parts.ts';
import { describeS3Servers, type S3Server } from '../archive/s3-servers.ts';

const FILE = randomBytes(16 * 1024 ** 2 + 9);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const put = async (url: string, headers: Record<string, string>, body: Uint8Array) =>
  (await fetch(url, { method: 'PUT', headers, body: body as BodyInit })).status;

describeS3Servers('addresses for uploads, at $name', ({ start }) => {
  let server: S3Server;
  let bucket: Bucket;

  beforeAll(async () => {
    server = await start();
    const made = await server.bucket();
    bucket = new Bucket(made.bucket, made.s3);
  });
  afterAll(() => server.stop());

  test('accept a file of the declared size only', async () => {
    const request = { target: 'x', fileName: 'a.ngbak', bytes: 9 };
    const { put: address } = await createRestoreRequest(bucket, request);
    expect(await put(address.url, address.headers, FILE.subarray(0, 10))).toBe(403);
    expect(await put(address.url, address.headers, FILE.subarray(0, 9))).toBe(200);
  });

  test('accept a part only with the bytes that it was signed for', async () => {
    const key = 'uploads/job/a.ngbak';
    const upload = { key, upload_id: await beginUpload(bucket, key) };
    const layout = layoutOf(FILE.length);
    for (const number of [1, 2]) {
      const body = FILE.subarray((number - 1) * layout.part_bytes, number * layout.part_bytes);
      const part = { number, bytes: partLength(layout, number), sha256: sha256(body) };
      const { url, headers } = await presignPart(bucket, upload, part, 900);
      expect(await put(url, headers, Buffer.alloc(body.length))).toBe(400);
      expect(await put(url, headers, body)).toBe(200);
      const listed = (await listUploadedParts(bucket, upload))?.parts ?? [];
      expect(listed[number - 1]).toMatchObject(part);
    }
    expect(await completeUpload(bucket, upload, layout)).toBe(true);
    expect(await completeUpload(bucket, upload, layout)).toBe(false);
  });
});
