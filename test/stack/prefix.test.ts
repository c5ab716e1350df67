import { execFileSync } from 'node:child_process';
import { verify as verifySignature } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CloudFormationClient, DeleteStackCommand } from '@aws-sdk/client-cloudformation';
import {
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { deployStack } from '../../local/deploy.ts';
import { emulatorAddress } from '../../local/services/aws.ts';
import { readManifestBytes } from '../../shared/archive/read/open.ts';
import { bufferSource } from '../../shared/archive/read/sources.ts';
import { Bucket } from '../../shared/aws/bucket.ts';
import { readInspection } from '../../shared/workflows/restore/inspection.ts';
import { buildArchive, DRAFT } from '../archive/build.ts';
import { run } from '../cli/run.ts';
import { testUnless } from '../conditions.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { withClients } from './content.ts';
import { farTimeOfDay } from './context.ts';
import { deployedStack } from './harness.ts';
import { createUser } from './operator.ts';

const STACK = 'NgbakPrefix';
const BUCKET = 'shared-by-many';
const PREFIX = 'team/kb/';
const KEYS = 'prefixed:';
const cloudFormation = new CloudFormationClient({});
/** The bucket as a whole, as its owner sees it. */
const whole = new Bucket(BUCKET);
let stack: ReturnType<typeof deployedStack>;
let folder: string;
/** The emulator signs with a package of Python that not every machine has. */
const UNSIGNED = whyUnsigned();

function whyUnsigned(): string | undefined {
  try {
    execFileSync('python3', ['-c', 'import cryptography'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'python3 has no package "cryptography"';
  }
}
/** Objects of others in the bucket: under the names of ngbak's folders, and a deployment with another prefix. */
const OTHERS = [
  'backups/x.ngbak',
  'staging/gone/plan.json',
  'uploads/default/x.ngbak',
  'team/kb2/jobs/x/job.json',
];

async function keysOfOthers(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of whole.keys('')) if (!key.startsWith(PREFIX)) keys.push(key);
  for await (const { key, uploadId } of whole.uploads(''))
    if (!key.startsWith(PREFIX)) keys.push(`${key} ${uploadId}`);
  return keys;
}

/** The environment of the CLI for a user with the policy that the stack publishes for operators. */
async function operator(): Promise<NodeJS.ProcessEnv> {
  userOfStack ??= createUser(servers.aws.endpoint, `${STACK}-operator`, [
    'AttachUserPolicy',
    { PolicyArn: stack.output('OperatorPolicyArn') },
  ]);
  return { NGBAK_STACK: STACK, TZ: 'UTC', NGBAK_DOWNLOAD_FOLDER: folder, ...(await userOfStack) };
}
let userOfStack: ReturnType<typeof createUser> | undefined;

const content = () =>
  withClients(async ({ redis }) => {
    const keys = (await redis.keys(`${KEYS}*`)).sort();
    return Promise.all(keys.map(async (key) => [key, await redis.get(key)]));
  });

async function fill(text: string): Promise<void> {
  await withClients(async ({ redis }) => {
    for (let index = 0; index < 10; index++) await redis.set(`${KEYS}docs:${index}`, `${text} ${index}`);
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-prefix-'));
  const { s3 } = whole;
  // Created by the organisation elsewhere.
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  const VersioningConfiguration = { Status: 'Enabled' as const };
  await s3.send(new PutBucketVersioningCommand({ Bucket: BUCKET, VersioningConfiguration }));
  const NotificationConfiguration = { EventBridgeConfiguration: {} };
  await s3.send(new PutBucketNotificationConfigurationCommand({ Bucket: BUCKET, NotificationConfiguration }));
  for (const Key of OTHERS) await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body: 'of others' }));
  await s3.send(new CreateMultipartUploadCommand({ Bucket: BUCKET, Key: 'uploads/default/y.ngbak' }));
  const { url, password } = servers.redis;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name: 'prefixed-kv', SecretString: JSON.stringify({ url, password }) }),
  );
  const outputs = await deployStack(emulatorAddress(servers.aws.endpoint), {
    stackName: STACK,
    context: {
      ngbak: {
        stackName: STACK,
        archiveBucket: { name: BUCKET, prefix: PREFIX },
        targets: {
          default: { stores: { kv: { kind: 'redis', secret: 'prefixed-kv', scope: { prefix: KEYS } } } },
        },
        schedule: { time: farTimeOfDay() },
        api: { enabled: false },
        alarms: { enabled: false },
        ...(UNSIGNED === undefined ? { signatures: {} } : {}),
        metricsDashboard: false,
        removal: 'destroy',
      },
    },
    folder,
  });
  stack = deployedStack(outputs);
});

