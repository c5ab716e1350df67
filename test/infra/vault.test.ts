import { runSimulation } from '@cloud-copilot/iam-simulate';
import { describe, expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { readDeployment } from '../../infra/config.ts';
import { readVault } from '../../infra/vault/config.ts';
import { TemplateModel } from '../runner/template-model.ts';
import { DEPLOYMENT, synthesize, synthesizeVault, VAULT_PLACE, write } from './template.ts';

/** The accounts of the deployment and of the vault. */
const SOURCE = '111122223333';
const { account: VAULT, region: REGION } = VAULT_PLACE;
const BUCKET = 'arn:aws:s3:::the-vault';
const ARCHIVE = `${BUCKET}/kb/backups/snapshot_1.ngbak`;
const COPIER = `arn:aws:sts::${SOURCE}:assumed-role/Ngbak-FunctionscopybackupRole1A2B3C4D-AbCdEf123456/copy`;

const CONFIG = {
  source: { account: SOURCE },
  bucketName: 'the-vault',
  prefix: 'kb',
  lock: { mode: 'compliance', days: 30 },
  keepDays: 90,
  readers: [`arn:aws:iam::${SOURCE}:role/Recovery`, `arn:aws:iam::${SOURCE}:role/Ngbak-Functionsverify*`],
};

const template = synthesizeVault(CONFIG);
const model = modelOf(template);
const [bucketPolicy] = [...model.ofType('AWS::S3::BucketPolicy')].map(({ value }) => value('PolicyDocument'));
const [key] = [...model.ofType('AWS::KMS::Key')];
const [role] = [...model.ofType('AWS::IAM::Role')];
const KEY = key?.arn ?? '';
const READ_ROLE = role?.arn ?? '';

function modelOf(of: Template): TemplateModel {
  const buckets = Object.keys(of.findResources('AWS::S3::Bucket'));
  const ids = new Map(buckets.map((id) => [id, 'the-vault']));
  return new TemplateModel(of.toJSON(), ids, { region: REGION, account: VAULT });
}

type Call = readonly [action: string, resource: string, context?: Readonly<Record<string, string>>];

/** Everything, so that only the policies of the vault decide: an attacker may administrate the own account. */
const EVERYTHING = [
  {
    name: 'everything',
    policy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] },
  },
];

async function isAllowed(
  principal: string,
  [action, resource, context = {}]: Call,
  identityPolicies: { name: string; policy: object }[] = EVERYTHING,
): Promise<boolean> {
  const attached =
    resource === KEY ? key?.value('KeyPolicy') : resource === READ_ROLE ? trust() : bucketPolicy;
  const result = await runSimulation(
    {
      request: {
        principal,
        action,
        resource: { resource, accountId: VAULT },
        contextVariables: {
          'aws:SecureTransport': 'true',
          's3:TlsVersion': '1.3',
          'aws:PrincipalArn': arnOf(principal),
          ...context,
        },
      },
      sessionPolicy: undefined,
      identityPolicies,
      resourcePolicy: attached as object,
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      permissionBoundaryPolicies: [],
    },
    {},
  );
  if (result.resultType === 'error') throw new Error(JSON.stringify(result.errors));
  return result.overallResult === 'Allowed';
}

/** The value of `aws:PrincipalArn`: for a session, the ARN of its role. */
function arnOf(principal: string): string {
  const [, account, name] = /^arn:aws:sts::([0-9]+):assumed-role\/([^/]+)\//.exec(principal) ?? [];
  return name === undefined ? principal : `arn:aws:iam::${account}:role/${name}`;
}

/** The trust policy of the role for readers, which names no resource. */
function trust(): object {
  const policy = role?.value('AssumeRolePolicyDocument') as { Statement: object[] };
  return { ...policy, Statement: policy.Statement.map((each) => ({ ...each, Resource: READ_ROLE })) };
}

const CREATES = { 's3:ObjectCreationOperation': 'true' };
const PARTS = { 's3:ObjectCreationOperation': 'false' };
const IF_ABSENT = { 's3:if-none-match': '*' };
const BY_S3 = { 'kms:ViaService': `s3.${REGION}.amazonaws.com` };

