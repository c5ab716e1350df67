import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { crc32 } from 'node:zlib';
import {
  CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStacksCommand,
  waitUntilStackCreateComplete,
  waitUntilStackDeleteComplete,
} from '@aws-sdk/client-cloudformation';
import {
  GetFunctionCommand,
  InvokeCommand,
  LambdaClient,
  TagResourceCommand,
  UntagResourceCommand,
} from '@aws-sdk/client-lambda';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketTaggingCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  RestoreObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { DeleteSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  CreateStateMachineCommand,
  DeleteStateMachineCommand,
  SendTaskSuccessCommand,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { lambdaCommandLine } from '../../infra/process-settings.ts';
import { servers } from '../servers.ts';
import { untilEnded } from '../support/aws.ts';
import { until } from '../support/until.ts';

/**
 * Behaviour that the emulator must share with AWS, because other tests would prove nothing otherwise: see
 * local/emulator/.
 */
const { endpoint } = servers.aws;
const cloudFormation = new CloudFormationClient({ endpoint });
const s3 = new S3Client({ endpoint });
const sfn = new SFNClient({ endpoint });
const stack = `emulator-${randomBytes(4).toString('hex')}`;
const Bucket = stack;
/** The file in which the function records its events. */
const notes = join(mkdtempSync(join(tmpdir(), 'ngbak-emulator-')), 'notes');
const MIB = 1024 * 1024;

const template = {
  Resources: {
    Bucket: {
      Type: 'AWS::S3::Bucket',
      Properties: {
        BucketName: Bucket,
        BucketEncryption: {
          ServerSideEncryptionConfiguration: [
            {
              BucketKeyEnabled: true,
              ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'alias/of-a-test' },
            },
          ],
        },
        LifecycleConfiguration: {
          Rules: [
            {
              Id: 'staging',
              Prefix: 'staging/',
              Status: 'Enabled',
              ExpirationInDays: 1,
              NoncurrentVersionExpiration: { NoncurrentDays: 2 },
              AbortIncompleteMultipartUpload: { DaysAfterInitiation: 3 },
            },
            {
              Id: 'classes',
              Prefix: 'backups/',
              Status: 'Enabled',
              TagFilters: [{ Key: 'of', Value: 'archives' }],
              Transitions: [{ TransitionInDays: 4, StorageClass: 'GLACIER' }],
            },
          ],
        },
        NotificationConfiguration: { EventBridgeConfiguration: { EventBridgeEnabled: true } },
        Tags: [{ Key: 'of', Value: 'a test & more' }],
      },
    },
    Role: { Type: 'AWS::IAM::Role', Properties: { AssumeRolePolicyDocument: {} } },
    Throws: {
      Type: 'AWS::Lambda::Function',
      Properties: {
        Runtime: 'nodejs24.x',
        Timeout: 120,
        Handler: 'index.handler',
        Role: { 'Fn::GetAtt': ['Role', 'Arn'] },
        Environment: { Variables: { NOTES: notes } },
        Code: {
          ZipFile: `
class TargetLockedError extends Error { constructor(m) { super(m); this.name = 'TargetLockedError'; } }
exports.handler = async (event) => {
  if (event.detail) {
    const fs = require('node:fs');
    fs.appendFileSync(process.env.NOTES, event.detail.object.key + '\\n');
    if (fs.readFileSync(process.env.NOTES, 'utf8').split('\\n').length === 2) process.kill(process.pid, 'SIGKILL');
    return;
  }
  if (event.hand_on) {
    require('node:fs').writeFileSync(process.env.NOTES + '.token', event.hand_on);
    return;
  }
  if (event === 'environment') return process.env.npm_lifecycle_event ?? null;
  if (event === 'forbidden') {
    const { S3Client, ListObjectsV2Command } = require('@aws-sdk/client-s3');
    return new S3Client({ forcePathStyle: true }).send(new ListObjectsV2Command({ Bucket: '${Bucket}' }));
  }
  if (event === 'death') process.kill(process.pid, 'SIGKILL');
  throw new TargetLockedError('locked by somebody');
};`,
        },
      },
    },
    Rule: {
      Type: 'AWS::Events::Rule',
      Properties: {
        EventPattern: {
          source: ['aws.s3'],
          'detail-type': ['Object Created'],
          detail: { bucket: { name: [Bucket] }, object: { key: [{ prefix: 'noted/' }] } },
        },
        Targets: [{ Id: 'Throws', Arn: { 'Fn::GetAtt': ['Throws', 'Arn'] } }],
      },
    },
  },
  Outputs: { Throws: { Value: { 'Fn::GetAtt': ['Throws', 'Arn'] } } },
};

