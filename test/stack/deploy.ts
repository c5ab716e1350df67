import { deployStack } from '../../local/deploy.ts';
import type { Stack } from '../../local/stack.ts';
import { putTestKeys, putTestSecrets, testDeployment } from './context.ts';

/** What tests find in their environment: test/servers.ts reads it. */
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

/**
 * Deploys the test stack, and gives back what test/stack/harness.ts reads of the environment. The environment of the
 * addresses must be set already.
 */
export async function deployTestStack(
  stack: Stack,
  options: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
): Promise<Record<string, string>> {
  await putTestSecrets({
    graph: stack.neo4j,
    vectors: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
    kv: stack.redis,
  });
  const deployment = testDeployment();
  const outputs = await deployStack(stack.aws, {
    stackName: deployment.stackName,
    context: { ngbak: deployment },
    folder: stack.folder,
    ...options,
  });
  const keys = await putTestKeys(outputs.ApiSecretArn ?? '');
  return { NGBAK_TEST_OUTPUTS: JSON.stringify(outputs), NGBAK_TEST_KEYS: JSON.stringify(keys) };
}