/** The calls of a copy, in their order. */
const ADDITION: Record<string, Call> = {
  'begin an upload': ['s3:PutObject', ARCHIVE, PARTS],
  'begin an upload with the key of the vault': [
    's3:PutObject',
    ARCHIVE,
    {
      ...PARTS,
      's3:x-amz-server-side-encryption': 'aws:kms',
      's3:x-amz-server-side-encryption-aws-kms-key-id': KEY,
    },
  ],
  'encrypt parts': ['kms:GenerateDataKey', KEY, BY_S3],
  'list the parts of an upload': ['s3:ListMultipartUploadParts', ARCHIVE],
  'complete an upload if there is no object': ['s3:PutObject', ARCHIVE, { ...CREATES, ...IF_ABSENT }],
  'decrypt parts to complete an upload': ['kms:Decrypt', KEY, BY_S3],
  'abort an upload': ['s3:AbortMultipartUpload', ARCHIVE],
  'write a signature if there is none': ['s3:PutObject', `${ARCHIVE}.sig`, { ...CREATES, ...IF_ABSENT }],
  'write a record if there is none': [
    's3:PutObject',
    ARCHIVE.replace('.ngbak', '.json'),
    { ...CREATES, ...IF_ABSENT },
  ],
};

/** What nobody outside of the vault's account may do. */
const ATTACKS: Record<string, Call> = {
  'replace an archive': ['s3:PutObject', ARCHIVE, CREATES],
  'replace a record': ['s3:PutObject', ARCHIVE.replace('.ngbak', '.json'), CREATES],
  'replace a version by a copy of another object': [
    's3:PutObject',
    ARCHIVE,
    { ...CREATES, 's3:x-amz-copy-source': '/other/object' },
  ],
  'encrypt with another key': [
    's3:PutObject',
    ARCHIVE,
    {
      ...CREATES,
      ...IF_ABSENT,
      's3:x-amz-server-side-encryption': 'aws:kms',
      's3:x-amz-server-side-encryption-aws-kms-key-id': `arn:aws:kms:${REGION}:${SOURCE}:key/own`,
    },
  ],
  'begin an upload with another key': [
    's3:PutObject',
    ARCHIVE,
    { ...PARTS, 's3:x-amz-server-side-encryption': 'AES256' },
  ],
  'encrypt with a key that only the client has': [
    's3:PutObject',
    ARCHIVE,
    { ...CREATES, ...IF_ABSENT, 's3:x-amz-server-side-encryption-customer-algorithm': 'AES256' },
  ],
  'write outside of the prefix': [
    's3:PutObject',
    `${BUCKET}/backups/snapshot_1.ngbak`,
    { ...CREATES, ...IF_ABSENT },
  ],
  'write another kind of object': [
    's3:PutObject',
    `${BUCKET}/kb/uploads/x.ngbak`,
    { ...CREATES, ...IF_ABSENT },
  ],
  'send without TLS': ['s3:PutObject', ARCHIVE, { ...CREATES, ...IF_ABSENT, 'aws:SecureTransport': 'false' }],
  'delete an archive': ['s3:DeleteObject', ARCHIVE],
  'delete a version': ['s3:DeleteObjectVersion', ARCHIVE],
  'shorten a lock': ['s3:PutObjectRetention', ARCHIVE, { 's3:object-lock-mode': 'GOVERNANCE' }],
  'bypass a lock': ['s3:BypassGovernanceRetention', ARCHIVE],
  'remove a legal hold': ['s3:PutObjectLegalHold', ARCHIVE],
  'change the class or the tags of an object': ['s3:PutObjectTagging', ARCHIVE],
  'read an archive': ['s3:GetObject', ARCHIVE],
  'read a version': ['s3:GetObjectVersion', ARCHIVE],
  'list the bucket': ['s3:ListBucket', BUCKET, { 's3:prefix': 'kb/backups/' }],
  'list versions': ['s3:ListBucketVersions', BUCKET, { 's3:prefix': 'kb/backups/' }],
  'list the uploads of others': ['s3:ListBucketMultipartUploads', BUCKET],
  'change the policy of the bucket': ['s3:PutBucketPolicy', BUCKET],
  'remove the policy of the bucket': ['s3:DeleteBucketPolicy', BUCKET],
  'let objects expire earlier': ['s3:PutLifecycleConfiguration', BUCKET],
  'change the default lock': ['s3:PutBucketObjectLockConfiguration', BUCKET],
  'suspend versioning': ['s3:PutBucketVersioning', BUCKET],
  'change the encryption of the bucket': ['s3:PutEncryptionConfiguration', BUCKET],
  'delete the bucket': ['s3:DeleteBucket', BUCKET],
  'replicate the deletion of an object': ['s3:ReplicateDelete', ARCHIVE],
  'decrypt without S3': ['kms:Decrypt', KEY],
  'disable the key': ['kms:DisableKey', KEY],
  'delete the key': ['kms:ScheduleKeyDeletion', KEY],
  'change the policy of the key': ['kms:PutKeyPolicy', KEY],
};

