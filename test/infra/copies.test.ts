/** Copies of backups in other buckets: the workflow, and what each role may do there. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import validate from 'asl-validator';
import type { Template } from 'aws-cdk-lib/assertions';
import { TRANSIENT_ERRORS } from '../../infra/workflows/errors.ts';
import { type RecordedCall, SynthesizedPolicies } from '../runner/recorded-calls.ts';
import { OPERATOR_USER } from '../stack/operator.ts';
import { permissions, type Statement, synthesize, write } from './template.ts';
import { VARIANTS } from './variants.ts';

const COPIES = VARIANTS['copies in other buckets'].copies;
const VAULT = `arn:aws:s3:::${COPIES.vault.bucket}`;
const IN_VAULT = `${VAULT}/${COPIES.vault.prefix}/backups/*`;
const NEAR = `arn:aws:s3:::${COPIES.near.bucket}`;

let template: Template;
let granted: Map<string, Statement[]>;
beforeAll(() => {
  template = synthesize(VARIANTS['copies in other buckets']);
  granted = permissions(template);
});

/** What a function may do with the bucket of a copy, its key, or its role. */
const onCopies = (name: string) =>
  (granted.get(name) ?? [])
    .filter(({ resources }) =>
      resources.some((arn) =>
        [VAULT, NEAR, COPIES.vault.keyArn, COPIES.vault.readRoleArn].some((prefix) => arn.startsWith(prefix)),
      ),
    )
    .map(({ actions, resources, condition }) => ({
      actions: [...actions].sort(),
      resources,
      ...(condition === undefined ? {} : { condition }),
    }));

test('without "copies", there is no function, workflow, permission or output for them', () => {
  const plain = JSON.stringify(synthesize().toJSON());
  expect(plain).not.toMatch(/copy-backup|Ngbak-Copy|CopyRoleArn|COPY_STATE_MACHINE/);
});

test('the copying function adds objects to the configured places, and checks them by the configured role', () => {
  const read = [
    { actions: ['s3:GetObject', 's3:GetObjectVersion'], resources: [`${NEAR}/backups/*`] },
    { actions: ['s3:ListBucket'], resources: [NEAR] },
  ];
  const parts = ['s3:AbortMultipartUpload', 's3:ListMultipartUploadParts', 's3:PutObject'];
  expect(onCopies('copy-backup')).toEqual([
    { actions: [...parts, 's3:PutObjectRetention'], resources: [IN_VAULT] },
    { actions: ['kms:Decrypt', 'kms:GenerateDataKey'], resources: [COPIES.vault.keyArn] },
    { actions: ['sts:AssumeRole'], resources: [COPIES.vault.readRoleArn] },
    { actions: parts, resources: [`${NEAR}/backups/*`] },
    ...read,
  ]);
  // These verify copies, and the API thaws them.
  const assume = { actions: ['sts:AssumeRole'], resources: [COPIES.vault.readRoleArn] };
  expect(onCopies('verify-stored')).toEqual([assume, ...read]);
  expect(onCopies('api')).toEqual([
    assume,
    ...read.map((one) =>
      one.actions.includes('s3:GetObject') ? { ...one, actions: [...one.actions, 's3:RestoreObject'] } : one,
    ),
  ]);
});

test('no other function reaches a copy', () => {
  const known = ['copy-backup', 'api', 'verify-stored'];
  const others = [...granted.keys()].filter((name) => !known.includes(name));
  expect(others.filter((name) => onCopies(name).length > 0)).toEqual([]);
});

test('with "verification", a function verifies what is stored every hour, and changes records only', () => {
  const functions = template.findResources('AWS::Lambda::Function', {
    Properties: { FunctionName: 'Ngbak-verify-stored' },
  });
  const [id = ''] = Object.keys(functions);
  template.hasResourceProperties('AWS::Events::Rule', {
    ScheduleExpression: 'rate(1 hour)',
    Targets: [{ Arn: { 'Fn::GetAtt': [id, 'Arn'] } }],
  });
  const writes = (granted.get('verify-stored') ?? [])
    .filter(({ actions }) => actions.includes('s3:PutObject'))
    .flatMap(({ resources }) => resources.map((resource) => resource.split('>/')[1]));
  expect(writes).toEqual(['backups/*.json', 'staging/verification_*', 'cache/verification.json']);
  expect(JSON.stringify(synthesize().toJSON())).not.toContain('verify-stored');
});

test('of archives, the copying function reads all and writes none', () => {
  const own = (granted.get('copy-backup') ?? []).filter(({ resources }) =>
    resources.some((resource) => resource.startsWith('<ArchiveBucket')),
  );
  const keys = (action: string) =>
    own
      .filter(({ actions }) => actions.includes(action))
      .flatMap(({ resources }) => resources.map((resource) => resource.split('>/')[1]));
  expect(keys('s3:GetObject')).toEqual(['backups/*']);
  expect(keys('s3:PutObject')).toEqual(['backups/*.json']);
  expect(keys('s3:DeleteObject')).toEqual([]);
});