let throws = '';
beforeAll(async () => {
  await cloudFormation.send(
    new CreateStackCommand({
      StackName: stack,
      TemplateBody: JSON.stringify(template),
      Capabilities: ['CAPABILITY_IAM'],
    }),
  );
  await waitUntilStackCreateComplete(
    { client: cloudFormation, maxWaitTime: 60, minDelay: 1, maxDelay: 1 },
    { StackName: stack },
  );
  const { Stacks } = await cloudFormation.send(new DescribeStacksCommand({ StackName: stack }));
  throws = Stacks?.[0]?.Outputs?.[0]?.OutputValue ?? '';
});
afterAll(async () => {
  await cloudFormation.send(new DeleteStackCommand({ StackName: stack }));
  await rm(dirname(notes), { recursive: true });
});

/** Runs a state machine with these states to its end. */
async function execute(states: object, input: unknown = {}) {
  const { stateMachineArn } = await sfn.send(
    new CreateStateMachineCommand({
      name: `emulator-${randomBytes(6).toString('hex')}`,
      roleArn: 'arn:aws:iam::000000000000:role/test',
      definition: JSON.stringify({ QueryLanguage: 'JSONata', StartAt: 'First', States: states }),
    }),
  );
  try {
    const { executionArn } = await sfn.send(
      new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) }),
    );
    return await untilEnded(sfn, executionArn);
  } finally {
    await sfn.send(new DeleteStateMachineCommand({ stateMachineArn }));
  }
}

async function upload(sizes: readonly number[], order = (parts: number[]) => parts) {
  const Key = randomBytes(4).toString('hex');
  const { UploadId } = await s3.send(
    new CreateMultipartUploadCommand({
      Bucket,
      Key,
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    }),
  );
  const bodies = sizes.map((size, i) => Buffer.alloc(size, i + 1));
  const etags = await Promise.all(
    bodies.map(async (Body, i) => {
      const command = new UploadPartCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber: i + 1,
        Body,
        ChecksumAlgorithm: 'CRC32',
      });
      return (await s3.send(command)).ETag;
    }),
  );
  const Parts = order(sizes.map((_, i) => i + 1)).map((PartNumber) => ({
    PartNumber,
    ETag: etags[PartNumber - 1],
  }));
  try {
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  } catch (error) {
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }));
    throw error;
  }
  return { Key, content: Buffer.concat(bodies) };
}

