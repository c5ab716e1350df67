import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pc from '../../shared/core/colors.ts';
import { deployStack } from '../deploy.ts';
import type { StepView } from './screen.ts';
import { type DemoContext, output, TARGET } from './stage.ts';

/** Name of the CloudFormation stack. */
const STACK = 'Ngbak';
/** The output that names the secret of a store. */
const SECRETS = { graph: 'GraphSecretArn', vectors: 'VectorsSecretArn', kv: 'KvSecretArn' } as const;

/**
 * Deploys the CDK app, and fills in the connections of its functions to the stores. Returns the outputs of the stack.
 */
export async function deploy(
  { system, signal }: DemoContext,
  view: StepView,
): Promise<Record<string, string>> {
  const { stack, target, secrets } = system;
  // From here on, the AWS SDK in this process uses the emulator.
  Object.assign(process.env, stack.aws.env);
  const outputs = await deployStack(stack.aws, {
    stackName: STACK,
    folder: stack.folder,
    signal,
    onProgress: (text) => {
      view.live([pc.dim(text)]);
      view.log(text);
    },
    context: {
      ngbak: { stackName: STACK, targets: { [TARGET]: target }, schedule: { enabled: false } },
    },
  });
  const client = new SecretsManagerClient({});
  for (const store of ['graph', 'vectors', 'kv'] as const) {
    const value = secrets[store];
    if (value === undefined) continue;
    const secret = { SecretId: output(outputs, SECRETS[store]), SecretString: JSON.stringify(value) };
    await client.send(new PutSecretValueCommand(secret));
  }
  view.line(`bucket ${output(outputs, 'BucketName')}`);
  view.line('a Lambda function for each step, two Step Functions workflows, a secret for each store');
  return outputs;
}