test('the janitor starts the workflow, and nobody else does', () => {
  const starters = [...granted].filter(([, statements]) =>
    statements.some(
      ({ actions, resources }) =>
        actions.includes('states:StartExecution') && resources.some((arn) => arn.endsWith(':Ngbak-Copy')),
    ),
  );
  expect(starters.map(([name]) => name)).toEqual(['janitor']);
});

test('the workflow is valid, retries transient errors, and records a failure before it fails', () => {
  const [found] = Object.values(template.findResources('AWS::StepFunctions::StateMachine')).filter(
    ({ Properties }) => Properties.StateMachineName === 'Ngbak-Copy',
  );
  const machine = JSON.parse(write(found?.Properties.DefinitionString));
  const { isValid, errorsText } = validate(machine);
  expect([isValid, errorsText('\n')]).toEqual([true, '']);
  const { 'Copy backup': copy, 'Record failure': failure, 'Copy failed': failed } = machine.States;
  expect(copy.Retry.at(-1)).toMatchObject({ ErrorEquals: TRANSIENT_ERRORS, MaxAttempts: 7 });
  expect(copy.Catch).toEqual([
    { ErrorEquals: ['States.ALL'], Next: 'Record failure', Output: expect.anything() },
  ]);
  expect(Object.keys(copy.Catch[0].Output).sort()).toEqual(['attempt', 'backup_id', 'copy', 'failure']);
  expect(failure.Retry.at(-1)).toMatchObject({ ErrorEquals: TRANSIENT_ERRORS, MaxAttempts: 7 });
  expect(failure.Next).toBe('Copy failed');
  expect(failed.Type).toBe('Fail');
});

describe('an attacker', () => {
  const ACCOUNT = '111122223333';
  const role = (name: string) => `arn:aws:sts::${ACCOUNT}:assumed-role/role/Ngbak-${name}`;
  const operator = `arn:aws:iam::${ACCOUNT}:${OPERATOR_USER}`;
  const object = `${VAULT}/${COPIES.vault.prefix}/backups/snapshot.ngbak`;
  /** Calls that would remove a copy, change it, or prepare that. */
  const ATTACKS: [action: string, resource: string][] = [
    ...[
      ...['s3:PutObject', 's3:DeleteObject', 's3:DeleteObjectVersion', 's3:PutObjectRetention'],
      ...['s3:BypassGovernanceRetention', 's3:PutObjectLegalHold', 's3:AbortMultipartUpload'],
    ].map((action): [string, string] => [action, object]),
    ...[
      ...['s3:PutBucketPolicy', 's3:PutLifecycleConfiguration', 's3:PutBucketVersioning'],
      ...['s3:PutBucketObjectLockConfiguration', 's3:DeleteBucket'],
    ].map((action): [string, string] => [action, VAULT]),
    ['kms:ScheduleKeyDeletion', COPIES.vault.keyArn],
    ['kms:DisableKey', COPIES.vault.keyArn],
  ];
  const call = (principal: string, [action, resource]: [string, string]): RecordedCall => ({
    principal,
    action,
    resource,
    context: {},
  });

  test.each([
    ['the role of the API', role('api')],
    ['the policy for operators', operator],
    ['the role of a restore, which reads uploads', role('inspect-restore')],
    ['the role that applies retention', role('apply-retention')],
    ['the role of the janitor', role('janitor')],
  ])('with %s cannot remove or change a copy', async (_, principal) => {
    const policies = new SynthesizedPolicies(template.toJSON(), new Map(), {
      region: 'eu-central-1',
      account: ACCOUNT,
    });
    for (const attack of ATTACKS) {
      expect([attack, await policies.refusal(call(principal, attack))]).toEqual([
        attack,
        expect.stringMatching(/Denied/),
      ]);
    }
  });

  test('with the role that makes copies can add objects, but cannot remove them or unlock the bucket', async () => {
    const policies = new SynthesizedPolicies(template.toJSON(), new Map(), {
      region: 'eu-central-1',
      account: ACCOUNT,
    });
    const allowed = ['s3:PutObject', 's3:PutObjectRetention', 's3:AbortMultipartUpload'];
    for (const attack of ATTACKS) {
      const refusal = await policies.refusal(call(role('copy-backup'), attack));
      expect([attack, refusal === undefined]).toEqual([attack, allowed.includes(attack[0])]);
    }
    expect(await policies.refusal(call(role('copy-backup'), ['s3:PutObject', `${VAULT}/other`]))).toMatch(
      /Denied/,
    );
  });
});
