/** `npm run local:up`, `local:down`, `local:status`: a local stack that runs until it is stopped. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { z } from 'zod';
import pc from '../shared/core/colors.ts';
import { describeError, InvalidInputError } from '../shared/core/errors.ts';
import { parseInput } from '../shared/core/input.ts';
import { stacksFolder } from './folders.ts';
import { INTERRUPTED_EXIT_CODE, InterruptedError, interruptible } from './interrupt.ts';
import { isAlive, residentBytes } from './processes.ts';
import { checkService, postgresUrl } from './services/explicit.ts';
import { DEFAULT_SERVICES, SERVICE_NAMES, type ServiceName } from './services/service.ts';
import { startStack } from './stack.ts';
import { isSupervised, readState, removeStack, StackName, type StackState, stackNames } from './state.ts';

const USAGE = `Usage: npm run local:up | local:down | local:status [-- options]

  --name NAME      which stack (default: "default"); down and status: all of them, unless one is named
  --only A,B       up: only these services: ${SERVICE_NAMES.join(', ')}
  --with A,B       up: these services as well as ${DEFAULT_SERVICES.join(', ')}
  --json           up, status: print JSON, with the passwords
`;
const DEFAULT_NAME = 'default';
/** How long `down` waits for a supervisor to clean up before it does so itself, in milliseconds. */
const DOWN_DEADLINE_MS = 30_000;

const Services = z.array(z.enum(SERVICE_NAMES)).min(1).optional();
const Arguments = z
  .object({
    command: z.enum(['up', 'down', 'status']),
    name: StackName.optional(),
    only: Services,
    with: Services,
    json: z.boolean(),
  })
  .refine(({ only, with: more }) => only === undefined || more === undefined, {
    message: '--only and --with exclude each other',
  });
type Arguments = z.infer<typeof Arguments>;

