import { createHash, randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { newHeader } from '../../cli/age/recipients.ts';
import { encrypt } from '../../cli/age/stream.ts';
import type { CliClient } from '../../cli/client.ts';
import { directClient } from '../../cli/direct-client.ts';
import { uploadFile } from '../../cli/transfer/upload.ts';
import { type ClosableSource, fileSource } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { restoreRequestKey } from '../../shared/aws/keys.ts';
import { RequestRestoreInput } from '../../shared/operations/restore.ts';
import { readJob } from '../../shared/workflows/job/record.ts';
import { UploadRequest } from '../../shared/workflows/restore/request.ts';
import { type FaultProxy, startFaultProxy } from '../archive/fault-proxy.ts';
import { freshContext } from '../operations/context.ts';
import { until } from '../support/until.ts';
import { environmentOf, run, Session } from './run.ts';

const MIB = 1024 ** 2;
/** Four complete parts and a short one. */
const FILE = randomBytes(64 * MIB + 7);
/** One complete part and a short one. */
const SMALL_FILE = FILE.subarray(0, 16 * MIB + 7);

let context: Awaited<ReturnType<typeof freshContext>>;
let environment: NodeJS.ProcessEnv;
let client: CliClient;
let folder: string;
let proxy: FaultProxy;
let path: string;
let source: ClosableSource;
const signal = () => new AbortController().signal;

beforeEach(async () => {
  context = await freshContext();
  environment = environmentOf(context);
  client = directClient(context);
  proxy = await startFaultProxy(process.env.AWS_ENDPOINT_URL ?? '');
  folder = await mkdtemp(join(tmpdir(), 'ngbak-upload-'));
  path = join(folder, 'mine.ngbak');
  await writeFile(path, FILE);
  source = await fileSource(path);
});
afterEach(async () => {
  await source.close();
  await proxy.stop();
  await rm(folder, { recursive: true });
});

async function begin() {
  const input = RequestRestoreInput.parse({
    file_name: 'mine.ngbak',
    bytes: FILE.length,
    upload: 'multipart',
  });
  const { job_id, multipart } = await client.requestUpload(input);
  return { jobId: job_id, layout: multipart };
}

/** The client, and the numbers of the parts for which addresses were requested. */
function counting(base: CliClient = client, seen: (number: number) => void = () => undefined) {
  const requested: number[] = [];
  const counted: Pick<CliClient, 'presignParts' | 'completeUpload'> = {
    presignParts(jobId, input) {
      for (const { number } of input.parts) {
        requested.push(number);
        seen(number);
      }
      return base.presignParts(jobId, input);
    },
    completeUpload: (jobId) => base.completeUpload(jobId),
  };
  return { requested, client: counted };
}

async function stored(jobId: string): Promise<Buffer> {
  const { key } = (await context.bucket.readRecord(restoreRequestKey(jobId), UploadRequest))?.value ?? {
    key: '',
  };
  const { Body } = await context.bucket.s3.send(
    new GetObjectCommand({ Bucket: context.bucket.name, Key: key }),
  );
  return Buffer.from((await Body?.transformToByteArray()) ?? []);
}

const there = async (jobId: string) => (await client.listUpload(jobId, { after: 0 })).parts;
const progress = () => undefined;

describe('an upload', () => {
  test('transfers exactly the same bytes, and prints the job it starts', async () => {
    const ran = await run(['restore', path, '--target', 'default', '--no-wait', '--json'], environment);
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const started = ran.lines().find(({ type }) => type === 'started');
    expect(FILE.equals(await stored(String(started?.data.job_id)))).toBe(true);
  });

  test('that was interrupted sends only what is missing', async () => {
    const { jobId, layout } = await begin();
    const abort = new AbortController();
    // The fifth part is sent once one of the first four has arrived.
    const { client: cutOff } = counting(client, (number) => {
      if (number === 5) abort.abort();
    });
    await expect(
      uploadFile({ client: cutOff, jobId, layout, there: [], source, signal: abort.signal, progress }),
    ).rejects.toThrow();
    const first = await there(jobId);
    expect(first.length).toBeGreaterThan(0);
    expect(first.length).toBeLessThan(5);
    const { requested, client: counted } = counting();
    const { resumed } = await uploadFile({
      client: counted,
      jobId,
      layout,
      there: first,
      source,
      signal: signal(),
      progress,
    });
    expect(resumed).toBe(first.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(requested.length).toBe(5 - first.length);
    expect(FILE.equals(await stored(jobId))).toBe(true);
  });

  test('sends a part again if its content differs from the file', async () => {
    const { jobId, layout } = await begin();
    const other = randomBytes(16 * MIB);
    const sha256 = createHash('sha256').update(other).digest('hex');
    const { parts } = await client.presignParts(jobId, { parts: [{ number: 2, sha256 }] });
    for (const { url, headers } of parts) {
      expect((await fetch(url, { method: 'PUT', headers, body: other as BodyInit })).status).toBe(200);
    }
    const { resumed } = await uploadFile({
      client,
      jobId,
      layout,
      there: await there(jobId),
      source,
      signal: signal(),
      progress,
    });
    expect(resumed).toBe(0);
    expect(FILE.equals(await stored(jobId))).toBe(true);
  });

  test('requests a new address when one has expired, and retries when S3 is overloaded', async () => {
    const { jobId, layout } = await begin();
    const faults = ['AccessDenied', 'SlowDown', 'InternalError'];
    proxy.decide = (_method, url) => {
      const code = url.searchParams.has('partNumber') ? faults.shift() : undefined;
      return code === undefined
        ? undefined
        : { kind: 'refuse', status: code === 'AccessDenied' ? 403 : 503, code };
    };
    const { requested, client: counted } = counting(
      directClient({
        ...context,
        bucket: new Bucket(
          context.bucket.name,
          new S3Client({ endpoint: proxy.endpoint, forcePathStyle: true }),
        ),
      }),
    );
    let last = 0;
    await uploadFile({
      client: counted,
      jobId,
      layout,
      there: [],
      source,
      signal: signal(),
      progress: (done) => {
        last = done;
      },
    });
    expect(requested.length).toBe(5 + 3);
    expect(last).toBe(FILE.length);
    expect(FILE.equals(await stored(jobId))).toBe(true);
  });

  test('of a file that has changed since it was announced is refused', async () => {
    const { jobId, layout } = await begin();
    await appendFile(path, 'x');
    await source.close();
    source = await fileSource(path);
    await expect(
      uploadFile({ client, jobId, layout, there: [], source, signal: signal(), progress }),
    ).rejects.toThrow(/has changed/);
    expect(await there(jobId)).toEqual([]);
  });
});

describe('an upload of an encrypted file', () => {
  const args = () => ['--target', 'default', '--no-wait', '--json', '--identity', join(folder, 'key.txt')];
  let encrypted: Buffer;

  beforeEach(async () => {
    const secret = await generateX25519Identity();
    await writeFile(join(folder, 'key.txt'), secret);
    const header = await newHeader([await identityToRecipient(secret)]);
    const chunks: Buffer[] = [];
    for await (const chunk of encrypt(source.read(0, source.size), header)) chunks.push(chunk);
    encrypted = Buffer.concat(chunks);
    path = join(folder, 'mine.ngbak.age');
  });

  test('sends exactly its decrypted bytes, under its name without .age', async () => {
    await writeFile(path, encrypted);
    const ran = await run(['restore', path, ...args()], environment);
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    const jobId = String(ran.lines().find(({ type }) => type === 'started')?.data.job_id);
    expect(FILE.equals(await stored(jobId))).toBe(true);
    expect((await client.showJob(jobId)).upload?.file_name).toBe('mine.ngbak');
  });

  test('that turns out to be damaged is cancelled, and nothing of it is restored', async () => {
    const at = encrypted.length - 5 * MIB;
    encrypted[at] = (encrypted[at] ?? 0) ^ 1;
    await writeFile(path, encrypted);
    const ran = await run(['restore', path, ...args()], environment);
    expect([ran.code, ran.stdout]).toEqual([7, expect.stringContaining('not authentic')]);
    const { jobs } = await client.listJobs({ limit: 10 });
    expect(jobs.map(({ state }) => state)).toEqual(['cancelled']);
  });

  test('of a backup in the catalog is refused, because those are not encrypted', async () => {
    const ran = await run(['restore', 'snapshot_1', ...args()], environment);
    expect([ran.code, ran.stdout]).toEqual([2, expect.stringContaining('--identity is for files')]);
  });
});

describe('ngbak restore FILE', () => {
  beforeEach(async () => {
    environment = { ...environment, AWS_ENDPOINT_URL: proxy.endpoint, TERM: 'xterm' };
    await writeFile(path, SMALL_FILE);
  });

  /** Runs the command until S3 has the part that is not blocked, and the first part is on its way and blocked. */
  async function halfWay(terminal: boolean) {
    const isBlocked = new Promise<void>((blocked) => {
      proxy.decide = (_method, url) => {
        if (url.searchParams.get('partNumber') !== '1') return undefined;
        blocked();
        return { kind: 'silence' };
      };
    });
    const session = new Session(['restore', path, '--target', 'default', '--no-wait'], environment, {
      terminal,
    });
    // The other part is small: on a busy machine it is stored before the first one is sent.
    const [jobId] = await Promise.all([untilThere(1), isBlocked]);
    proxy.decide = () => undefined;
    return { session, jobId };
  }

  const untilThere = (count: number) =>
    until(`S3 has ${count} parts`, async () => {
      const { jobs } = await client.listJobs({ limit: 10 });
      const jobId = jobs[0]?.job_id;
      return jobId !== undefined && (await there(jobId)).length === count && jobId;
    });

  test('resumes an upload that was killed, without a local record', async () => {
    const { session, jobId } = await halfWay(false);
    session.signal('SIGKILL');
    expect((await session.end()).code).not.toBe(0);
    const ran = await run(['restore', path, '--target', 'default', '--no-wait'], environment);
    expect([ran.code, ran.stdout]).toEqual([0, `${jobId}\n`]);
    expect(ran.stderr).toContain(`Resuming the upload of job ${jobId}`);
    expect(ran.stderr).toContain('Resuming: ');
    expect(SMALL_FILE.equals(await stored(jobId))).toBe(true);
  });

  test('starts over if the request differs', async () => {
    const { session, jobId } = await halfWay(false);
    session.signal('SIGKILL');
    await session.end();
    const ran = await run(
      ['restore', path, '--target', 'default', '--no-wait', '--stores', 'kv'],
      environment,
    );
    expect(ran.code).toBe(0);
    expect(ran.stdout).not.toContain(jobId);
    expect(await there(jobId)).toHaveLength(1);
  });

  test('keeps the upload when stopped by a signal, and says how to resume', async () => {
    const { session, jobId } = await halfWay(false);
    session.signal('SIGINT');
    const ran = await session.end();
    expect(ran.code).toBe(130);
    expect(ran.stderr).toContain(`ngbak cancel ${jobId}`);
    expect((await readJob(context.bucket, jobId))?.state).toBe('pending');
    expect(await there(jobId)).toHaveLength(1);
  });

  test('at a terminal shows progress and rate, and Ctrl-C and "c" abort the upload', async () => {
    const { session, jobId } = await halfWay(true);
    // The blocked part may be completely sent by now: then nothing remains, and no remaining time.
    await session.shows(/upload .* of .*B\/s/);
    session.type('\u0003');
    await session.shows('cancel the job (c)');
    session.type('c\r');
    expect((await session.end()).code).toBe(130);
    expect((await readJob(context.bucket, jobId))?.state).toBe('cancelled');
    await expect(there(jobId)).rejects.toThrow(/cancelled/);
  });
});