describe('the emulator, like AWS,', () => {
  test('refuses parts under 5 MiB, except for the last one', async () => {
    await expect(upload([5 * MIB - 1, 1])).rejects.toMatchObject({ name: 'EntityTooSmall' });
    await upload([5 * MIB, 1]);
  });

  test('refuses parts out of order', async () => {
    await expect(upload([5 * MIB, 5 * MIB], (parts) => parts.toReversed())).rejects.toMatchObject({
      name: 'InvalidPartOrder',
    });
  });

  test('keeps the CRC-32 of a whole object that was uploaded in parts', async () => {
    const { Key, content } = await upload([5 * MIB, 123]);
    const found = await s3.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
    const expected = Buffer.alloc(4);
    expected.writeUInt32BE(crc32(content));
    expect(found.ChecksumCRC32).toBe(expected.toString('base64'));
    expect(found.ChecksumType).toBe('FULL_OBJECT');
  });

  test('gives a bucket of a template its encryption, lifecycle and tags', async () => {
    const encryption = await s3.send(new GetBucketEncryptionCommand({ Bucket }));
    expect(encryption.ServerSideEncryptionConfiguration?.Rules).toEqual([
      {
        ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'alias/of-a-test' },
        BucketKeyEnabled: true,
      },
    ]);
    const lifecycle = await s3.send(new GetBucketLifecycleConfigurationCommand({ Bucket }));
    expect(lifecycle.Rules).toMatchObject([
      {
        ID: 'staging',
        Filter: { Prefix: 'staging/' },
        Expiration: { Days: 1 },
        NoncurrentVersionExpiration: { NoncurrentDays: 2 },
        AbortIncompleteMultipartUpload: { DaysAfterInitiation: 3 },
      },
      {
        ID: 'classes',
        Filter: { And: { Prefix: 'backups/', Tags: [{ Key: 'of', Value: 'archives' }] } },
        Transitions: [{ Days: 4, StorageClass: 'GLACIER' }],
      },
    ]);
    const { TagSet } = await s3.send(new GetBucketTaggingCommand({ Bucket }));
    expect(TagSet).toContainEqual({ Key: 'of', Value: 'a test & more' });
  });

  test('thaws a version of an object, and for 365 days only after an hour', async () => {
    const own = `${Bucket}-cold`;
    await s3.send(new CreateBucketCommand({ Bucket: own }));
    const VersioningConfiguration = { Status: 'Enabled' } as const;
    await s3.send(new PutBucketVersioningCommand({ Bucket: own, VersioningConfiguration }));
    const thaw = async (Key: string, Days: number) => {
      const put = { Bucket: own, Key, Body: 'x', StorageClass: 'GLACIER' } as const;
      const { VersionId } = await s3.send(new PutObjectCommand(put));
      const at = { Bucket: own, Key, VersionId };
      await s3.send(new RestoreObjectCommand({ ...at, RestoreRequest: { Days } }));
      return async () => (await s3.send(new HeadObjectCommand(at))).Restore;
    };
    const [quick, slow] = [await thaw('quick', 2), await thaw('slow', 365)];
    expect([await quick(), await slow()]).toEqual(Array(2).fill('ongoing-request="true"'));
    await until('the object is thawed', quick, {
      holds: (state) => state?.startsWith('ongoing-request="false"') === true,
    });
    expect(await slow()).toBe('ongoing-request="true"');
  });

  test('lets a state machine catch a function’s error by its name', async () => {
    const invoke = (ErrorEquals: string[]) => ({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Arguments: { FunctionName: throws, Payload: {} },
        Output: '{% $states.result.Payload %}',
        Catch: [
          { ErrorEquals, Output: '{% $parse($states.errorOutput.Cause).errorMessage %}', Next: 'Caught' },
        ],
        End: true,
      },
      Caught: { Type: 'Pass', End: true },
    });
    expect(await execute(invoke(['TargetLockedError']))).toMatchObject({
      status: 'SUCCEEDED',
      output: '"locked by somebody"',
    });
    expect(await execute(invoke(['SomeOtherError']))).toMatchObject({
      status: 'FAILED',
      error: 'TargetLockedError',
    });
  });

  test('reports a function whose process was killed as Lambda does, and starts it again for a retry', async () => {
    const { status, error } = await execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Arguments: { FunctionName: throws, Payload: 'death' },
        End: true,
      },
    });
    expect([status, error]).toEqual(['FAILED', 'Runtime.ExitError']);
    const retried = await execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Arguments: {
          FunctionName: throws,
          Payload: '{% $states.context.State.RetryCount = 0 ? "death" : "environment" %}',
        },
        Retry: [{ ErrorEquals: ['Runtime.ExitError'], IntervalSeconds: 1, MaxAttempts: 1 }],
        Output: '{% $states.context.State.RetryCount %}',
        End: true,
      },
    });
    expect(retried).toMatchObject({ status: 'SUCCEEDED', output: '1' });
  });

  test('fails a task whose function failed before it passed on the task token', async () => {
    const { status, error } = await execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke.waitForTaskToken',
        Arguments: { FunctionName: throws, Payload: { token: '{% $states.context.Task.Token %}' } },
        TimeoutSeconds: 120,
        End: true,
      },
    });
    expect([status, error]).toEqual(['FAILED', 'TargetLockedError']);
  });

  test('completes a waiting task by the first of several responses, and rejects the others', async () => {
    const ended = execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke.waitForTaskToken',
        Arguments: { FunctionName: throws, Payload: { hand_on: '{% $states.context.Task.Token %}' } },
        TimeoutSeconds: 120,
        End: true,
      },
    });
    const taskToken = await until(
      'the task has its token',
      () => readFile(`${notes}.token`, 'utf8').catch(() => ''),
      { holds: (token) => token !== '' },
    );
    const answer = (output: string) => sfn.send(new SendTaskSuccessCommand({ taskToken, output }));
    const answers = await Promise.allSettled(['1', '2', '3'].map(answer));
    const late = await answer('4').catch((error: Error) => error.name);
    const first = answers.findIndex(({ status }) => status === 'fulfilled');
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(late).toBe('TaskTimedOut');
    expect(await ended).toMatchObject({ status: 'SUCCEEDED', output: String(first + 1) });
  });

  test('starts a function again that was invoked by an event and whose process was killed', async () => {
    const Key = 'noted/once';
    await s3.send(new PutObjectCommand({ Bucket, Key, Body: 'x' }));
    const noted = () => readFile(notes, 'utf8').catch(() => '');
    await until('the function was started twice', noted, { holds: (text) => text.split('\n').length >= 3 });
    expect(await noted()).toBe(`${Key}\n${Key}\n`);
    await s3.send(new DeleteObjectCommand({ Bucket, Key }));
  });

  test('holds the invocations that a test asked for until it lets go of them, and no others', async () => {
    const lambda = new LambdaClient({});
    const { Configuration } = await lambda.send(new GetFunctionCommand({ FunctionName: throws }));
    const Resource = Configuration?.FunctionArn ?? '';
    const invoke = (Payload: string) =>
      execute({
        First: {
          Type: 'Task',
          Resource: 'arn:aws:states:::lambda:invoke',
          Arguments: { FunctionName: throws, Payload },
          End: true,
        },
      });
    await lambda.send(new TagResourceCommand({ Resource, Tags: { 'emulator:held': 'locked' } }));
    const ended: string[] = [];
    const held = invoke('locked').then(() => ended.push('locked'));
    try {
      for (const name of ['one', 'two']) await invoke(name).then(() => ended.push(name));
    } finally {
      await lambda.send(new UntagResourceCommand({ Resource, TagKeys: ['emulator:held'] }));
    }
    await held;
    expect(ended).toEqual(['one', 'two', 'locked']);
  });

  test('hides the environment of this machine from functions', async () => {
    expect(process.env.npm_lifecycle_event).toBeDefined();
    const { output } = await execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Arguments: { FunctionName: throws, Payload: 'environment' },
        Output: '{% $states.result.Payload %}',
        End: true,
      },
    });
    expect(output).toBe('null');
  });

  test('denies a function what its role does not allow', async () => {
    const { status, error, cause } = await execute({
      First: {
        Type: 'Task',
        Resource: 'arn:aws:states:::lambda:invoke',
        Arguments: { FunctionName: throws, Payload: 'forbidden' },
        End: true,
      },
    });
    expect([status, error]).toEqual(['FAILED', 'AccessDenied']);
    expect(cause).toMatch(/s3:ListBucket/);
  });

  test('gives a state with parallel branches the output and the variables that its definition states', async () => {
    const branch = (name: string, Output: object) => ({
      StartAt: name,
      States: { [name]: { Type: 'Pass', Output, End: true } },
    });
    const states = {
      First: {
        Type: 'Parallel',
        Branches: [branch('One', { failed: [] }), branch('Other', { failed: [{ error: 'Some' }] })],
        Output: { failed: '{% [$states.input.failed, $states.result.failed] %}' },
        Assign: { branches: '{% $count($states.result) %}' },
        Next: 'Last',
      },
      Last: { Type: 'Pass', Output: '{% [$branches, $states.input.failed.error] %}', End: true },
    };
    const { status, output = '' } = await execute(states, { failed: [{ error: 'Earlier' }] });
    expect([status, JSON.parse(output)]).toEqual(['SUCCEEDED', [2, 'Earlier', 'Some']]);
  });

  test('ends a workflow whose state exceeds 256 KiB, although it catches everything', async () => {
    const grow = (length: number) => ({
      First: {
        Type: 'Parallel',
        Branches: [
          {
            StartAt: 'Grow',
            States: { Grow: { Type: 'Pass', Output: `{% $pad('', ${length}, 'x') %}`, End: true } },
          },
        ],
        Catch: [{ ErrorEquals: ['States.ALL'], Next: 'Last' }],
        Next: 'Last',
      },
      Last: { Type: 'Pass', Output: 'done', End: true },
    });
    expect(await execute(grow(256 * 1024 - 10))).toMatchObject({ status: 'SUCCEEDED' });
    expect(await execute(grow(256 * 1024))).toMatchObject({
      status: 'FAILED',
      error: 'States.DataLimitExceeded',
    });
  });
});

