import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CloudFormationClient,
  DeleteStackCommand,
  DescribeStackResourcesCommand,
  DescribeStacksCommand,
} from '@aws-sdk/client-cloudformation';
import { DescribeKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  DeleteBucketLifecycleCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
  PutObjectRetentionCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { deployStack } from '../../local/deploy.ts';
import { emulatorAddress } from '../../local/services/aws.ts';
import { archiveKey, BACKUPS, catalogKey } from '../../shared/aws/keys.ts';
import { CatalogRecord } from '../../shared/catalog/record.ts';
import { run } from '../cli/run.ts';
import { servers } from '../servers.ts';
import { until } from '../support/until.ts';
import { fillTarget, type Names, readTarget, removeTargetWithSchema, withClients } from './content.ts';
import { farTimeOfDay } from './context.ts';
import { deployedStack } from './harness.ts';
import { createUser } from './operator.ts';

/** The deployment whose region is lost, the one that replaces it, and the vault with the copies. */
const LOST = 'NgbakLost' as const;
const NEW = 'NgbakNew' as const;
const VAULT = 'NgbakRecoveryVault' as const;
const NAMES: Names = { label: 'Recovered', collection: 'recovered_items', prefix: 'recovered:' };
const ACCOUNT = '000000000000';
/** Each is in another region. */
const REGIONS = { [LOST]: 'us-east-1', [NEW]: 'eu-central-1', [VAULT]: 'eu-west-1' };
type StackName = keyof typeof REGIONS;
const addressOf = (stackName: StackName) => emulatorAddress(servers.aws.endpoint, REGIONS[stackName]);
const cloudFormationOf = (stackName: StackName) => new CloudFormationClient({ region: REGIONS[stackName] });
const kms = new KMSClient({ region: REGIONS[LOST] });

let folder: string;
let vault: Record<string, string>;
let lost: ReturnType<typeof deployedStack>;
let renewed: ReturnType<typeof deployedStack>;
/** What the stores held when the last backup was made. */
let original: unknown;
/** The ids of the backups, oldest first. */
const backups: string[] = [];
/** Bucket and keys of the lost deployment. */
let resources: { readonly bucket: string; readonly keys: readonly string[] };

const deployment = (stackName: string, copies: object = {}) => ({
  ngbak: {
    stackName,
    targets: {
      default: {
        stores: {
          graph: {
            kind: 'neo4j',
            secret: 'recover-graph',
            scope: { label: NAMES.label, key_property: 'id' },
          },
          vectors: { kind: 'qdrant', secret: 'recover-vectors', scope: { collections: [NAMES.collection] } },
          kv: { kind: 'redis', secret: 'recover-kv', scope: { prefix: NAMES.prefix } },
        },
      },
    },
    copies,
    schedule: { time: farTimeOfDay() },
    api: { enabled: false },
    alarms: { enabled: false },
    metricsDashboard: false,
    removal: 'destroy',
  },
});

const deploy = (stackName: StackName, context: Record<string, unknown>) =>
  deployStack(addressOf(stackName), { stackName, context, folder });

/** The command line of an administrator of the new deployment's account. */
const ngbak = async (...args: string[]) => {
  const environment = { ...addressOf(NEW).env, NGBAK_STACK: NEW, TZ: 'UTC', NGBAK_DOWNLOAD_FOLDER: folder };
  const ran = await run([...args, '--json'], environment);
  const all = (type: string) => ran.lines().flatMap((line) => (line.type === type ? [line.data] : []));
  return { code: ran.code, stderr: ran.stderr, all, of: (type: string) => all(type).at(-1) };
};

const fromVault = () => [
  vault.BucketName ?? '',
  '--region',
  REGIONS[VAULT] ?? '',
  '--role',
  vault.ReadRoleArn ?? '',
];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ngbak-recover-'));
  const connections = {
    graph: servers.neo4j,
    vectors: { url: servers.qdrant.url, api_key: servers.qdrant.apiKey },
    kv: { url: servers.redis.url, password: servers.redis.password },
  };
  for (const [store, { ...connection }] of Object.entries(connections)) {
    const SecretString = JSON.stringify(connection);
    for (const region of [REGIONS[LOST], REGIONS[NEW]]) {
      const secrets = new SecretsManagerClient({ region });
      await secrets.send(new CreateSecretCommand({ Name: `recover-${store}`, SecretString }));
    }
  }
  vault = await deploy(VAULT, {
    vault: {
      stackName: VAULT,
      source: { account: ACCOUNT, stackName: LOST },
      lock: { mode: 'governance', days: 1 },
      readers: [`arn:aws:iam::${ACCOUNT}:root`],
      removal: 'destroy',
    },
  });
  lost = deployedStack(await deploy(LOST, deployment(LOST, { vault: JSON.parse(vault.Copy ?? '') })));
  await fillTarget(NAMES);
  await backUp();
  await withClients(
    async ({ redis }) => void (await redis.set(`${NAMES.prefix}docs:late`, '{"content": "late"}')),
  );
  await backUp();
  original = await readTarget(NAMES);
  const { StackResources = [] } = await cloudFormationOf(LOST).send(
    new DescribeStackResourcesCommand({ StackName: LOST }),
  );
  const idsOf = (type: string) =>
    StackResources.flatMap(({ ResourceType, PhysicalResourceId = '' }) =>
      ResourceType === type ? [PhysicalResourceId] : [],
    );
  resources = { bucket: idsOf('AWS::S3::Bucket')[0] ?? '', keys: idsOf('AWS::KMS::Key') };
});

