import { isDeepStrictEqual } from 'node:util';
import { Construct } from 'constructs';
import { HooksConfig, NgbakConfig, TargetConfig } from '../shared/core/config.ts';
import { configText } from '../shared/core/config-text.ts';
import { InvalidInputError } from '../shared/core/errors.ts';
import { HELP } from '../shared/core/help.ts';
import type { ArchiveBucket } from './archive-bucket.ts';
import type { Bundles } from './bundle.ts';
import { type DeploymentConfig, runtimeConfig } from './config.ts';
import { allowCopies } from './copies.ts';
import { accessedStores, allowBuckets, allowConfiguration, mountFileSystem } from './file-access.ts';
import { FUNCTION_NAMES, type FunctionName, type FunctionSize, SIZES } from './functions.ts';
import type { SigningKey } from './signing-key.ts';
import { type NetworkPlacement, placementOf, StepHandler } from './step-handler.ts';
import type { StoreSecrets } from './store-secrets.ts';
import { acceptWildcard } from './wildcards.ts';
import { executionArn, stateMachineArn } from './workflows/state-machine.ts';

/**
 * Maximum size of the configuration in a function's environment, in bytes: Lambda allows 4 KB for all variables
 * together (Lambda quotas), and the others need less than 1,024 bytes.
 */
const CONFIG_BYTES_MAX = 4096 - 1024;

/** The functions that some stacks do not have. */
type Optional = 'api' | 'notify' | 'copy-backup' | 'verify-stored';

/**
 * Every function by the name of its file in `functions/`. Stacks without the API, receivers of notifications, copies or
 * regular verification have no function for them.
 */
export type StepHandlers = Readonly<Record<Exclude<FunctionName, Optional>, StepHandler>> &
  Readonly<Record<Optional, StepHandler | undefined>>;

/** The functions of a stack. */
export function handlersOf(handlers: StepHandlers): [FunctionName, StepHandler][] {
  return FUNCTION_NAMES.flatMap((name) => {
    const handler = handlers[name];
    return handler === undefined ? [] : [[name, handler]];
  });
}

export interface StepHandlersProps {
  readonly deployment: DeploymentConfig;
  readonly archive: ArchiveBucket;
  readonly secrets: StoreSecrets;
  readonly bundles: Bundles;
  /** Absent if archives are not signed. */
  readonly signingKey: SigningKey | undefined;
}

/** Creates every function with exactly the permissions in infra/functions.ts. */
export function makeStepHandlers(
  scope: Construct,
  { deployment, archive, secrets, bundles, signingKey }: StepHandlersProps,
): StepHandlers {
  const within = new Construct(scope, 'Functions');
  const placement: NetworkPlacement | undefined =
    deployment.network && placementOf(within, deployment.network);
  const environment = {
    NGBAK_BUCKET: archive.place,
    NGBAK_CONFIG: settingsOf(deployment, secrets),
    ...(deployment.legSeconds === undefined ? {} : { NGBAK_LEG_SECONDS: String(deployment.legSeconds) }),
    ...(deployment.leaseSeconds === undefined
      ? {}
      : { NGBAK_LEASE_SECONDS: String(deployment.leaseSeconds) }),
    ...(deployment.thawPollSeconds === undefined
      ? {}
      : { NGBAK_THAW_POLL_SECONDS: String(deployment.thawPollSeconds) }),
  };
  const hasHooks = Object.values(deployment.targets).some(({ hooks }) => hooks !== undefined);
  const make = (name: FunctionName): StepHandler => {
    const size: FunctionSize = SIZES[name];
    const handler = new StepHandler(within, name, {
      name,
      bundle: bundles[name],
      environment,
      memoryMb: typeof size.memoryMb === 'number' ? size.memoryMb : deployment[size.memoryMb],
      deployment,
      // All hooks are called from the same network, so that restores can access every webhook that backups can.
      placement: size.roles.length > 0 || (size.callsHooks && hasHooks) ? placement : undefined,
      reservedConcurrency:
        name === 'api'
          ? deployment.api.reservedConcurrency
          : name.startsWith('export-')
            ? deployment.reservedConcurrency
            : undefined,
    });
    archive.grant(handler, size.bucket);
    for (const role of size.roles) secrets.grantRead(handler, role);
    allowBuckets(handler, size, deployment);
    allowDatabaseUsers(handler, size, deployment);
    allowConfiguration(handler, size, deployment);
    allowCopies(handler, size, deployment);
    mountFileSystem(handler, size, deployment);
    if (size.signatures) signingKey?.grant(handler, size.signatures, archive);
    if (size.describesExecutions) {
      const executions = [executionArn(scope, 'Backup'), executionArn(scope, 'Restore')];
      handler.allow(['states:DescribeExecution'], executions);
      for (const arn of executions) acceptWildcard(handler, arn, 'All executions of our own workflow.');
    }
    if (size.startsRestores) handler.allow(['states:StartExecution'], [stateMachineArn(scope, 'Restore')]);
    if (size.callsHooks) allowHooks(handler, deployment, secrets);
    return handler;
  };
  const omitted: Record<Optional, boolean> = {
    api: !deployment.api.enabled,
    notify: deployment.notify === undefined,
    'copy-backup': Object.keys(deployment.copies).length === 0,
    'verify-stored': deployment.verification === undefined,
  };
  const deployed = FUNCTION_NAMES.filter((name) => !(name in omitted && omitted[name as Optional]));
  return Object.fromEntries(deployed.map((name) => [name, make(name)])) as StepHandlers;
}

