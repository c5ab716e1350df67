import { beforeAll, describe, expect, test } from '@jest/globals';
import { type RecordedCall, SynthesizedPolicies } from '../runner/recorded-calls.ts';
import type { ServiceCall } from '../runner/service-calls.ts';
import { TemplateModel } from '../runner/template-model.ts';
import { OPERATOR_USER } from '../stack/operator.ts';
import { synthesize } from './template.ts';
import { VARIANTS } from './variants.ts';

const BUCKET = 'arn:aws:s3:::the-bucket';
const ACCOUNT = '111122223333';
let policies: SynthesizedPolicies;

beforeAll(() => {
  const template = synthesize().toJSON() as { Resources: Record<string, { Type: string }> };
  const bucket = Object.entries(template.Resources).find(([, { Type }]) => Type === 'AWS::S3::Bucket');
  const ids = new Map([[bucket?.[0] ?? '', 'the-bucket']]);
  policies = new SynthesizedPolicies(template, ids, { region: 'eu-central-1', account: ACCOUNT });
});

const call = (name: string, action: string, resource: string, context = {}): RecordedCall => ({
  principal: `arn:aws:sts::${ACCOUNT}:assumed-role/role/${name}`,
  action,
  resource,
  context,
});

test('a recorded call that the role of its function allows is accepted, with the key that encrypts the bucket', async () => {
  const allowed = call('Ngbak-export-kv', 's3:PutObject', `${BUCKET}/staging/job/segments/1`);
  expect(await policies.refusal(allowed)).toBeUndefined();
});

test.each([
  [
    'outside of the prefixes of its role',
    call('Ngbak-export-kv', 's3:GetObject', `${BUCKET}/backups/a.ngbak`),
  ],
  [
    'of a service that its role does not use',
    call('Ngbak-export-kv', 'sqs:SendMessage', `arn:aws:sqs:eu-central-1:${ACCOUNT}:q`),
  ],
  [
    'that the policy of the bucket denies, since it is not encrypted on its way',
    call('Ngbak-export-kv', 's3:GetObject', `${BUCKET}/staging/x`, { 'aws:SecureTransport': 'false' }),
  ],
])('a recorded call %s is refused', async (_, refused) => {
  expect(await policies.refusal(refused)).toMatch(/Ngbak-export-kv: .*Denied/);
});

test('a call that reads the encrypted bucket is refused if the role may not use its key', async () => {
  const template = JSON.stringify(synthesize().toJSON()).replaceAll('"kms:Decrypt"', '"kms:DescribeKey"');
  // Without a deployment, logical IDs take the place of names.
  const [bucket] = Object.keys(synthesize().findResources('AWS::S3::Bucket'));
  const keyless = new SynthesizedPolicies(JSON.parse(template), new Map(), {
    region: 'eu-central-1',
    account: ACCOUNT,
  });
  const reading = call('Ngbak-close-restore', 's3:GetObject', `arn:aws:s3:::${bucket}/staging/x`);
  expect(await keyless.refusal(reading)).toMatch(/kms:Decrypt .*Denied/);
});

