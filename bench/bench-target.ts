import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import {
  DescribeExecutionCommand,
  type DescribeExecutionCommandOutput,
  type SFNClient,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { deployStack } from '../local/deploy.ts';
import type { Stack } from '../local/stack.ts';

const POLL_MS = 100;

const KINDS = { graph: 'neo4j', vectors: 'qdrant', kv: 'redis' } as const;
type Store = keyof typeof KINDS;
export const STORES = Object.keys(KINDS) as Store[];

/** The connections of a local stack's stores, in the format of the adapters' secrets. */
export function connectionsOf(stack: Stack) {
  return {
    graph: stack.neo4j,
    vectors: { url: stack.qdrant.url, api_key: stack.qdrant.apiKey },
    kv: { url: stack.redis.url, password: stack.redis.password },
  };
}

/**
 * Creates the secrets of a local stack's stores, and returns the stores of a target as configured.
 *
 * @param scopes  by store; if omitted: the profile's
 */
export async function makeStores(stack: Stack, scopes: Partial<Record<Store, object>> = {}) {
  const client = new SecretsManagerClient({});
  const connections = connectionsOf(stack);
  for (const store of STORES) {
    const secret = { Name: `bench-${store}`, SecretString: JSON.stringify(connections[store]) };
    await client.send(new CreateSecretCommand(secret));
  }
  return Object.fromEntries(
    STORES.map((store) => {
      const scope = scopes[store];
      return [
        store,
        { kind: KINDS[store], secret: `bench-${store}`, ...(scope === undefined ? {} : { scope }) },
      ];
    }),
  );
}

/** Deploys the app with this target into a local stack, and returns the outputs. */
export function deployBench(
  stack: Stack,
  target: object,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const deployment = { stackName: 'NgbakBench', removal: 'destroy', targets: { default: target } };
  return deployStack(stack.aws, {
    stackName: deployment.stackName,
    context: { ngbak: deployment },
    folder: stack.folder,
    signal,
    onProgress: (text) => console.error(text),
  });
}

/** Runs a workflow to its end, whether it succeeds or not. */
export async function execute(
  sfn: SFNClient,
  stateMachineArn: string | undefined,
  input: object,
): Promise<DescribeExecutionCommandOutput> {
  const start = new StartExecutionCommand({ stateMachineArn, input: JSON.stringify(input) });
  const { executionArn } = await sfn.send(start);
  for (;;) {
    const execution = await sfn.send(new DescribeExecutionCommand({ executionArn }));
    if (execution.status !== 'RUNNING') return execution;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