/** A template with one function of that name, which returns a JavaScript expression. */
function functionBody(name: string, answer: string, properties: object = {}) {
  return {
    Resources: {
      Function: {
        Type: 'AWS::Lambda::Function',
        Properties: {
          FunctionName: name,
          Runtime: 'nodejs24.x',
          Timeout: 120,
          Handler: 'index.handler',
          Role: 'arn:aws:iam::000000000000:role/test',
          Code: { ZipFile: `exports.handler = async () => ${answer};` },
          ...properties,
        },
      },
    },
  };
}

/** Creates a stack and waits for its final state. */
async function deploy(StackName: string, body: object): Promise<string | undefined> {
  await cloudFormation.send(new CreateStackCommand({ StackName, TemplateBody: JSON.stringify(body) }));
  return until(
    `the stack ${StackName} is not in progress`,
    async () => {
      const { Stacks } = await cloudFormation.send(new DescribeStacksCommand({ StackName }));
      return Stacks?.[0]?.StackStatus;
    },
    { holds: (status) => !status?.endsWith('_IN_PROGRESS') },
  );
}

async function remove(StackName: string): Promise<void> {
  await cloudFormation.send(new DeleteStackCommand({ StackName }));
  await waitUntilStackDeleteComplete(
    { client: cloudFormation, maxWaitTime: 60, minDelay: 1, maxDelay: 1 },
    { StackName },
  );
}

