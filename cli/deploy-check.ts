import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetAccountSettingsCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { ListScheduleGroupsCommand, SchedulerClient } from '@aws-sdk/client-scheduler';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { ListStateMachinesCommand, SFNClient } from '@aws-sdk/client-sfn';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import { loadSecret } from '../shared/aws/secrets.ts';
import { describeError, InvalidInputError } from '../shared/core/errors.ts';
import type { WebhookKind } from '../shared/core/notify-config.ts';
import { ServedStore } from '../shared/core/store-name.ts';
import { openWebhook } from '../shared/notify/webhook.ts';
import { findAdapter } from '../shared/stores/registry.ts';
import { bucketChecks, copyChecks } from './bucket-check.ts';
import { openConfiguration } from './configuration-file.ts';

/** One line of the checklist. A warning does not prevent the deployment from working. */
export interface Checked {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly message: string;
}

const ROOT = resolve(import.meta.dirname, '..');
/** Concurrent executions of a new account (Lambda quotas): enough for one small backup. */
const CONCURRENCY_NEW = 10;
/** With fewer, exporters of two targets may wait for each other. */
const CONCURRENCY_GOOD = 100;

/** The fields of the deployment's configuration used here; infra/config.ts validates all of it. */
export interface DeploymentContext {
  readonly stackName: string;
  readonly targets: Readonly<
    Record<
      string,
      { stores: Readonly<Record<string, { kind: string; secret?: string | undefined } | undefined>> }
    >
  >;
  readonly network?: unknown;
  readonly schedule: { readonly service: string };
  readonly archiveBucket?: Parameters<typeof bucketChecks>[0] | undefined;
  readonly objectLock?: unknown;
  readonly copies: Readonly<Record<string, Parameters<typeof copyChecks>[1]>>;
  readonly transitions: readonly unknown[];
  readonly allowedOrigins: readonly string[];
  readonly api: { readonly enabled: boolean };
  readonly notify?:
    | {
        readonly webhooks: Readonly<
          Record<string, { kind: WebhookKind; secret?: string | undefined; allowHttp: boolean }>
        >;
      }
    | undefined;
}

/**
 * Checks the prerequisites of a deployment and of its operation: account, region, configuration, connections.
 * Read-only.
 *
 * @param config  path of the file with the configuration
 */
export async function checkDeployment(config: string): Promise<Checked[]> {
  const checks: Checked[] = [];
  const check = async (name: string, look: () => Promise<string | { warning: string }>) => {
    try {
      const found = await look();
      checks.push(
        typeof found === 'string'
          ? { name, state: 'ok', message: found }
          : { name, state: 'warning', message: found.warning },
      );
      return true;
    } catch (error) {
      checks.push({ name, state: 'failed', message: describeError(explainAwsError(error)) });
      return false;
    }
  };
  let deployment: DeploymentContext | undefined;
  await check('configuration', async () => {
    deployment = await readConfiguration((await openConfiguration(config)).ngbak);
    const targets = Object.keys(deployment.targets);
    return `stack ${deployment.stackName}, targets: ${targets.join(', ')}`;
  });
  // The first call to AWS: without an account, the others would report the same error.
  if (!(await check('Lambda: concurrent executions', concurrency))) return checks;
  checks.push({
    name: 'Lambda: memory',
    state: 'ok',
    message:
      'the limit of the account cannot be read; functions need at most 3,008 MB, the limit of a new account',
  });
  await check('CDK bootstrap', bootstrap);
  await check('Step Functions', async () => {
    await new SFNClient({}).send(new ListStateMachinesCommand({ maxResults: 1 }));
    return 'available';
  });
  if (deployment?.schedule.service !== 'rules') {
    await check('EventBridge Scheduler', async () => {
      await new SchedulerClient({}).send(new ListScheduleGroupsCommand({ MaxResults: 1 }));
      return 'available';
    });
  }
  if (!deployment) return checks;
  const { stackName, targets, network, archiveBucket, allowedOrigins, api, objectLock, notify, copies } =
    deployment;
  if (archiveBucket) {
    const pages = api.enabled || allowedOrigins.length > 0;
    for (const [name, look] of bucketChecks(archiveBucket, {
      pages,
      locks: objectLock !== undefined,
      moves: deployment.transitions.length > 0,
    }))
      await check(name, look);
  }
  for (const [copy, settings] of Object.entries(copies)) {
    for (const [name, look] of copyChecks(copy, settings)) await check(name, look);
  }
  await check('stack', async () => {
    const state = await stackState(stackName);
    return state === undefined ? { warning: `${stackName} is not deployed yet` } : `${stackName}: ${state}`;
  });
  for (const [target, { stores }] of Object.entries(targets)) {
    for (const [store, settings] of Object.entries(stores)) {
      if (!settings) continue;
      await check(`connection of ${target}/${store}`, () =>
        connection(settings.secret ?? `${stackName}/${target}/${store}`, settings.kind, store),
      );
    }
  }
  for (const [name, { kind, secret = `${stackName}/webhook-${name}`, allowHttp }] of Object.entries(
    notify?.webhooks ?? {},
  )) {
    await check(`webhook ${name}`, () =>
      filledIn(secret, () => openWebhook(name, { kind, secret, allow_http: allowHttp })),
    );
  }
  if (!notify) {
    checks.push({
      name: 'notifications',
      state: 'warning',
      message: 'nobody is notified if a backup fails: configure "notify" (docs/notifications.md)',
    });
  }
  if (network !== undefined) {
    checks.push({
      name: 'network',
      state: 'warning',
      message:
        'Functions run in your VPC, which must reach S3, Secrets Manager and Step Functions (endpoints or NAT). This cannot be checked from here; the first backup reports it.',
    });
  }
  return checks;
}