afterAll(async () => {
  for (const StackName of [LOST, NEW, VAULT])
    await cloudFormationOf(StackName).send(new DeleteStackCommand({ StackName }));
  await removeTargetWithSchema(NAMES);
  await rm(folder, { recursive: true, force: true });
});

/** Backs up, and waits until the vault has a copy. */
async function backUp(): Promise<void> {
  const { cause, output } = await lost.run('Backup', {});
  expect(cause).toBeUndefined();
  const { backup_id } = JSON.parse(output ?? '{}') as { backup_id: string };
  const copy = async () =>
    (await lost.bucket.requireRecord(catalogKey(backup_id), CatalogRecord, '')).copies?.[0];
  await until('the copy is complete', copy, { holds: (found) => found?.state === 'complete' });
  backups.push(backup_id);
}

/** Deletes a stack, as `cdk destroy` does, and waits until it is gone. */
async function destroy(StackName: StackName): Promise<void> {
  const cloudFormation = cloudFormationOf(StackName);
  await cloudFormation.send(new DeleteStackCommand({ StackName }));
  const state = () =>
    cloudFormation
      .send(new DescribeStacksCommand({ StackName }))
      .then(({ Stacks = [] }) => Stacks[0]?.StackStatus)
      .catch(() => undefined);
  await until(`the stack ${StackName} is gone`, state, {
    holds: (found) => found === undefined || found === 'DELETE_COMPLETE',
  });
}

/** Attempts to read, replace, remove and unlock a copy, and to change its bucket, with these credentials. */
async function attacks(client: S3Client): Promise<Record<string, () => Promise<unknown>>> {
  const Bucket = vault.BucketName ?? '';
  const object = { Bucket, Key: archiveKey(backups[1] ?? '') };
  const { Versions: [{ VersionId } = {}] = [] } = await new S3Client({ region: REGIONS[VAULT] }).send(
    new ListObjectVersionsCommand({ Bucket, Prefix: object.Key }),
  );
  const version = { ...object, VersionId };
  const soon = { Mode: 'GOVERNANCE' as const, RetainUntilDate: new Date(Date.now() + 3_600_000) };
  return {
    'remove the version': () => client.send(new DeleteObjectCommand(version)),
    'unlock the version': () => client.send(new PutObjectRetentionCommand({ ...version, Retention: soon })),
    replace: () => client.send(new PutObjectCommand({ ...object, Body: 'x', IfNoneMatch: '*' })),
    hide: () => client.send(new DeleteObjectCommand(object)),
    read: () => client.send(new GetObjectCommand(object)),
    list: () => client.send(new ListObjectsV2Command({ Bucket })),
    'change the policy': () => client.send(new DeleteBucketPolicyCommand({ Bucket })),
    'change the lifecycle': () => client.send(new DeleteBucketLifecycleCommand({ Bucket })),
  };
}