describe('the emulator, like AWS in failure cases,', () => {
  test.each([
    ['Lambda.ResourceNotReadyException', 2],
    ['Runtime.OutOfMemory', 1],
    ['Lambda.TooManyRequestsException', 3],
  ])(
    'makes a function fail with %s as often as a test requests, and no retrier of another error catches it',
    async (error, times) => {
      const name = `faults-${randomBytes(4).toString('hex')}`;
      const body = functionBody(name, '1', {
        Environment: { Variables: { EMULATOR_FAULTS: `${error}*${times}` } },
      });
      expect(await deploy(name, body)).toBe('CREATE_COMPLETE');
      const invoke = (ErrorEquals: string) => ({
        First: {
          Type: 'Task',
          Resource: 'arn:aws:states:::lambda:invoke',
          Arguments: { FunctionName: `arn:aws:lambda:us-east-1:000000000000:function:${name}`, Payload: {} },
          Retry: [{ ErrorEquals: [ErrorEquals], IntervalSeconds: 1, BackoffRate: 1, MaxAttempts: 5 }],
          Output: '{% $states.context.State.RetryCount %}',
          End: true,
        },
      });
      try {
        expect(await execute(invoke('SomeOtherError'))).toMatchObject({ status: 'FAILED', error });
        // One of the faults is used up.
        expect(await execute(invoke(error))).toMatchObject({
          status: 'SUCCEEDED',
          output: String(times - 1),
        });
      } finally {
        await remove(name);
      }
    },
  );

  test('starts Node with the command line of Lambda’s runtime on request', async () => {
    const name = `command-line-${randomBytes(4).toString('hex')}`;
    const body = functionBody(name, 'process.execArgv', {
      MemorySize: 3008,
      Environment: { Variables: { EMULATOR_NODE_COMMAND_LINE: 'lambda' } },
    });
    expect(await deploy(name, body)).toBe('CREATE_COMPLETE');
    try {
      const { Payload } = await new LambdaClient({}).send(new InvokeCommand({ FunctionName: name }));
      expect(JSON.parse(Payload?.transformToString() ?? '')).toEqual(lambdaCommandLine(3008));
    } finally {
      await remove(name);
    }
  });

  test('rolls back a stack whose last resource cannot be created, so that it can be deployed again', async () => {
    const name = `rollback-${randomBytes(4).toString('hex')}`;
    const body = (MemorySize: number, DeletionPolicy: string) => ({
      Resources: {
        Secret: {
          Type: 'AWS::SecretsManager::Secret',
          DeletionPolicy,
          Properties: { Name: `${name}/api`, SecretString: '{}' },
        },
        Function: {
          Type: 'AWS::Lambda::Function',
          DependsOn: ['Secret'],
          Properties: {
            Runtime: 'nodejs24.x',
            Handler: 'index.handler',
            Role: 'arn:aws:iam::000000000000:role/test',
            MemorySize,
            Code: { ZipFile: 'exports.handler = async () => 1;' },
          },
        },
      },
    });
    // 3,538 MB is available to accounts that are not new.
    expect(await deploy(name, body(3538, 'RetainExceptOnCreate'))).toBe('ROLLBACK_COMPLETE');
    await remove(name);
    expect(await deploy(name, body(3008, 'RetainExceptOnCreate'))).toBe('CREATE_COMPLETE');
    await remove(name);
    const secrets = new SecretsManagerClient({});
    const forget = new DeleteSecretCommand({ SecretId: `${name}/api`, ForceDeleteWithoutRecovery: true });
    await secrets.send(forget);
    // With `Retain`, the secret of the failed deployment would conflict with the next one.
    expect(await deploy(name, body(3538, 'Retain'))).toBe('ROLLBACK_COMPLETE');
    await remove(name);
    expect(await deploy(name, body(3008, 'Retain'))).toBe('ROLLBACK_COMPLETE');
    await remove(name);
    await secrets.send(forget);
  });
});