/** Validates the value of "ngbak", as a deployment does. Throws InvalidInputError. */
export async function readConfiguration(ngbak: unknown): Promise<DeploymentContext> {
  // Imported by a computed path, so that the bundle of the command line does not include infra/.
  const address = pathToFileURL(join(ROOT, 'infra/config.ts')).href;
  const { readDeployment } = (await import(address)) as {
    readDeployment: (context: unknown) => DeploymentContext;
  };
  return readDeployment(ngbak);
}

async function concurrency(): Promise<string | { warning: string }> {
  const { AccountLimit } = await new LambdaClient({}).send(new GetAccountSettingsCommand({}));
  const total = AccountLimit?.ConcurrentExecutions ?? 0;
  const free = AccountLimit?.UnreservedConcurrentExecutions ?? total;
  const availability = `${total}, of which ${free} are not reserved`;
  if (free >= CONCURRENCY_GOOD) return availability;
  const advice =
    free <= CONCURRENCY_NEW
      ? 'set "exportersPerStore" to 1, and request 1,000 in Service Quotas ("Concurrent executions")'
      : 'request 1,000 in Service Quotas ("Concurrent executions")';
  return { warning: `${availability}: ${advice}` };
}

async function bootstrap(): Promise<string> {
  const state = await stackState('CDKToolkit');
  if (state !== undefined) return state;
  throw new InvalidInputError('Account and region are not bootstrapped for the CDK.', {
    remedy: 'Run `ngbak deploy --bootstrap`.',
  });
}

async function stackState(name: string): Promise<string | undefined> {
  try {
    const { Stacks } = await new CloudFormationClient({}).send(
      new DescribeStacksCommand({ StackName: name }),
    );
    return Stacks?.[0]?.StackStatus;
  } catch (error) {
    // CloudFormation's response for a stack that does not exist.
    if (error instanceof Error && error.name === 'ValidationError') return undefined;
    throw error;
  }
}

async function connection(
  secret: string,
  kind: string,
  store: string,
): Promise<string | { warning: string }> {
  const { Connection } = findAdapter(kind, ServedStore.parse(store));
  return filledIn(secret, () => loadSecret(secret, Connection, `${store}`, new SecretsManagerClient({})));
}

/** Whether a secret has its value. Until then, the deployment works otherwise. */
async function filledIn(secret: string, load: () => Promise<unknown>): Promise<string | { warning: string }> {
  try {
    await load();
    return `${secret} is filled in`;
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error;
    return { warning: describeError(error) };
  }
}