test('an operator of the deployment can do nothing to a copy, and the owner of the vault cannot remove it', async () => {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = await createUser(
    servers.aws.endpoint,
    `${LOST}-operator`,
    ['AttachUserPolicy', { PolicyArn: lost.output('OperatorPolicyArn') }],
  );
  const credentials = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY };
  for (const [what, attack] of Object.entries(
    await attacks(new S3Client({ region: REGIONS[VAULT], credentials })),
  )) {
    expect([what, await attack().catch(({ name }) => name)]).toEqual([what, 'AccessDenied']);
  }
  // The root user of the account, whom only the lock and the condition of the request stop.
  const owner = await attacks(new S3Client({ region: REGIONS[VAULT] }));
  for (const what of ['remove the version', 'unlock the version', 'replace']) {
    await expect(owner[what]?.()).rejects.toThrow();
  }
});

test('the deployment is lost: its stack, its bucket, its key and the data in its stores', async () => {
  const { s3, name } = lost.bucket;
  // CloudFormation deletes only empty buckets.
  await lost.bucket.removeAll('');
  await destroy(LOST);
  await expect(s3.send(new HeadBucketCommand({ Bucket: name }))).rejects.toThrow();
  expect(resources.bucket).toBe(name);
  expect(resources.keys).toHaveLength(1);
  for (const KeyId of resources.keys) {
    const state = await kms
      .send(new DescribeKeyCommand({ KeyId }))
      .then(({ KeyMetadata }) => KeyMetadata?.KeyState)
      .catch(({ name: error }) => error);
    expect(['PendingDeletion', 'NotFoundException']).toContain(state);
  }
  await removeTargetWithSchema(NAMES);
  expect(await readTarget(NAMES)).toMatchObject({ nodes: [], relationships: [], points: null, values: [] });
});

test('a new deployment knows no backup, and sees those of the vault', async () => {
  renewed = deployedStack(await deploy(NEW, deployment(NEW)), REGIONS[NEW]);
  expect((await ngbak('list')).all('backup')).toEqual([]);
  const listed = await ngbak('recover', ...fromVault());
  expect([listed.code, listed.stderr]).toEqual([0, '']);
  expect(listed.all('archive').map(({ backup_id, described_by }) => [backup_id, described_by])).toEqual(
    backups.toReversed().map((id) => [id, 'record']),
  );
  expect(listed.of('copy')).toMatchObject({ archives: 2, newest: { default: backups[1] } });
  expect(await renewed.keys(BACKUPS)).toEqual([]);
});

test('it recovers the newest good backup from the archive alone', async () => {
  const recovered = await ngbak('recover', ...fromVault(), '--target', 'default');
  expect([recovered.code, recovered.stderr]).toEqual([0, '']);
  expect(recovered.of('recovered')).toMatchObject({ recovered: [backups[1]], present: [], problems: [] });
  const shown = await ngbak('show', backups[1] ?? '');
  expect(shown.of('backup')).toMatchObject({
    target: 'default',
    good: true,
    verification: { state: 'verified' },
  });
  expect((await ngbak('verify', backups[1] ?? '')).of('verification')).toMatchObject({ is_valid: true });
});

test('it restores that backup into empty stores, record by record', async () => {
  const restored = await ngbak('restore', backups[1] ?? '', '--confirm', 'default');
  expect([restored.code, restored.stderr]).toEqual([0, '']);
  expect(restored.of('job')).toMatchObject({ state: 'completed' });
  expect(await readTarget(NAMES)).toEqual(original);
});

test('it drills the recovered backup, and recovers and restores all others in the same way', async () => {
  const drilled = await ngbak('drill', backups[1] ?? '', '--wait');
  expect(drilled.of('drill')).toMatchObject({ verdict: 'passed', differences: [] });
  const all = await ngbak('recover', ...fromVault(), '--all');
  expect(all.of('recovered')).toMatchObject({ recovered: [backups[0]], present: [backups[1]], problems: [] });
  expect((await ngbak('list')).all('backup').map(({ backup_id }) => backup_id)).toEqual(
    expect.arrayContaining(backups),
  );
  expect((await ngbak('restore', backups[0] ?? '', '--confirm', 'default')).code).toBe(0);
  const earlier = (await readTarget(NAMES)) as { values: [string][] };
  expect(earlier.values.map(([key]) => key)).not.toContain(`${NAMES.prefix}docs:late`);
  expect(earlier.values).toHaveLength((original as { values: unknown[] }).values.length - 1);
});