/** Others of the account of the source, each with all permissions there. */
const OTHERS = {
  'the role of the API': `arn:aws:sts::${SOURCE}:assumed-role/Ngbak-FunctionsapiRole9F8E7D6C-AbCdEf123456/api`,
  'the role of the janitor': `arn:aws:sts::${SOURCE}:assumed-role/Ngbak-FunctionsjanitorRole9F8E7D6C-AbCdEf/x`,
  'an operator': `arn:aws:iam::${SOURCE}:user/operator`,
  'a user who writes uploads': `arn:aws:sts::${SOURCE}:assumed-role/uploader/session`,
  'a user who is named like the role': `arn:aws:iam::${SOURCE}:user/Ngbak-Functionscopybackup`,
  'the root user of the source': `arn:aws:iam::${SOURCE}:root`,
  'the role of the same name in a third account':
    'arn:aws:sts::777788889999:assumed-role/Ngbak-FunctionscopybackupRole1A2B3C4D-AbCdEf123456/copy',
};

describe('the vault', () => {
  test.each(Object.entries(ADDITION))('lets the role of the source %s', async (_what, call) => {
    expect(await isAllowed(COPIER, call)).toBe(true);
  });

  test.each(Object.entries(ATTACKS))(
    'does not let the role of the source %s, even if its own account allows everything',
    async (_what, call) => {
      expect(await isAllowed(COPIER, call)).toBe(false);
    },
  );

  test.each(Object.entries(OTHERS))(
    'lets %s do nothing at all, even if their own account allows everything',
    async (_who, principal) => {
      for (const [what, call] of Object.entries({ ...ADDITION, ...ATTACKS })) {
        expect([what, await isAllowed(principal, call)]).toEqual([what, false]);
      }
    },
  );

  test('refuses replacements and other keys to administrators of its own account as well', async () => {
    const administrator = `arn:aws:iam::${VAULT}:user/admin`;
    for (const attack of [
      'replace an archive',
      'replace a version by a copy of another object',
      'encrypt with another key',
      'begin an upload with another key',
      'encrypt with a key that only the client has',
    ]) {
      expect([attack, await isAllowed(administrator, ATTACKS[attack] as Call)]).toEqual([attack, false]);
    }
  });

  test('names the role that copies in the way in which a deployment names its roles', () => {
    const { stackName } = readVault(CONFIG).source;
    const [named] = JSON.stringify(bucketPolicy).match(/role\/[^"]+/) ?? [];
    expect(named).toBe(`role/${stackName}-Functionscopybackup*`);
    const copies = { vault: { bucket: 'the-vault', region: REGION } };
    const roles = Object.keys(synthesize({ copies }).findResources('AWS::IAM::Role'));
    expect(roles).toContainEqual(expect.stringMatching(/^Functionscopybackup/));
  });
});

describe('the role for readers', () => {
  const reader = `arn:aws:sts::${VAULT}:assumed-role/${READ_ROLE.split('/')[1]}/session`;
  const own = [...model.ofType('AWS::IAM::Policy')].map(({ id, value }) => ({
    name: id,
    policy: value('PolicyDocument') as object,
  }));

  test.each<Call>([
    ['s3:GetObject', ARCHIVE],
    ['s3:GetObjectVersion', ARCHIVE],
    ['s3:GetObject', `${ARCHIVE}.sig`],
    ['s3:RestoreObject', ARCHIVE],
    ['s3:ListBucket', BUCKET, { 's3:prefix': 'kb/backups/' }],
    ['kms:Decrypt', KEY],
  ])('may call %s on %s', async (...call) => {
    expect(await isAllowed(reader, call, own)).toBe(true);
  });

  test('may do nothing else', async () => {
    const readable = [
      'read an archive',
      'read a version',
      'list the bucket',
      'list versions',
      'decrypt without S3',
    ];
    for (const [what, call] of Object.entries({ ...ADDITION, ...ATTACKS })) {
      if (readable.includes(what) || what.startsWith('decrypt')) continue;
      expect([what, await isAllowed(reader, call, own)]).toEqual([what, false]);
    }
    expect(await isAllowed(reader, ['s3:ListBucket', BUCKET, { 's3:prefix': '' }], own)).toBe(false);
    expect(await isAllowed(reader, ['s3:GetObject', `${BUCKET}/other/backups/x.ngbak`], own)).toBe(false);
  });

  test.each([
    ['a named role', `arn:aws:sts::${SOURCE}:assumed-role/Recovery/session`, true],
    [
      'a role that matches a pattern',
      `arn:aws:sts::${SOURCE}:assumed-role/Ngbak-FunctionsverifyX/session`,
      true,
    ],
    ['the role that copies', COPIER, false],
    ['an operator', `arn:aws:iam::${SOURCE}:user/operator`, false],
    [
      'a role of the same name in a third account',
      'arn:aws:sts::777788889999:assumed-role/Recovery/s',
      false,
    ],
  ])('is assumed by those that the vault names: %s', async (_who, principal, expected) => {
    expect(await isAllowed(principal, ['sts:AssumeRole', READ_ROLE])).toBe(expected);
  });

  test('is assumed by every role of an account whose root is named, if that account allows it', async () => {
    const open = modelOf(synthesizeVault({ ...CONFIG, readers: [`arn:aws:iam::${SOURCE}:root`] }));
    const [trusted] = [...open.ofType('AWS::IAM::Role')].map(({ value }) =>
      value('AssumeRolePolicyDocument'),
    );
    expect(JSON.stringify(trusted)).not.toContain('Condition');
  });
});

describe('the template of a vault', () => {
  test('locks every object by default, keeps versions, and deletes copies only after keepDays', () => {
    template.hasResourceProperties('AWS::S3::Bucket', {
      ObjectLockEnabled: true,
      ObjectLockConfiguration: {
        ObjectLockEnabled: 'Enabled',
        Rule: { DefaultRetention: { Mode: 'COMPLIANCE', Days: 30 } },
      },
      VersioningConfiguration: { Status: 'Enabled' },
      OwnershipControls: { Rules: [{ ObjectOwnership: 'BucketOwnerEnforced' }] },
    });
    const rules = (of: Template) =>
      Object.values(of.findResources('AWS::S3::Bucket')).flatMap(
        ({ Properties }) =>
          Properties.LifecycleConfiguration.Rules as { Id: string; ExpirationInDays?: number }[],
      );
    expect(rules(template).map(({ Id, ExpirationInDays }) => [Id, ExpirationInDays])).toEqual([
      ['unfinished-uploads', undefined],
      ['expired-copies', 90],
      ['delete-markers', undefined],
    ]);
    const { keepDays: _, ...forever } = CONFIG;
    expect(rules(synthesizeVault(forever)).map(({ Id }) => Id)).toEqual(['unfinished-uploads']);
  });

  test('states itself as an entry of "copies", which a deployment accepts', () => {
    const [copy] = Object.values(template.findOutputs('Copy'));
    expect(JSON.parse(write(copy?.Value))).toEqual({
      bucket: expect.stringMatching(/^<Bucket/),
      prefix: 'kb',
      region: REGION,
      account: VAULT,
      keyArn: expect.stringMatching(/^<Key/),
      keepDays: 90,
      readRoleArn: expect.stringMatching(/^<ReadRole/),
    });
    const resolved = JSON.parse(String(model.output(copy?.Value))) as object;
    const deployment = readDeployment({ ...DEPLOYMENT, copies: { vault: resolved } });
    expect(deployment.copies.vault).toMatchObject({
      bucket: 'the-vault',
      keyArn: KEY,
      readRoleArn: READ_ROLE,
    });
  });

  test('has no function, no secret, and no role without readers', () => {
    const types = (of: Template) =>
      Object.values(of.toJSON().Resources as Record<string, { Type: string }>).map(({ Type }) => Type);
    expect(types(template).sort()).toEqual([
      'AWS::IAM::Policy',
      'AWS::IAM::Role',
      'AWS::KMS::Key',
      'AWS::S3::Bucket',
      'AWS::S3::BucketPolicy',
    ]);
    const alone = synthesizeVault({ ...CONFIG, readers: [] });
    expect(types(alone).sort()).toEqual(['AWS::KMS::Key', 'AWS::S3::Bucket', 'AWS::S3::BucketPolicy']);
    expect(Object.keys(alone.findOutputs('*')).sort()).toEqual(['BucketName', 'Copy', 'KeyArn']);
  });

  test('retains bucket and key, unless they are to be deleted with the stack', () => {
    const policies = (of: Template) =>
      ['AWS::S3::Bucket', 'AWS::KMS::Key'].flatMap((type) =>
        Object.values(of.findResources(type)).map(({ DeletionPolicy }) => DeletionPolicy),
      );
    expect(policies(template)).toEqual(['RetainExceptOnCreate', 'RetainExceptOnCreate']);
    expect(policies(synthesizeVault({ ...CONFIG, removal: 'destroy' }))).toEqual(['Delete', 'Delete']);
  });
});

test.each([
  [{ lock: undefined }, 'vault.lock'],
  [{ keepDays: 29 }, 'vault.keepDays: must not be less than the days of "lock"'],
  [{ source: { account: '1' } }, 'vault.source.account: must be the 12 digits'],
  [{ source: { account: SOURCE, role: '*' } }, 'vault.source.role: must contain at least three characters'],
  [{ readers: ['*'] }, 'vault.readers.0: must be the ARN'],
  [{ readers: [`arn:aws:iam::${SOURCE}:role/*`] }, 'vault.readers.0: must name readers'],
  [{ bucket: 'x' }, 'Unrecognized key'],
])('a vault with %j is refused', (wrong, problem) => {
  expect(() => readVault({ ...CONFIG, ...wrong })).toThrow(problem);
});
