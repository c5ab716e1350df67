import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateBucketCommand,
  type LifecycleRule,
  PutBucketCorsCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { Checked } from '../../cli/deploy-check.ts';
import { freshEnvironment } from '../support/aws.ts';
import { run } from './run.ts';

let folder: string;
beforeAll(async () => {
  await freshEnvironment();
  folder = await mkdtemp(join(tmpdir(), 'ngbak-check-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function check(config: unknown): Promise<{ code: number | null; checks: Checked[] }> {
  const file = join(folder, 'config.json');
  await writeFile(file, JSON.stringify(config));
  const ran = await run(['--json', 'deploy', '--check', '--config', file], {});
  const lines = ran.stdout.trim().split('\n');
  return { code: ran.code, checks: JSON.parse(lines[0] ?? '{}').data?.checks ?? [ran.stderr] };
}

test('the checklist shows what is missing before and after a deployment, and changes nothing', async () => {
  const stackName = `Check${randomBytes(4).toString('hex')}`;
  const filled = `filled-${stackName}`;
  const SecretString = JSON.stringify({ url: 'redis://127.0.0.1:6379', password: 'a-password' });
  await new SecretsManagerClient({}).send(new CreateSecretCommand({ Name: filled, SecretString }));
  const stores = { graph: { kind: 'neo4j' }, kv: { kind: 'redis', secret: filled } };
  const { checks } = await check({
    stackName,
    targets: { default: { profile: 'ngraf-023', parameters: { namespace: 'default' }, stores } },
    notify: { webhooks: { chat: { kind: 'slack' } } },
  });
  const found = new Map(checks.map(({ name, ...rest }) => [name, rest]));
  expect(found.get('configuration')).toMatchObject({
    state: 'ok',
    message: expect.stringContaining(stackName),
  });
  expect(found.get('Lambda: concurrent executions')?.message).toMatch(/^\d+, of which \d+/);
  expect(found.get('stack')).toMatchObject({ state: 'warning' });
  expect(found.get('connection of default/kv')).toMatchObject({ state: 'ok' });
  expect(found.get('connection of default/graph')).toMatchObject({
    state: 'warning',
    message: expect.stringContaining(`${stackName}/default/graph`),
  });
  expect(found.get('webhook chat')).toMatchObject({
    state: 'warning',
    message: expect.stringContaining(`${stackName}/webhook-chat`),
  });
  expect(found.has('notifications')).toBe(false);
  expect(JSON.stringify(checks)).not.toContain('a-password');
});

test('a wrong configuration fails the check', async () => {
  const { code, checks } = await check({ targets: { default: { stores: { graph: { kind: 'no-such' } } } } });
  expect(code).not.toBe(0);
  expect(checks[0]).toMatchObject({ name: 'configuration', state: 'failed' });
});

test('the buckets of copies are checked', async () => {
  const s3 = new S3Client({});
  const bucket = `copies-${randomBytes(6).toString('hex')}`;
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const copies = {
    vault: { bucket, lock: { mode: 'governance', days: 1 } },
    typo: { bucket: `${bucket}-x` },
  };
  const config = { targets: { default: { stores: { graph: { kind: 'neo4j' } } } }, copies };
  const found = async () =>
    new Map((await check(config)).checks.map(({ name, state, message }) => [name, `${state}: ${message}`]));
  const before = await found();
  expect(before.get('copy vault: region')).toMatch(/^ok: /);
  expect(before.get('copy vault: versions')).toMatch(/^failed: .* keeps no versions \(off\)/);
  expect(before.get('copy vault: Object Lock')).toMatch(/^failed: .* has no Object Lock/);
  expect(before.get('copy typo: region')).toMatch(/^failed: There is no bucket copies-/);
  await s3.send(
    new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  const after = await found();
  expect(after.get('copy vault: versions')).toBe('ok: enabled');
  expect(after.has('copy typo: Object Lock')).toBe(false);
});

test('the settings of an existing bucket are checked one by one, each with the step its owner should take', async () => {
  const s3 = new S3Client({});
  const Bucket = `existing-${randomBytes(6).toString('hex')}`;
  await s3.send(new CreateBucketCommand({ Bucket }));
  const stores = { graph: { kind: 'neo4j' } };
  const settings = (keyArn?: string, prefix?: string) => ({
    stackName: 'Check',
    targets: { default: { profile: 'ngraf-023', parameters: { namespace: 'default' }, stores } },
    archiveBucket: { name: Bucket, ...(keyArn ? { keyArn } : {}), ...(prefix ? { prefix } : {}) },
  });
  const states = async (keyArn?: string, prefix?: string) => {
    const { checks } = await check(settings(keyArn, prefix));
    return Object.fromEntries(
      checks
        .filter(({ name }) => name.startsWith('bucket: '))
        .map(({ name, state }) => [name.slice(8), state]),
    );
  };
  const blockPublicAccess = (on: boolean) => {
    const block = {
      BlockPublicAcls: on,
      BlockPublicPolicy: on,
      IgnorePublicAcls: on,
      RestrictPublicBuckets: on,
    };
    return s3.send(new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: block }));
  };
  // New buckets block public access.
  await blockPublicAccess(false);
  const bad = { versions: 'failed', events: 'failed', 'public access': 'failed' };
  const warnings = { lifecycle: 'warning', 'web pages': 'warning' };
  expect(await states()).toMatchObject({ region: 'ok', contents: 'ok', ...bad, ...warnings });

  await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }));
  await s3.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket,
      NotificationConfiguration: { EventBridgeConfiguration: {} },
    }),
  );
  await blockPublicAccess(true);
  const CORSRules = [{ AllowedMethods: ['GET', 'PUT', 'POST'], AllowedOrigins: ['*'] }];
  await s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }));
  const lifecycle = async (Prefix: string) => {
    const Rules: LifecycleRule[] = [
      { ID: 'old', Status: 'Enabled', Filter: { Prefix }, Expiration: { Days: 90 } },
      {
        ID: 'unfinished',
        Status: 'Enabled',
        Filter: { Prefix: '' },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 8 },
      },
    ];
    await s3.send(new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules } }));
  };
  // A rule for the whole bucket would delete archives.
  await lifecycle('');
  expect(await states()).toMatchObject({ lifecycle: 'failed' });
  await lifecycle('jobs/');
  const good = await states();
  expect(Object.entries(good).filter(([, state]) => state !== 'ok')).toEqual([]);
  expect(Object.keys(good)).toHaveLength(8);

  const keyArn = `arn:aws:kms:us-east-1:111122223333:key/${randomUUID()}`;
  expect(await states(keyArn)).toMatchObject({ encryption: 'failed' });
  const ApplyServerSideEncryptionByDefault = { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: keyArn } as const;
  await s3.send(
    new PutBucketEncryptionCommand({
      Bucket,
      ServerSideEncryptionConfiguration: { Rules: [{ ApplyServerSideEncryptionByDefault }] },
    }),
  );
  expect(await states(keyArn)).toMatchObject({ encryption: 'ok' });
  expect(await states()).toMatchObject({ encryption: 'failed' });

  await s3.send(new PutObjectCommand({ Bucket, Key: 'backups/mysql-2026.sql', Body: 'x' }));
  expect(await states(keyArn)).toMatchObject({ contents: 'warning' });

  // Below a prefix, other objects and rules are relevant.
  expect(await states(keyArn, 'team/kb')).toMatchObject({ contents: 'ok', lifecycle: 'warning' });
  await lifecycle('team/');
  expect(await states(keyArn, 'team/kb')).toMatchObject({ lifecycle: 'failed' });
  await lifecycle('team/kb/jobs/');
  expect(await states(keyArn, 'team/kb')).toMatchObject({ lifecycle: 'ok' });
  await s3.send(new PutObjectCommand({ Bucket, Key: 'team/kb/uploads/x', Body: 'x' }));
  expect(await states(keyArn, 'team/kb')).toMatchObject({ contents: 'warning' });
});

test('an existing bucket that does not exist, or belongs to another account, fails the check', async () => {
  const { code, checks } = await check({
    targets: { default: { stores: { graph: { kind: 'neo4j', scope: { label: 'A' } } } } },
    archiveBucket: { name: `no-such-${randomBytes(6).toString('hex')}` },
  });
  expect(code).not.toBe(0);
  expect(checks.find(({ name }) => name === 'bucket: region')).toMatchObject({ state: 'failed' });
});
