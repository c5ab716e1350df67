import { readFileSync } from 'node:fs';
import { runSimulation } from '@cloud-copilot/iam-simulate';
import { expect, test } from '@jest/globals';

const ACCOUNT = '111122223333';
const USER = `arn:aws:iam::${ACCOUNT}:user/operator`;
const BUCKET = 'arn:aws:s3:::archive';
const KEY = `arn:aws:kms:eu-central-1:${ACCOUNT}:key/0a1b2c3d`;

/** The policy of the key, as the CDK creates it: the account's own policies decide. */
const KEY_POLICY = {
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: 'kms:*', Resource: '*' },
  ],
};

/** The permissions in the row "restore" of the table in docs/deploy.md, parsed from the document itself. */
function documentedActions(): string[] {
  const page = readFileSync(new URL('../../docs/deploy.md', import.meta.url), 'utf8');
  const row = page.split('\n').find((line) => line.startsWith('| restore |')) ?? '';
  return [...row.matchAll(/`((?:s3|kms):[A-Za-z]+)`/g)].map(([, action = '']) => action);
}

async function allows(actions: readonly string[], action: string, resource: string): Promise<boolean> {
  const grants = (service: string, on: string) => ({
    Effect: 'Allow',
    Action: actions.filter((name) => name.startsWith(service)),
    Resource: on,
  });
  const result = await runSimulation(
    {
      request: {
        principal: USER,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: {},
      },
      sessionPolicy: undefined,
      identityPolicies: [
        {
          name: 'operator',
          policy: {
            Version: '2012-10-17',
            Statement: [grants('s3:', `${BUCKET}/uploads/*`), grants('kms:', KEY)],
          },
        },
      ],
      ...(action.startsWith('kms:') ? { resourcePolicy: KEY_POLICY } : {}),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      permissionBoundaryPolicies: [],
    },
    {},
  );
  if (result.resultType === 'error') throw new Error(result.errors.message);
  return result.overallResult === 'Allowed';
}

/** The calls of the AWS CLI for a file of 8 MiB and more (S3 user guide, "Multipart upload API and permissions"). */
test.each([
  ['s3:PutObject', `${BUCKET}/uploads/default/x.ngbak`],
  ['s3:AbortMultipartUpload', `${BUCKET}/uploads/default/x.ngbak`],
  ['kms:GenerateDataKey', KEY],
  ['kms:Decrypt', KEY],
])('the documented permissions of an operator who uploads suffice for %s', async (action, resource) => {
  expect(await allows(documentedActions(), action, resource)).toBe(true);
});

test('without kms:Decrypt, a multipart upload fails at its end', async () => {
  const actions = documentedActions().filter((action) => action !== 'kms:Decrypt');
  expect(await allows(actions, 'kms:Decrypt', KEY)).toBe(false);
});

test('the documented permissions of an operator who uploads allow nothing outside of uploads', async () => {
  expect(await allows(documentedActions(), 's3:PutObject', `${BUCKET}/backups/x.ngbak`)).toBe(false);
});

/** The policy of the role that copies archives into another account, from docs/deploy.md. */
function replicationPolicy(): object {
  const page = readFileSync(new URL('../../docs/deploy.md', import.meta.url), 'utf8');
  const block =
    /<!-- test\/infra\/documented-policies\.test\.ts evaluates this policy -->\s*```json\n([\s\S]*?)```/.exec(
      page,
    )?.[1];
  if (!block) throw new Error('docs/deploy.md has no block that names this test.');
  const text = block
    .replaceAll('$SOURCE_KEY', KEY)
    .replaceAll('$COPY_KEY', COPY_KEY)
    .replaceAll('arn:aws:s3:::$SOURCE', BUCKET)
    .replaceAll('arn:aws:s3:::$COPY', COPY);
  return JSON.parse(text) as object;
}

const COPY = 'arn:aws:s3:::copy';
const COPY_KEY = 'arn:aws:kms:eu-central-1:444455556666:key/1b2c3d4e';

