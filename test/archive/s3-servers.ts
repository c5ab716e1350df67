import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';

/** A stricter S3 than the emulator: posix backend, checks signatures, part rules and checksums. */
const VERSITYGW = 'github.com/versity/versitygw/cmd/versitygw';
const VERSITYGW_VERSION = '1.8.0';
/** Longest that building it may take, in milliseconds. */
const BUILD_MS = 5 * 60_000;
const CACHE = resolve(import.meta.dirname, '../../.local/bin');

export interface S3Server {
  readonly name: string;
  readonly endpoint: string;
  /** A client with a new, versioned, empty bucket. */
  bucket(): Promise<{ s3: S3Client; bucket: string }>;
  client(endpoint?: string): S3Client;
  stop(): Promise<void>;
}

/** The S3 servers that this machine has: the emulator that the test run started, and versitygw where Go is there. */
export const S3_SERVERS: readonly { name: string; start(): Promise<S3Server> }[] = [
  ...(process.env.AWS_ENDPOINT_URL ? [{ name: 'emulator', start: startEmulator }] : []),
  ...(findVersitygw() ? [{ name: 'versitygw', start: startVersitygw }] : []),
];

async function startEmulator(): Promise<S3Server> {
  return server(
    'emulator',
    process.env.AWS_ENDPOINT_URL ?? '',
    { accessKeyId: 'test', secretAccessKey: 'test' },
    () => Promise.resolve(),
  );
}

function findVersitygw(): string | undefined {
  const binary = join(CACHE, `versitygw-${VERSITYGW_VERSION}`);
  if (existsSync(binary)) return binary;
  if (process.env.NGBAK_TEST_NO_GO) return undefined;
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'go-'));
  try {
    execFileSync('go', ['install', `${VERSITYGW}@v${VERSITYGW_VERSION}`], {
      env: { ...process.env, GOBIN: folder },
      stdio: 'ignore',
      timeout: BUILD_MS,
    });
    renameSync(join(folder, 'versitygw'), binary);
    return binary;
  } catch (error) {
    // No Go here, or no network: the suite runs on what is left, and says on which servers.
    process.stderr.write(`versitygw is not available: ${error instanceof Error ? error.message : error}\n`);
    return undefined;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Starts versitygw on a free port with its data below the system's temp folder. */
export async function startVersitygw(): Promise<S3Server> {
  const binary = findVersitygw();
  if (!binary) throw new Error('versitygw is not there');
  const folder = mkdtempSync(join(tmpdir(), 'ngbak-versitygw-'));
  const data = join(folder, 'data');
  const versions = join(folder, 'versions');
  mkdirSync(data);
  mkdirSync(versions);
  const port = await freePort();
  const credentials = { accessKeyId: 'ngbaktest', secretAccessKey: 'ngbaktest-secret' };
  const child = spawn(
    binary,
    ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', '--versioning-dir', versions, data],
    {
      env: {
        ...process.env,
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
      stdio: 'ignore',
    },
  );
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  const endpoint = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    try {
      await fetch(endpoint);
      break;
    } catch (error) {
      if (tries > 100 || child.exitCode !== null) throw error;
      await delay(100);
    }
  }
  return server('versitygw', endpoint, credentials, async () => {
    child.kill('SIGTERM');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });
}

function server(
  name: string,
  endpoint: string,
  credentials: { accessKeyId: string; secretAccessKey: string },
  stop: () => Promise<void>,
): S3Server {
  const clients: S3Client[] = [];
  const client = (address = endpoint) => {
    const s3 = new S3Client({ endpoint: address, region: 'us-east-1', credentials, forcePathStyle: true });
    clients.push(s3);
    return s3;
  };
  let buckets = 0;
  return {
    name,
    endpoint,
    client,
    async bucket() {
      const s3 = client();
      const bucket = `ngbak-archive-${process.pid}-${Date.now()}-${buckets++}`;
      await s3.send(new CreateBucketCommand({ Bucket: bucket }));
      await s3.send(
        new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
      );
      return { s3, bucket };
    },
    async stop() {
      for (const s3 of clients) s3.destroy();
      await stop();
    },
  };
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, '127.0.0.1', done));
  const address = probe.address();
  await new Promise((done) => probe.close(done));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
