import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { objectSource, s3Source } from '../../shared/archive/read/sources.ts';
import { uploadStream } from '../../shared/aws/upload-stream.ts';
import { crc32Base64 } from '../../shared/core/crc32.ts';
import { NIGHTLY } from '../nightly.ts';
import { collect } from './build.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { describeS3Servers, type S3Server } from './s3-servers.ts';

const MiB = 1024 ** 2;
/** The amount of data streamed to show that memory use does not grow with it. */
const STREAM_MIB = NIGHTLY ? 1024 : 128;

describeS3Servers('on $name', ({ name, start }) => {
  let server: S3Server;
  let s3: S3Client;
  let Bucket: string;
  beforeAll(async () => {
    server = await start();
    ({ s3, bucket: Bucket } = await server.bucket());
  });
  afterAll(() => server.stop());

  const Key = 'a/b.ngbak';
  const whole = { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' } as const;
  async function begin(key = Key): Promise<string> {
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: key, ...whole }));
    if (!UploadId) throw new Error('no upload id');
    return UploadId;
  }
  async function part(UploadId: string, PartNumber: number, Body: Buffer, key = Key) {
    const sent = await s3.send(
      new UploadPartCommand({ Bucket, Key: key, UploadId, PartNumber, Body, ChecksumAlgorithm: 'CRC32' }),
    );
    return { PartNumber, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 };
  }
  const complete = (UploadId: string, Parts: object[], rest: object = {}) =>
    s3.send(
      new CompleteMultipartUploadCommand({
        Bucket,
        Key,
        UploadId,
        MultipartUpload: { Parts },
        ChecksumType: 'FULL_OBJECT',
        ...rest,
      }),
    );
  const abort = (UploadId: string) => s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
  const uploads = async () =>
    (await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads?.length ?? 0;
  const objects = async (Prefix: string) =>
    (await s3.send(new ListObjectsV2Command({ Bucket, Prefix }))).Contents?.length ?? 0;

  describe('S3', () => {
    const five = randomBytes(5 * MiB);

    test('refuses a part below 5 MiB that is not the last', async () => {
      const id = await begin();
      const parts = [await part(id, 1, Buffer.from('small')), await part(id, 2, five)];
      await expect(complete(id, parts)).rejects.toMatchObject({ name: 'EntityTooSmall' });
      await abort(id);
    });

    test('refuses parts out of order', async () => {
      const id = await begin();
      const parts = [await part(id, 1, five), await part(id, 2, five)];
      await expect(complete(id, parts.reverse())).rejects.toMatchObject({ name: 'InvalidPartOrder' });
      await abort(id);
    });

    test('refuses a wrong ETag', async () => {
      const id = await begin();
      const sent = await part(id, 1, five);
      const wrong = { ...sent, ETag: '"00000000000000000000000000000000"' };
      await expect(complete(id, [wrong])).rejects.toMatchObject({ name: 'InvalidPart' });
      await abort(id);
    });

    test('refuses an object with a different CRC-32', async () => {
      const id = await begin();
      const parts = [await part(id, 1, five)];
      await expect(complete(id, parts, { ChecksumCRC32: crc32Base64(1) })).rejects.toMatchObject({
        name: expect.stringMatching(/BadDigest|InvalidRequest/),
      });
      await abort(id);
    });

    test('refuses a part with a different CRC-32', async () => {
      const id = await begin();
      const bad = new UploadPartCommand({
        Bucket,
        Key,
        UploadId: id,
        PartNumber: 1,
        Body: five,
        ChecksumCRC32: crc32Base64(1),
      });
      await expect(s3.send(bad)).rejects.toThrow();
      await abort(id);
    });

    test('retains nothing of an aborted upload', async () => {
      const id = await begin('gone.ngbak');
      await part(id, 1, five, 'gone.ngbak');
      await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: 'gone.ngbak', UploadId: id }));
      expect(await uploads()).toBe(0);
      expect(await objects('gone')).toBe(0);
    });

    test('completes an upload only if the key does not exist, on request', async () => {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'first' }));
      const id = await begin();
      const parts = [await part(id, 1, five)];
      await expect(complete(id, parts, { IfNoneMatch: '*' })).rejects.toMatchObject({
        name: 'PreconditionFailed',
      });
      await abort(id).catch((error) => {
        // Some servers drop the upload with the failed completion; S3 keeps it.
        if (error.name !== 'NoSuchUpload') throw error;
      });
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }));
      expect(await Body?.transformToString()).toBe('first');
    });

    test('computes the CRC-32 of a copied part and of the whole object from the copied bytes', async () => {
      const content = randomBytes(11 * MiB);
      // versitygw states the CRC-32 of the whole source for a part of it, if the source has one.
      const ChecksumAlgorithm = name === 'versitygw' ? 'SHA256' : 'CRC32';
      await s3.send(new PutObjectCommand({ Bucket, Key: 'source', Body: content, ChecksumAlgorithm }));
      const [from, to] = [MiB, 6 * MiB];
      const copied = content.subarray(from, to);
      const last = Buffer.from('the last part');
      const expected = crc32Base64(crc32(last, crc32(copied)));
      const send = async (checksum: string) => {
        const id = await begin();
        const { CopyPartResult: result } = await s3.send(
          new UploadPartCopyCommand({
            ...{ Bucket, Key, UploadId: id, PartNumber: 1 },
            ...{ CopySource: `${Bucket}/source`, CopySourceRange: `bytes=${from}-${to - 1}` },
          }),
        );
        expect(result?.ChecksumCRC32).toBe(crc32Base64(crc32(copied)));
        const first = { PartNumber: 1, ETag: result?.ETag, ChecksumCRC32: result?.ChecksumCRC32 };
        const parts = [first, await part(id, 2, last)];
        return { id, sent: complete(id, parts, { ChecksumCRC32: checksum }) };
      };
      const wrong = await send(crc32Base64(crc32(last, crc32(content.subarray(from + 1, to + 1)))));
      await expect(wrong.sent).rejects.toMatchObject({
        name: expect.stringMatching(/BadDigest|InvalidRequest/),
      });
      await abort(wrong.id);
      await (await send(expected)).sent;
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
      expect(head).toMatchObject({ ChecksumCRC32: expected, ChecksumType: 'FULL_OBJECT' });
    });

    test('copies a range of a source only while the source is unchanged', async () => {
      const source = { Bucket, Key: 'source' };
      const { ETag } = await s3.send(new PutObjectCommand({ ...source, Body: Buffer.concat([five, five]) }));
      const id = await begin('copy.ngbak');
      const copy = (etag: string | undefined) =>
        s3.send(
          new UploadPartCopyCommand({
            Bucket,
            Key: 'copy.ngbak',
            UploadId: id,
            PartNumber: 1,
            CopySource: `${Bucket}/source`,
            CopySourceRange: `bytes=${MiB}-${6 * MiB - 1}`,
            CopySourceIfMatch: etag,
          }),
        );
      await copy(ETag);
      await s3.send(new PutObjectCommand({ ...source, Body: 'changed' }));
      if (name === 'versitygw') await expect(copy(ETag)).rejects.toThrow();
      await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: 'copy.ngbak', UploadId: id }));
    });
  });

  describe('with faults', () => {
    let proxy: FaultProxy;
    let faulty: S3Client;
    beforeEach(async () => {
      proxy = await startFaultProxy(server.endpoint);
      faulty = server.client(proxy.endpoint);
    });
    afterEach(async () => {
      faulty.destroy();
      await proxy.stop();
    });
    // Two whole parts and the rest.
    const data = randomBytes(11 * MiB + 3);
    async function* chunks() {
      for (let at = 0; at < data.length; at += MiB) yield data.subarray(at, at + MiB);
    }
    const send = (rest: object = {}) =>
      uploadStream({ s3: faulty, bucket: Bucket, key: 'faulty.bin', chunks: chunks(), ...rest });
    const times = (
      count: number,
      fault: ReturnType<FaultProxy['decide']>,
      applies: (method: string, url: URL) => boolean,
    ) => {
      let left = count;
      proxy.decide = (method, url) => (applies(method, url) && left-- > 0 ? fault : undefined);
    };
    const isPart = (number: number) => (method: string, url: URL) =>
      method === 'PUT' && url.searchParams.get('partNumber') === String(number);
    async function expectWhole() {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'faulty.bin' }));
      expect(Buffer.from((await Body?.transformToByteArray()) ?? []).equals(data)).toBe(true);
      expect(await uploads()).toBe(0);
    }

    test.each([500, 503])('a part that fails four times with %d is sent again', async (status) => {
      times(4, { kind: 'refuse', status, code: status === 503 ? 'SlowDown' : 'InternalError' }, isPart(2));
      await send();
      await expectWhole();
      expect(proxy.seen.filter((url) => url.includes('partNumber=2')).length).toBe(5);
    });

    test('when S3 throttles everything for a while, the upload backs off and succeeds', async () => {
      times(9, { kind: 'refuse', status: 503, code: 'SlowDown' }, () => true);
      await send();
      await expectWhole();
    });

    test('a part whose connection breaks is sent again', async () => {
      times(3, { kind: 'reset' }, isPart(1));
      await send();
      await expectWhole();
    });

    test('a part without a response is sent again', async () => {
      times(1, { kind: 'silence' }, isPart(1));
      await send({ timeout: 2000 });
      await expectWhole();
    });

    test('a completion whose response is lost is recognized as complete', async () => {
      times(
        1,
        { kind: 'cut', after: 1 },
        (method, url) => method === 'POST' && url.searchParams.has('uploadId'),
      );
      await send();
      await expectWhole();
    });

    test('a part that is refused permanently ends the upload at once, and leaves nothing', async () => {
      proxy.decide = (method, url) =>
        isPart(1)(method, url) ? { kind: 'refuse', status: 403, code: 'AccessDenied' } : undefined;
      let read = 0;
      async function* endless() {
        for (; read < 4000; read++) yield data.subarray(0, MiB);
      }
      await expect(
        uploadStream({ s3: faulty, bucket: Bucket, key: 'refused.bin', chunks: endless() }),
      ).rejects.toThrow('No permission to write part 1');
      // Five parts of 8 MiB at most: not the whole stream.
      expect(read).toBeLessThanOrEqual(48);
      expect(await uploads()).toBe(0);
      expect(await objects('refused')).toBe(0);
    });

    test('an aborted upload leaves nothing', async () => {
      const stop = new AbortController();
      proxy.decide = (method, url) => {
        if (isPart(2)(method, url)) stop.abort();
        return undefined;
      };
      await expect(
        uploadStream({
          s3: faulty,
          bucket: Bucket,
          key: 'stopped.bin',
          chunks: chunks(),
          signal: stop.signal,
        }),
      ).rejects.toMatchObject({ name: 'AbortError' });
      expect(await uploads()).toBe(0);
      expect(await objects('stopped')).toBe(0);
    });

    /** Longer than a response takes on any machine, in milliseconds. */
    const PATIENT_MS = 60_000;
    async function faultySource(silence: number) {
      const { ETag = '' } = await s3.send(new PutObjectCommand({ Bucket, Key: 'read.bin', Body: data }));
      return objectSource(faulty, {
        bucket: Bucket,
        key: 'read.bin',
        size: data.length,
        etag: ETag,
        silence,
      });
    }
    const read = async (source: Awaited<ReturnType<typeof faultySource>>) =>
      (await collect(source.read(3, data.length - 5) as AsyncGenerator<Uint8Array>)).bytes;

    test.each(['cut', 'stall'] as const)(
      'a read whose responses are %s resumes where it stopped',
      async (kind) => {
        const source = await faultySource(kind === 'stall' ? 3000 : PATIENT_MS);
        times(3, { kind, after: 3 * MiB + 11 }, (method) => method === 'GET');
        expect((await read(source)).equals(data.subarray(3, -2))).toBe(true);
        const requests = proxy.seen.filter((url) => url.startsWith('GET')).length;
        // A machine that stands still is a stall too.
        if (kind === 'stall') expect(requests).toBeGreaterThanOrEqual(4);
        else expect(requests).toBe(4);
      },
    );

    test('reading an object that was replaced during the read is an error, never a mixture', async () => {
      const source = await faultySource(PATIENT_MS);
      proxy.decide = (method) => (method === 'GET' ? { kind: 'cut', after: MiB } : undefined);
      let first = true;
      const mixed = (async () => {
        for await (const chunk of source.read(0, data.length)) {
          if (first && chunk.length > 0) {
            first = false;
            await s3.send(new PutObjectCommand({ Bucket, Key: 'read.bin', Body: randomBytes(data.length) }));
          }
        }
      })();
      await expect(mixed).rejects.toThrow('was replaced while it was read');
    });
  });

  test('a missing object is reported with its address', async () => {
    await expect(s3Source(s3, Bucket, 'nothing.ngbak')).rejects.toThrow(
      `There is no object s3://${Bucket}/nothing.ngbak`,
    );
  });

  test('the CRC-32 of a streamed object is the one that S3 stores', async () => {
    const body = randomBytes(9 * MiB);
    const { crc32 } = await uploadStream({
      s3,
      bucket: Bucket,
      key: 'crc.bin',
      chunks: (async function* () {
        yield body;
      })(),
    });
    const head = await s3.send(new HeadObjectCommand({ Bucket, Key: 'crc.bin', ChecksumMode: 'ENABLED' }));
    expect(head.ChecksumCRC32).toBe(crc32Base64(crc32));
  });

  // Not on the emulator, which keeps objects in memory.
  if (name !== 'versitygw') return;
  test(`${STREAM_MIB} MiB are streamed in both directions, and memory use does not grow with the size`, async () => {
    const { bucket } = await server.bucket();
    const credentials = await s3.config.credentials();
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        resolve(import.meta.dirname, 'large-stream.ts'),
        bucket,
        String(STREAM_MIB),
      ],
      {
        env: {
          ...process.env,
          AWS_ENDPOINT_URL: server.endpoint,
          AWS_REGION: 'us-east-1',
          AWS_ACCESS_KEY_ID: credentials.accessKeyId,
          AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
        },
      },
    );
    const { peaks, problems } = JSON.parse(stdout);
    expect(problems).toEqual([]);
    process.stderr.write(`peaks of memory in MiB: ${JSON.stringify(peaks)}\n`);
    expect(peaks.uploaded).toBeLessThan(peaks.quarter * 1.25);
    expect(peaks.verified).toBeLessThan(peaks.quarter * 1.25);
  });
});