/**
 * The text of `NGBAK_CONFIG`. Throws InvalidInputError if it exceeds Lambda's limit, which would fail the deployment.
 */
function settingsOf(deployment: DeploymentConfig, secrets: StoreSecrets): string {
  const config = runtimeConfig(deployment, (target, store) => secrets.nameOf(target, store));
  // The environment of the API function also has the origins of web pages.
  const origins = Buffer.byteLength(deployment.allowedOrigins.join(' '));
  const text = configText(withoutDefaults(config), CONFIG_BYTES_MAX - origins);
  const bytes = Buffer.byteLength(text) + origins;
  if (bytes <= CONFIG_BYTES_MAX) return text;
  throw new InvalidInputError(
    `The configuration of the targets, compressed, has ${bytes} bytes with "allowedOrigins"; a function's environment can hold ${CONFIG_BYTES_MAX}.`,
    {
      remedy:
        'Deploy several stacks with fewer targets each (-c ngbak=… with another "stackName"), or shorten "configuration".',
      help: HELP.configuration,
    },
  );
}

/** Removes values that equal the defaults of the schema, which restores them on reading: the size is limited. */
function withoutDefaults({ targets, ...rest }: NgbakConfig): object {
  const differing = (value: object, defaults: object) => {
    const known: Record<string, unknown> = { ...defaults };
    return Object.fromEntries(
      Object.entries(value).filter(([key, member]) => !isDeepStrictEqual(member, known[key])),
    );
  };
  const timeout_seconds = HooksConfig.shape.timeout_seconds.parse(undefined);
  const reduced = Object.entries(targets).map(([name, { stores, hooks, ...target }]) => [
    name,
    {
      ...differing(target, TargetConfig.parse({ stores: {} })),
      ...(hooks === undefined ? {} : { hooks: differing(hooks, { timeout_seconds }) }),
      stores,
    },
  ]);
  return { targets: Object.fromEntries(reduced), ...differing(rest, NgbakConfig.parse({ targets: {} })) };
}

/** Allows a function to connect as the configured database users of the stores that it accesses. */
function allowDatabaseUsers(handler: StepHandler, size: FunctionSize, { targets }: DeploymentConfig): void {
  const users = Object.values(targets).flatMap((target) =>
    accessedStores(target, size).flatMap(({ databaseUsers = [] }) => databaseUsers),
  );
  if (users.length > 0) handler.allow(['rds-db:connect'], [...new Set(users)]);
}

/**
 * Allows a function to call the hooks of every target: functions by their ARN, webhooks with the secret of their
 * signing key.
 */
function allowHooks(handler: StepHandler, { targets }: DeploymentConfig, secrets: StoreSecrets): void {
  for (const { hooks } of Object.values(targets)) {
    for (const hook of hooks ? [hooks.pause, hooks.resume] : []) {
      if ('lambda' in hook) handler.allow(['lambda:InvokeFunction'], [hook.lambda]);
      else secrets.grantReadExisting(handler, hook.secret);
    }
  }
}
