import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { hasVersitygw, installVersitygw } from '../../local/install/versitygw.ts';
import { describeUnless, missing } from '../conditions.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';

/** Timeout for the start of a server, in milliseconds: versitygw is built the first time. */
const START_TIMEOUT_MS = 10 * 60_000;

export interface S3Server {
  readonly name: string;
  readonly endpoint: string;
  /** A client with a new, versioned, empty bucket. */
  bucket(): Promise<{ s3: S3Client; bucket: string }>;
  client(endpoint?: string): S3Client;
  stop(): Promise<void>;
}

interface AvailableS3Server {
  readonly name: string;
  /** Why the server is not available here. */
  readonly missing: string | undefined;
  start(): Promise<S3Server>;
}

/** The emulator of the test run, and versitygw, which verifies signatures, part rules and checksums. */
export const S3_SERVERS: readonly AvailableS3Server[] = [
  { name: 'emulator', missing: undefined, start: startEmulator },
  { name: 'versitygw', missing: versitygwMissing(), start: startVersitygw },
];

/** Defines tests for each S3 server, with its name for `$name`; those of a server that is not available are skipped. */
export function describeS3Servers(title: string, define: (server: AvailableS3Server) => void): void {
  for (const server of S3_SERVERS) {
    describeUnless(server.missing, title.replace('$name', server.name), () => define(server));
  }
}

async function startEmulator(): Promise<S3Server> {
  return server('emulator', servers.aws.endpoint, { accessKeyId: 'test', secretAccessKey: 'test' }, () =>
    Promise.resolve(),
  );
}

function versitygwMissing(): string | undefined {
  if (hasVersitygw(process.env)) return undefined;
  if (process.env.NGBAK_TEST_NO_GO) return 'NGBAK_TEST_NO_GO is set, and versitygw has not been built';
  const noGo = missing('go', 'version');
  return noGo === undefined ? undefined : `${noGo}, and versitygw has not been built`;
}

/** Starts versitygw on a free port with its data below the system's temp folder. */
async function startVersitygw(): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), 'ngbak-versitygw-'));
  const binary = await installVersitygw({
    environment: process.env,
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
    log: join(folder, 'install.log'),
    onInstall: () => undefined,
  });
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
  const exited = new Promise<void>((done) => child.once('exit', () => done()));
  const endpoint = `http://127.0.0.1:${port}`;
  await until('versitygw answers', async () => {
    if (child.exitCode !== null) throw new Error(`versitygw ended with ${child.exitCode}.`);
    return fetch(endpoint).catch(() => false as const);
  });
  return server('versitygw', endpoint, credentials, async () => {
    child.kill('SIGTERM');
    await exited;
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
