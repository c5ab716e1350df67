import { PutSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import pc from '../../shared/core/colors.ts';
import { deployStack } from '../deploy.ts';
import type { RecordCounts } from '../knowledge-base/copies.ts';
import { type LoadProgress, loadKnowledgeBase } from '../knowledge-base/load.ts';
import { type Stack, startStack } from '../stack.ts';
import { alignColumns, bar, formatCount, type StepView } from './screen.ts';
import { type DemoContext, NAMESPACE, output, TARGET } from './stage.ts';

/** Name of the CloudFormation stack. */
const STACK = 'Ngbak';

/** Starts the servers, each on free ports and with its own password. */
export async function startServers(
  name: string | undefined,
  view: StepView,
  signal: AbortSignal,
): Promise<Stack> {
  const states = new Map<string, string>();
  const stack = await startStack({
    ...(name === undefined ? {} : { name }),
    signal,
    onProgress: ({ service, text }) => {
      states.set(service, text);
      view.live(alignColumns([...states], 2));
      view.log(`${service}: ${text}`);
    },
  });
  const addresses = [
    ['Neo4j', stack.neo4j.uri],
    ['Qdrant', stack.qdrant.url],
    ['Redis', stack.redis.url],
    ['AWS', stack.aws.endpoint],
  ];
  for (const line of alignColumns(addresses, 2)) view.line(line);
  return stack;
}

/**
 * Deploys the CDK app, and fills in the connections of its functions to the stores. Returns the outputs of the stack.
 */
export async function deploy(stage: DemoContext, view: StepView): Promise<Record<string, string>> {
  const { stack, connections } = stage;
  // From here on, the AWS SDK in this process uses the emulator.
  Object.assign(process.env, stack.aws.env);
  const stores = { graph: { kind: 'neo4j' }, vectors: { kind: 'qdrant' }, kv: { kind: 'redis' } };
  const outputs = await deployStack(stack.aws, {
    stackName: STACK,
    folder: stack.folder,
    signal: stage.signal,
    onProgress: (text) => {
      view.live([pc.dim(text)]);
      view.log(text);
    },
    context: {
      ngbak: {
        stackName: STACK,
        targets: { [TARGET]: { profile: 'ngraf-023', parameters: { namespace: NAMESPACE }, stores } },
        schedule: { enabled: false },
      },
    },
  });
  const secrets = new SecretsManagerClient({});
  for (const [name, value] of [
    ['GraphSecretArn', connections.neo4j],
    ['VectorsSecretArn', connections.qdrant],
    ['KvSecretArn', connections.redis],
  ] as const) {
    const secret = { SecretId: output(outputs, name), SecretString: JSON.stringify(value) };
    await secrets.send(new PutSecretValueCommand(secret));
  }
  view.line(`bucket ${output(outputs, 'BucketName')}`);
  view.line('a Lambda function for each step, two Step Functions workflows, a secret for each store');
  return outputs;
}

/** Writes the knowledge base into the empty stores. */
export async function load(stage: DemoContext, view: StepView): Promise<RecordCounts> {
  const units = new Map<string, LoadProgress>();
  const counts = await loadKnowledgeBase({
    ...stage.connections,
    namespace: NAMESPACE,
    scale: stage.scale,
    signal: stage.signal,
    onProgress: (progress) => {
      units.set(progress.unit, progress);
      const rows = [...units.values()].map((one) => [
        one.store,
        bar(one.done, one.total),
        `${formatCount(one.done)} ${one.unit}`,
      ]);
      view.live(alignColumns(rows, 3));
    },
  });
  const { documents, chunks, entities, relationships, points, keys } = counts;
  view.line(
    `${formatCount(documents)} READMEs in ${formatCount(chunks)} chunks, stored as the NGRAF-023 fork does:`,
  );
  view.line(`Neo4j   ${formatCount(entities)} nodes, ${formatCount(relationships)} relationships`);
  view.line(`Qdrant  ${formatCount(points)} points with dense and sparse vectors`);
  view.line(`Redis   ${formatCount(keys)} keys`);
  return counts;
}
