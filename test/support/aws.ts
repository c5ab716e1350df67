import { randomBytes } from 'node:crypto';
import { CreateBucketCommand, PutBucketVersioningCommand } from '@aws-sdk/client-s3';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  CreateStateMachineCommand,
  DeleteStateMachineCommand,
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { Bucket } from '../../shared/aws/bucket.ts';
import { NgbakConfig } from '../../shared/core/config.ts';
import type { Environment } from '../../shared/workflows/environment.ts';
import { type UntilOptions, until } from './until.ts';

/** An environment like that of the functions, on a new versioned bucket of the emulator. */
export async function freshEnvironment(targets: object = { default: { stores: {} } }): Promise<Environment> {
  const bucket = new Bucket(`test-${randomBytes(8).toString('hex')}`);
  await bucket.s3.send(new CreateBucketCommand({ Bucket: bucket.name }));
  await bucket.s3.send(
    new PutBucketVersioningCommand({ Bucket: bucket.name, VersioningConfiguration: { Status: 'Enabled' } }),
  );
  return { bucket, sfn: new SFNClient({}), config: NgbakConfig.parse({ targets }), log: () => undefined };
}

/** A new secret with the connection of a store. Returns its name. */
export async function makeSecret(connection: object): Promise<string> {
  const Name = `connection-${randomBytes(6).toString('hex')}`;
  await new SecretsManagerClient({}).send(
    new CreateSecretCommand({ Name, SecretString: JSON.stringify(connection) }),
  );
  return Name;
}

/** A state machine that waits for ten minutes, so that a test decides when its executions end. */
export async function waitingMachine(sfn: SFNClient) {
  const { stateMachineArn } = await sfn.send(
    new CreateStateMachineCommand({
      name: `waiting-${randomBytes(6).toString('hex')}`,
      roleArn: 'arn:aws:iam::000000000000:role/test',
      definition: JSON.stringify({
        StartAt: 'Wait',
        States: { Wait: { Type: 'Wait', Seconds: 600, End: true } },
      }),
    }),
  );
  return {
    stateMachineArn,
    async start(name?: string): Promise<string> {
      const { executionArn } = await sfn.send(
        new StartExecutionCommand({ stateMachineArn, ...(name === undefined ? {} : { name }) }),
      );
      return executionArn ?? '';
    },
    remove: () => sfn.send(new DeleteStateMachineCommand({ stateMachineArn })),
  };
}

/** Waits until an execution has ended, and returns how. */
export function untilEnded(
  sfn: SFNClient,
  executionArn: string | undefined,
  options: UntilOptions = {},
): Promise<DescribeExecutionCommandOutput> {
  return until(`${executionArn} has ended`, () => sfn.send(new DescribeExecutionCommand({ executionArn })), {
    ...options,
    holds: ({ status }) => status !== 'RUNNING',
  });
}
