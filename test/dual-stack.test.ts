import { GetFunctionCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { HeadBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { ListSchedulesCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { DescribeExecutionCommand, SFNClient } from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { awsClient } from '../shared/aws/clients.ts';

const DUALSTACK = 'AWS_USE_DUALSTACK_ENDPOINT';
const ENDPOINT = 'AWS_ENDPOINT_URL';
const saved = { [DUALSTACK]: process.env[DUALSTACK], [ENDPOINT]: process.env[ENDPOINT] };

/** As `network.dualStackEndpoints` sets it for functions. */
beforeAll(() => {
  process.env[DUALSTACK] = 'true';
  delete process.env[ENDPOINT];
});
afterAll(() => {
  for (const [name, value] of Object.entries(saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});

interface AnyClient {
  readonly middlewareStack: {
    add(middleware: () => (args: { request: unknown }) => Promise<never>, options: object): void;
  };
}

/** The host that a call would be sent to; nothing is sent. */
async function hostOf(client: object, call: () => Promise<unknown>): Promise<string> {
  let host = '';
  (client as AnyClient).middlewareStack.add(
    () => (args) => {
      host = String(Reflect.get(Object(args.request), 'hostname'));
      return Promise.reject(new Error('not sent'));
    },
    { step: 'finalizeRequest', priority: 'high', name: 'test' },
  );
  await expect(call()).rejects.toThrow('not sent');
  return host;
}

const arn = (region: string) => `arn:aws:states:${region}:111122223333:execution:a:b`;

test.each([
  ['eu-central-1', 'amazonaws.com', 'states.eu-central-1.api.aws', 'eu-central-1.api.aws'],
  ['us-gov-west-1', 'amazonaws.com', 'states-fips.us-gov-west-1.api.aws', 'us-gov-west-1.api.aws'],
  [
    'cn-north-1',
    'amazonaws.com.cn',
    'states.cn-north-1.api.amazonwebservices.com.cn',
    'cn-north-1.api.amazonwebservices.com.cn',
  ],
])(
  'with dual-stack endpoints, every service in %s is called at an address that IPv6 reaches',
  async (region, suffix, states, others) => {
    const config = { region, credentials: { accessKeyId: 'x', secretAccessKey: 'x' } };
    const s3 = awsClient('s3', S3Client, config);
    const secrets = awsClient('secretsmanager', SecretsManagerClient, config);
    const sfn = awsClient('states', SFNClient, config);
    const lambda = awsClient('lambda', LambdaClient, config);
    const scheduler = awsClient('scheduler', SchedulerClient, config);
    expect([
      await hostOf(s3, () => s3.send(new HeadBucketCommand({ Bucket: 'archive' }))),
      await hostOf(secrets, () => secrets.send(new GetSecretValueCommand({ SecretId: 'x' }))),
      await hostOf(sfn, () => sfn.send(new DescribeExecutionCommand({ executionArn: arn(region) }))),
      await hostOf(lambda, () => lambda.send(new GetFunctionCommand({ FunctionName: 'hook' }))),
      await hostOf(scheduler, () => scheduler.send(new ListSchedulesCommand({}))),
    ]).toEqual([
      `archive.s3.dualstack.${region}.${suffix}`,
      // Its usual endpoint supports both.
      `secretsmanager.${region}.${suffix}`,
      states,
      `lambda.${others}`,
      `scheduler.${others}`,
    ]);
  },
);