describe('calls of AWS services with the roles of the stack', () => {
  const where = { region: 'eu-central-1', account: ACCOUNT };
  const refusals = async (template: unknown) => {
    const found = new SynthesizedPolicies(template, new Map(), where);
    const calls = found.serviceCalls();
    const refused = await Promise.all(calls.map((one) => found.refusalOfService(one)));
    return { calls, refused: refused.filter((why) => why !== undefined) };
  };
  const actionsBy = (calls: readonly ServiceCall[], by: string) =>
    new Set(calls.filter((one) => one.by.includes(by)).map(({ action }) => action));

  test.each(Object.entries(VARIANTS))('are allowed by the policies of %s', async (_, overrides) => {
    const { calls, refused } = await refusals(synthesize(overrides).toJSON());
    expect(refused).toEqual([]);
    expect([...actionsBy(calls, 'RestoreStateMachineRole')]).toEqual(
      expect.arrayContaining([
        ...['lambda:InvokeFunction', 'states:StartExecution', 'states:StopExecution'],
        ...['events:PutRule', 'logs:CreateLogDelivery', 'xray:PutTraceSegments'],
      ]),
    );
    expect([...actionsBy(calls, 'events.amazonaws.com')].sort()).toEqual(
      ['lambda:InvokeFunction', 'sqs:SendMessage', 'sts:AssumeRole'].sort(),
    );
  });

  test.each([
    ['a function that a workflow invokes', '"lambda:InvokeFunction"', /Role.*: lambda:InvokeFunction on /],
    ['a workflow that a schedule starts', '"states:StartExecution"', /Role.*: states:StartExecution on /],
    ['the log of a function', '"logs:PutLogEvents"', /Role.*: logs:PutLogEvents on /],
    ['the queue of undelivered events', '"sqs:SendMessage"', /: sqs:SendMessage on /],
    ['the role that a service assumes', '"scheduler.amazonaws.com"', /sts:AssumeRole on .*SchedulesRole/],
    [
      'a function that a rule or the API invokes',
      '"events.amazonaws.com"',
      /events.*: lambda:InvokeFunction on /,
    ],
  ])('are refused without the permission for %s', async (_, text, reason) => {
    const template = JSON.stringify(synthesize().toJSON()).replaceAll(text, '"nothing:Allowed"');
    const { refused } = await refusals(JSON.parse(template));
    expect(refused).toContainEqual(expect.stringMatching(reason));
  });
});

describe('calls with the policy for operators', () => {
  const operator = (action: string, resource: string): RecordedCall => ({
    principal: `arn:aws:iam::${ACCOUNT}:${OPERATOR_USER}`,
    action,
    resource,
    context: {},
  });
  const machine = `arn:aws:states:eu-central-1:${ACCOUNT}:stateMachine:Ngbak`;

  test.each([
    ['s3:PutObject', `${BUCKET}/uploads/job/a.ngbak`],
    ['states:StartExecution', `${machine}-Backup`],
    // The library has no resource for these two: they are compared with the statements here.
    ['states:SendTaskSuccess', `${machine}-Restore`],
    ['scheduler:ListSchedules', `arn:aws:scheduler:eu-central-1:${ACCOUNT}:schedule/*/*`],
  ])('%s is allowed if the CLI needs it', async (action, resource) => {
    expect(await policies.refusal(operator(action, resource))).toBeUndefined();
  });

  test.each([
    ['s3:PutObject', `${BUCKET}/backups/a.ngbak`],
    ['s3:PutObject', `${BUCKET}/locks/default.json`],
    ['states:SendTaskSuccess', `${machine}-Backup`],
    ['states:StartExecution', `arn:aws:states:eu-central-1:${ACCOUNT}:stateMachine:Payroll`],
    ['iam:PassRole', `arn:aws:iam::${ACCOUNT}:role/Admin`],
  ])('%s on %s is refused', async (action, resource) => {
    expect(await policies.refusal(operator(action, resource))).toMatch(/test-operator: /);
  });
});

test('the policy for operators fits into a managed policy, also with long names', () => {
  // IAM does not count white space: "IAM and AWS STS quotas", managed policy size.
  const long = synthesize({ stackName: 'N'.repeat(40) }).toJSON();
  const model = new TemplateModel(long, new Map(), { region: 'ap-southeast-1', account: ACCOUNT });
  const published = [...model.ofType('AWS::IAM::ManagedPolicy')].filter(({ value }) => !value('Roles'));
  expect(published).toHaveLength(1);
  for (const { value } of published) {
    const size = JSON.stringify(value('PolicyDocument')).length;
    // Without a deployment, the logical ID takes the place of the bucket name, which has 63 characters at most.
    expect(size + 30 * 40).toBeLessThan(6144);
  }
});