afterAll(async () => {
  await cloudFormation.send(new DeleteStackCommand({ StackName: STACK }));
  await withClients(async ({ redis }) => void (await redis.del(await redis.keys(`${KEYS}*`))));
  await rm(folder, { recursive: true });
});

test('a stack on an existing bucket backs up and restores below its prefix, and touches nothing else', async () => {
  const before = await keysOfOthers();
  expect(before).toHaveLength(OTHERS.length + 1);
  await fill('document');
  const original = await content();
  const backup = await stack.run('Backup', {});
  expect(backup.cause).toBeUndefined();
  const { backup_id, archive, storage_path } = JSON.parse(backup.output ?? '{}');
  expect([archive, storage_path]).toEqual(
    Array(2).fill(`s3://${BUCKET}/${PREFIX}backups/${backup_id}.ngbak`),
  );
  await stack.waitForJob(backup.name ?? '');
  // From the catalog, and from an upload, whose event must start it.
  await fill('changed');
  const restored = await stack.run('Restore', { backup_id, confirm: 'default' });
  expect(restored.cause).toBeUndefined();
  expect(await content()).toEqual(original);
  await fill('changed again');
  expect(await stack.restoreByUpload('default', await stack.download(backup_id))).toMatchObject({
    state: 'completed',
  });
  expect(await content()).toEqual(original);
  expect(await keysOfOthers()).toEqual(before);
});

test('operators with the published policy work below the prefix: self-test, list, delete', async () => {
  const before = await keysOfOthers();
  const environment = await operator();
  const tested = await run(['selftest', '--json'], environment);
  expect([tested.code, tested.lines().findLast(({ type }) => type === 'selftest')?.data]).toEqual([
    0,
    expect.objectContaining({ ok: true, clean: true }),
  ]);
  const listed = await run(['list', '--json'], environment);
  const backups = listed
    .lines()
    .flatMap(({ type, data }) => (type === 'backup' ? [String(data.backup_id)] : []));
  // The backup of the other test, and the safety backups of its two restores.
  expect([listed.code, backups.length]).toEqual([0, 3]);
  const verified = await run(['archive', 'verify', backups[0] ?? ''], environment);
  expect([verified.code, verified.stderr]).toEqual([0, '']);
  for (const id of backups) {
    const deleted = await run(['delete', id, '--yes'], environment);
    expect([deleted.code, deleted.stderr]).toEqual([0, '']);
  }
  expect(await stack.keys('backups/')).toEqual([]);
  expect(await keysOfOthers()).toEqual(before);
});

