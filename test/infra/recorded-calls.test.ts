import { beforeAll, expect, test } from '@jest/globals';
import { type RecordedCall, SynthesizedPolicies } from '../runner/recorded-calls.ts';
import { synthesize } from './template.ts';

const BUCKET = 'arn:aws:s3:::the-bucket';
const ACCOUNT = '111122223333';
let policies: SynthesizedPolicies;

beforeAll(() => {
  const template = synthesize().toJSON() as { Resources: Record<string, { Type: string }> };
  const ids = Object.entries(template.Resources).map(([id, { Type }]): [string, string] => [
    id,
    Type === 'AWS::S3::Bucket' ? 'the-bucket' : id,
  ]);
  policies = new SynthesizedPolicies(template, new Map(ids), { region: 'eu-central-1', account: ACCOUNT });
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
  // Without a deployment, logical ids stand for names.
  const [bucket] = Object.keys(synthesize().findResources('AWS::S3::Bucket'));
  const keyless = new SynthesizedPolicies(JSON.parse(template), new Map(), {
    region: 'eu-central-1',
    account: ACCOUNT,
  });
  const reading = call('Ngbak-close-restore', 's3:GetObject', `arn:aws:s3:::${bucket}/staging/x`);
  expect(await keyless.refusal(reading)).toMatch(/kms:Decrypt .*Denied/);
});