function readArguments(): Arguments {
  const { values, positionals } = parseArgs({
    options: {
      name: { type: 'string' },
      only: { type: 'string' },
      with: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  return parseInput(
    Arguments,
    {
      ...values,
      only: values.only?.split(','),
      with: values.with?.split(','),
      command: positionals[0],
    },
    'The command line',
    USAGE,
  );
}

async function up(
  { name = DEFAULT_NAME, only, with: more = [], json }: Arguments,
  signal: AbortSignal,
): Promise<void> {
  const stack = await startStack<ServiceName>({
    name,
    signal,
    services: only ?? [...new Set([...DEFAULT_SERVICES, ...more])],
    // On standard error, so that standard output contains only the JSON.
    onProgress: ({ service, text }) => console.error(`${service.padEnd(8)} ${text}`),
  });
  await stack.keep();
  const state = await readState(stack.folder);
  if (!state)
    throw new InvalidInputError(`Stack "${name}" ended right after it was ready.`, { remedy: 'Try again.' });
  if (json) console.log(JSON.stringify(state, null, 2));
  else console.log(describeStack(state, stack.folder));
}

/** The addresses and the next steps as text, with lines to be copied. */
function describeStack({ name, addresses }: StackState, folder: string): string {
  const { neo4j, qdrant, redis, postgres, aws } = addresses;
  const suffix = name === DEFAULT_NAME ? '' : ` -- --name ${name}`;
  const lines = ['', pc.bold(`Local stack "${name}" is up.`), ''];
  const variables: Record<string, string> = {
    ...(neo4j && { NEO4J_URI: neo4j.uri, NEO4J_USERNAME: neo4j.username, NEO4J_PASSWORD: neo4j.password }),
    ...(qdrant && { QDRANT_URL: qdrant.url, QDRANT_API_KEY: qdrant.apiKey }),
    ...(redis && { REDIS_URL: redis.url, REDIS_PASSWORD: redis.password }),
    ...(postgres && { POSTGRES_URL: postgresUrl(postgres), POSTGRES_PASSWORD: postgres.password }),
    ...aws?.env,
  };
  lines.push(pc.dim('# For this shell: tests, the demo and the AWS CLI then use these servers.'));
  for (const [variable, value] of Object.entries(variables))
    lines.push(`export ${variable}=${shellQuote(value)}`);
  if (aws) {
    lines.push(
      '',
      pc.dim('# With these set, the AWS CLI (pip install awscli) and the CDK CLI work as they are:'),
    );
    lines.push('npx cdk bootstrap && npx cdk deploy', 'aws s3 ls', 'aws stepfunctions list-state-machines');
  }
  lines.push('', `Logs: ${join(folder, 'logs')}`);
  lines.push(`Health: npm run local:status${suffix}`, `End:    npm run local:down${suffix}`);
  return lines.join('\n');
}

async function down({ name }: Arguments): Promise<void> {
  const names = name === undefined ? await stackNames(process.env) : [name];
  let removed = 0;
  for (const each of names) {
    const folder = join(stacksFolder(), each);
    const state = await readState(folder);
    if (!state) continue;
    const supervised = await isSupervised(state);
    if (name === undefined && supervised && !state.kept) {
      console.log(
        `Stack "${each}" belongs to a running program and is not stopped: it ends with that program, or with --name.`,
      );
      continue;
    }
    if (supervised) await endSupervisor(state);
    // Usually already removed, unless its supervisor was killed or hangs.
    await removeStack(each, folder, process.env);
    console.log(`Stack "${each}" is stopped and removed.`);
    removed++;
  }
  if (removed === 0)
    console.log(name === undefined ? 'There is nothing to stop.' : `There is no local stack "${name}".`);
}

/** Tells a supervisor to clean up and exit; kills it if it does not. */
async function endSupervisor(state: StackState): Promise<void> {
  process.kill(state.supervisor, 'SIGTERM');
  const end = Date.now() + DOWN_DEADLINE_MS;
  while (isAlive(state.supervisor)) {
    if (Date.now() > end) process.kill(state.supervisor, 'SIGKILL');
    await sleep(50);
  }
}

interface ServiceStatus {
  readonly service: ServiceName;
  readonly health: string;
  readonly address: string;
  readonly pid: number | undefined;
  /** Resident memory of the server's process. */
  readonly megabytes: number | undefined;
}

async function status({ name, json }: Arguments): Promise<void> {
  const names = name === undefined ? await stackNames(process.env) : [name];
  const all = [];
  for (const each of names) {
    const folder = join(stacksFolder(), each);
    const state = await readState(folder);
    if (!state) continue;
    const supervised = await isSupervised(state);
    const services = await Promise.all(SERVICE_NAMES.map((service) => serviceStatus(service, state)));
    all.push({
      state,
      folder,
      supervised,
      services: services.filter((found) => found !== undefined),
    });
  }
  if (json) console.log(JSON.stringify(all, null, 2));
  else if (all.length === 0)
    console.log(name === undefined ? 'There is no local stack.' : `There is no local stack "${name}".`);
  else
    for (const { state, folder, supervised, services } of all) {
      const phase = supervised
        ? state.phase
        : 'abandoned: its supervisor was killed; local:down removes the rest';
      console.log(`${pc.bold(state.name)}: ${phase}, logs in ${join(folder, 'logs')}`);
      for (const { service, health, address, pid, megabytes } of services) {
        const owner = pid === undefined ? '' : `process ${pid}`;
        const memory = megabytes === undefined ? '' : `${megabytes} MB`;
        console.log(
          `  ${service.padEnd(9)}${address.padEnd(39)}${owner.padEnd(16)}${memory.padStart(7)}  ${health}`,
        );
      }
    }
  const healthy = all.every(
    ({ supervised, services }) => supervised && services.every(({ health }) => health === 'healthy'),
  );
  if (!healthy || (name !== undefined && all.length === 0)) process.exitCode = 1;
}

async function serviceStatus(service: ServiceName, state: StackState): Promise<ServiceStatus | undefined> {
  const address = state.addresses[service];
  if (!address) return undefined;
  const pid = state.processes[service];
  const resident = pid === undefined ? undefined : await residentBytes(pid, 'VmRSS');
  const health = await checkService(service, address as never).then(
    () => 'healthy',
    (error: unknown) => describeError(error),
  );
  const shown = 'uri' in address ? address.uri : 'url' in address ? address.url : address.endpoint;
  const megabytes = resident === undefined ? undefined : Math.round(resident / 1024 ** 2);
  return { service, health, address: shown, pid, megabytes };
}

function shellQuote(text: string): string {
  return /^[\w:/.@-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

try {
  const args = readArguments();
  if (args.command === 'up') await interruptible((signal) => up(args, signal));
  else if (args.command === 'down') await down(args);
  else await status(args);
} catch (error) {
  console.error(describeError(error));
  process.exitCode = error instanceof InterruptedError ? INTERRUPTED_EXIT_CODE : 1;
}