testUnless(
  UNSIGNED,
  'a signed backup is verified and restored, and a forged, unsigned or wrongly signed archive changes nothing',
  async () => {
    const environment = await operator();
    const ngbak = async (...args: string[]) => {
      const ran = await run([...args, '--json'], environment);
      const of = (type: string) => ran.lines().find((line) => line.type === type)?.data;
      return { code: ran.code, stderr: ran.stderr, of };
    };
    await fill('signed');
    const original = await content();
    const { backup_id } = JSON.parse((await stack.run('Backup', {})).output ?? '{}');
    const key = `backups/${backup_id}.ngbak`;
    expect(await stack.keys(key)).toEqual([key, `${key}.sig`]);
    const pem = String((await ngbak('signing-key')).of('signing_key')?.public_key);
    const verified = await ngbak('verify', backup_id);
    expect([verified.code, verified.of('verification')]).toEqual([
      0,
      expect.objectContaining({ signature: { state: 'valid', key: expect.stringMatching(/^sha256:/) } }),
    ]);

    await fill('changed');
    const restored = await stack.run('Restore', { backup_id, confirm: 'default', require_signature: true });
    expect([restored.status, restored.cause]).toEqual(['SUCCEEDED', undefined]);
    expect(await content()).toEqual(original);

    // A downloaded archive is restored with the signature beside it.
    const file = join(folder, 'signed.ngbak');
    expect((await ngbak('download', backup_id, '--output', file)).code).toBe(0);
    const bytes = await readFile(file);
    const signature = await readFile(`${file}.sig`);
    const manifest = (await readManifestBytes(bufferSource(file, bytes))) ?? Buffer.alloc(0);
    expect(verifySignature('sha256', manifest, pem, signature)).toBe(true);
    await writeFile(join(folder, 'key.pem'), pem);
    expect((await ngbak('archive', 'verify', file, '--key', join(folder, 'key.pem'))).code).toBe(0);
    await fill('changed');
    const uploaded = await ngbak('restore', file, '--require-signature', '--confirm', 'default');
    expect([uploaded.code, uploaded.stderr]).toEqual([0, '']);
    expect(await content()).toEqual(original);

    await fill('kept');
    const kept = await content();
    const refused = async (...args: string[]) => {
      const ran = await ngbak('restore', ...args, '--confirm', 'default');
      expect(ran.code).not.toBe(0);
      expect(await content()).toEqual(kept);
      return JSON.stringify(ran.of('job') ?? ran.stderr);
    };
    // Another archive that claims to be this backup, with its signature.
    const forged = join(folder, 'forged.ngbak');
    await writeFile(forged, await buildArchive([], { draft: { ...DRAFT, backup_id } }));
    expect(await refused(forged, '--require-signature')).toContain('requires a valid signature');
    await copyFile(`${file}.sig`, `${forged}.sig`);
    expect(await refused(forged)).toContain('the signature of the archive is invalid');
    expect((await ngbak('archive', 'verify', forged, '--key', join(folder, 'key.pem'))).code).toBe(7);
    // The signature of another backup, beside a downloaded archive and beside the one in the bucket.
    const other = JSON.parse((await stack.run('Backup', {})).output ?? '{}').backup_id;
    const { s3, name: Bucket } = stack.bucket;
    expect((await ngbak('download', other, '--output', join(folder, 'other.ngbak'))).code).toBe(0);
    await copyFile(join(folder, 'other.ngbak.sig'), `${file}.sig`);
    expect(await refused(file)).toContain('the signature of the archive is invalid');
    await s3.send(new PutObjectCommand({ Bucket, Key: `${key}.sig`, Body: await readFile(`${file}.sig`) }));
    expect(await refused(backup_id)).toContain('the signature of the archive is invalid');
    const damaged = await ngbak('verify', backup_id);
    expect([damaged.code, damaged.of('verification')]).toEqual([
      7,
      expect.objectContaining({ errors: [expect.stringContaining('the signature is invalid')] }),
    ]);

    // With the AWS CLI, the signature is uploaded before the archive, and starts nothing by itself.
    const Key = 'uploads/default/by-hand.ngbak';
    await s3.send(new PutObjectCommand({ Bucket, Key: `${Key}.sig`, Body: signature }));
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: bytes }));
    const jobs = async () =>
      (await run(['jobs', '--json'], environment))
        .lines()
        .flatMap(({ type, data }) =>
          type === 'job' && String(data.job_id).startsWith('upload_') ? [data] : [],
        );
    const waiting = await untilFound(jobs);
    await stack.waitForJob(waiting, ({ state }) => state === 'awaiting_confirmation');
    expect((await readInspection(stack.bucket, waiting)).archive.signature).toMatchObject({ state: 'valid' });
    expect((await ngbak('reject', waiting)).code).toBe(0);
    await stack.waitForJob(waiting);
    expect(await content()).toEqual(kept);
    expect((await jobs()).map(({ job_id }) => job_id)).toEqual([waiting]);
    expect(await stack.keys('uploads/')).toEqual([]);
  },
);

/** The id of the first job that a listing finds. */
async function untilFound(list: () => Promise<readonly Record<string, unknown>[]>): Promise<string> {
  const job = await until('the upload has started a restore', async () => (await list())[0]);
  return String(job.job_id);
}
