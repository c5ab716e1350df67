import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { deployStack } from '../../local/deploy.ts';
import type { Stack } from '../../local/stack.ts';
import { putTestKeys, putTestSecrets, STACK_NAME, testDeployment } from './context.ts';
import { createOperator } from './operator.ts';

/** The environment of the tests, which test/servers.ts reads. */
export function addressesAsEnvironment(stack: Stack): Record<string, string> {
  const redis = new URL(stack.redis.url);
  redis.password = stack.redis.password;
  return {
    NEO4J_URI: stack.neo4j.uri,
    NEO4J_USERNAME: stack.neo4j.username,
    NEO4J_PASSWORD: stack.neo4j.password,
    QDRANT_URL: stack.qdrant.url,
    QDRANT_API_KEY: stack.qdrant.apiKey,
    REDIS_URL: redis.toString(),
    ...stack.aws.env,
  };
}

/** The CDK context of the test deployment. @param nightly  with the delays of production */
export const testContext = (nightly: boolean) => ({ ngbak: testDeployment(nightly) });

/** Deploys the test stack, and returns the environment that test/stack/harness.ts reads. */
export async function deployTestStack(
  stack: Stack,
  options: {
    readonly signal: AbortSignal;
    readonly onProgress: (text: string) => void;
    /** A synthesized assembly of {@link testContext}; by default, one is synthesized. */
    readonly assembly?: string;
    readonly nightly?: boolean;
  },
): Promise<Record<string, string>> {
  const { nightly = true, ...deployOptions } = options;
  const { aws } = stack;
  const client = new SecretsManagerClient({
    endpoint: aws.endpoint,
    region: aws.region,
    credentials: {
      accessKeyId: aws.env.AWS_ACCESS_KEY_ID ?? '',
      secretAccessKey: aws.env.AWS_SECRET_ACCESS_KEY ?? '',
    },
  });
  await putTestSecrets(client, {
    graph: stack.neo4j,
    vectors: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
    kv: stack.redis,
  });
  const outputs = await deployStack(aws, {
    ...deployOptions,
    stackName: STACK_NAME,
    context: testContext(nightly),
    folder: stack.folder,
  });
  const keys = await putTestKeys(client, outputs.ApiSecretArn ?? '');
  const operator = await createOperator(aws.endpoint, outputs.OperatorPolicyArn ?? '');
  return {
    NGBAK_TEST_OUTPUTS: JSON.stringify(outputs),
    NGBAK_TEST_KEYS: JSON.stringify(keys),
    NGBAK_TEST_OPERATOR: JSON.stringify(operator),
  };
}