/** Evaluated as within one account: the bucket of the copy allows the role what its own policies must allow as well. */
async function replicates(action: string, resource: string): Promise<boolean> {
  const result = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/replication/s3`,
        action,
        resource: { resource, accountId: ACCOUNT },
        contextVariables: {},
      },
      sessionPolicy: undefined,
      identityPolicies: [{ name: 'replication', policy: replicationPolicy() }],
      ...(resource.startsWith('arn:aws:kms:') ? { resourcePolicy: KEY_POLICY } : {}),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      permissionBoundaryPolicies: [],
    },
    {},
  );
  if (result.resultType === 'error') throw new Error(JSON.stringify(result.errors));
  return result.overallResult === 'Allowed';
}

test('the documented replication copies archives and their records into another bucket', async () => {
  expect(await replicates('s3:GetObjectVersionForReplication', `${BUCKET}/backups/a.ngbak`)).toBe(true);
  expect(await replicates('s3:ReplicateObject', `${COPY}/backups/a.ngbak`)).toBe(true);
  expect(await replicates('kms:Decrypt', KEY)).toBe(true);
  expect(await replicates('kms:Encrypt', COPY_KEY)).toBe(true);
});

test.each([
  ['s3:ReplicateDelete', `${COPY}/backups/a.ngbak`],
  ['s3:DeleteObjectVersion', `${COPY}/backups/a.ngbak`],
  ['s3:PutObject', `${COPY}/backups/a.ngbak`],
  ['s3:GetObjectVersionForReplication', `${BUCKET}/jobs/a/confirmation.json`],
])('the documented replication may not call %s on %s', async (action, resource) => {
  expect(await replicates(action, resource)).toBe(false);
});

const COPY_ROLE = `arn:aws:iam::${ACCOUNT}:role/copy`;

/** The policy of the bucket of a copy in another account, from docs/copies.md. */
function copyBucketPolicy(): object {
  const page = readFileSync(new URL('../../docs/copies.md', import.meta.url), 'utf8');
  const block =
    /<!-- test\/infra\/documented-policies\.test\.ts evaluates this policy -->\s*```json\n([\s\S]*?)```/.exec(
      page,
    )?.[1];
  if (!block) throw new Error('docs/copies.md has no block that names this test.');
  return JSON.parse(block.replaceAll('$COPY_ROLE', COPY_ROLE).replaceAll('$COPY', 'copy')) as object;
}

/** A role whose own policies allow everything, so that the policy of the bucket decides. */
async function copies(action: string, resource: string, contextVariables: Record<string, string> = {}) {
  const anything = { Effect: 'Allow', Action: '*', Resource: '*' };
  const result = await runSimulation(
    {
      request: {
        principal: `arn:aws:sts::${ACCOUNT}:assumed-role/copy/ngbak`,
        action,
        resource: { resource, accountId: '444455556666' },
        contextVariables,
      },
      sessionPolicy: undefined,
      identityPolicies: [{ name: 'all', policy: { Version: '2012-10-17', Statement: [anything] } }],
      resourcePolicy: copyBucketPolicy(),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      permissionBoundaryPolicies: [],
    },
    {},
  );
  if (result.resultType === 'error') throw new Error(JSON.stringify(result.errors));
  return result.overallResult === 'Allowed';
}

const COPIED = `${COPY}/graphrag/backups/a.ngbak`;
/** S3 evaluates both for each request that creates an object, but not for the parts of an upload. */
const CREATES = { 's3:ObjectCreationOperation': 'true' };

test('the documented bucket of a copy accepts new objects, their parts and their locks', async () => {
  expect(await copies('s3:PutObject', COPIED, { ...CREATES, 's3:if-none-match': '*' })).toBe(true);
  expect(await copies('s3:PutObject', COPIED, { 's3:ObjectCreationOperation': 'false' })).toBe(true);
  for (const action of ['PutObjectRetention', 'AbortMultipartUpload', 'ListMultipartUploadParts']) {
    expect([action, await copies(`s3:${action}`, COPIED)]).toEqual([action, true]);
  }
});

test.each([
  ['s3:PutObject', COPIED, CREATES],
  ['s3:PutObject', `${COPY}/other/a.ngbak`, { ...CREATES, 's3:if-none-match': '*' }],
  ['s3:GetObject', COPIED, {}],
  ['s3:DeleteObject', COPIED, {}],
  ['s3:DeleteObjectVersion', COPIED, {}],
  ['s3:BypassGovernanceRetention', COPIED, {}],
  ['s3:ListBucket', COPY, {}],
  ['s3:PutBucketPolicy', COPY, {}],
  ['s3:PutLifecycleConfiguration', COPY, {}],
])('the documented bucket of a copy refuses %s on %s with %j', async (action, resource, context) => {
  expect(await copies(action, resource, context as Record<string, string>)).toBe(false);
});
