import { mkdtemp, rm } from 'node:fs/promises';
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
import { Bucket } from '../../shared/aws/bucket.ts';
import { run } from '../cli/run.ts';
import { servers } from '../servers.ts';
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
        metricsDashboard: false,
        removal: 'destroy',
      },
    },
    folder,
  });
  stack = deployedStack(outputs);
}, 300_000);

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
}, 300_000);

test('operators with the published policy work below the prefix: self-test, list, delete', async () => {
  const before = await keysOfOthers();
  const user = await createUser(servers.aws.endpoint, `${STACK}-operator`, [
    'AttachUserPolicy',
    { PolicyArn: stack.output('OperatorPolicyArn') },
  ]);
  const environment = { NGBAK_STACK: STACK, TZ: 'UTC', ...user };
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
}, 300_000);
