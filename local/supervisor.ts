/**
 * The process that owns one local stack: starts its servers, and stops and removes everything on request (SIGTERM),
 * or when the process that requested the stack has ended for any reason. Started by local/stack.ts.
 *
 *   node local/supervisor.ts NAME
 */
import { randomBytes } from 'node:crypto';
import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describeError, NgbakError } from '../shared/core/errors.ts';
import { DOCKER_SERVICES, startInDocker, usesDocker } from './docker.ts';
import { LocalStackError, MissingPrerequisiteError } from './errors.ts';
import { localFolder, stacksFolder } from './folders.ts';
import { checkPrerequisites } from './install/prerequisites.ts';
import { freePorts } from './ports.ts';
import { ended, logger } from './processes.ts';
import { KEEP, StackRequest, type SupervisorMessage } from './protocol.ts';
import { startAws } from './services/aws.ts';
import { awaitExplicit, explicitAddress } from './services/explicit.ts';
import { startNeo4j } from './services/neo4j.ts';
import { startPostgres } from './services/postgres.ts';
import { startQdrant } from './services/qdrant.ts';
import { startRedis } from './services/redis.ts';
import type { Addresses, ServiceContext, ServiceName } from './services/service.ts';
import {
  isSupervised,
  readState,
  removeAbandoned,
  removeStack,
  type StackState,
  writeState,
} from './state.ts';

const environment = process.env;
const ending = new AbortController();
const endFor = (reason: string) =>
  ending.abort(new LocalStackError(reason, { remedy: 'Start the stack again.' }));
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => endFor(`Ended by ${name}.`));

let connected = true;
// The requesting process may have ended; its output streams then fail, which can be ignored.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', () => {
    connected = false;
  });
}
function report(message: SupervisorMessage): void {
  if (connected) process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Creates the folder of the stack, which must not exist. Throws LocalStackError if the name is in use. */
async function makeFolder(name: string): Promise<string> {
  await removeAbandoned(environment);
  const folder = join(stacksFolder(environment), name);
  await mkdir(stacksFolder(environment), { recursive: true });
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const state = await readState(folder);
    const owner = state && (await isSupervised(state)) ? ` It belongs to process ${state.supervisor}.` : '';
    throw new LocalStackError(`There is a local stack "${name}" already, in ${folder}.${owner}`, {
      remedy: `Choose another --name, or stop that one: npm run local:down -- --name ${name}`,
      cause: error,
    });
  }
  await mkdir(join(folder, 'logs'));
  return folder;
}

/** Starts all requested services in parallel, each from the first place where it is available. */
async function startServices(request: StackRequest, folder: string, state: StackState): Promise<void> {
  const explicit: Partial<Record<ServiceName, boolean>> = {};
  for (const service of request.services) {
    explicit[service] = explicitAddress(service, environment) !== undefined;
  }
  const toStart = request.services.filter((service) => !explicit[service]);
  const docker = toStart.some((service) => inDocker(service)) && (await usesDocker(environment));
  const native = toStart.filter((service) => !(docker && inDocker(service)));
  await checkPrerequisites(native, environment);

  const [bolt = 0, http = 0, grpc = 0, redis = 0, postgres = 0, aws = 0] = await freePorts(6);
  const password = randomBytes(12).toString('hex');
  state.docker = docker;
  await writeState(folder, state);

  function context(service: ServiceName): ServiceContext {
    return {
      folder,
      environment,
      signal: ending.signal,
      progress: (text) => report({ type: 'progress', service, text }),
      started(child, command) {
        if (child.pid !== undefined) state.processes[service] = child.pid;
        log(`${service}: ${command}, process ${child.pid}`);
        void ended(child).then((how) => {
          if (ending.signal.aborted) return;
          log(`${service} ended by itself (${how})`);
          if (state.phase === 'ready') report({ type: 'lost', service, text: `ended by itself (${how})` });
        });
      },
    };
  }
  const starters: { [S in ServiceName]: (context: ServiceContext) => Promise<Addresses[S]> } = {
    neo4j: (context) => startNeo4j(context, bolt, password),
    qdrant: (context) => startQdrant(context, [http, grpc], password),
    redis: (context) => startRedis(context, redis, password),
    postgres: (context) => startPostgres(context, postgres, password),
    aws: (context) => startAws(context, aws),
  };
  async function start<S extends ServiceName>(service: S): Promise<void> {
    const its = context(service);
    Object.assign(state.addresses, { [service]: await address(service, its) });
    its.progress('ready');
  }
  async function address<S extends ServiceName>(service: S, its: ServiceContext): Promise<Addresses[S]> {
    const given = explicitAddress(service, environment);
    if (given) {
      await awaitExplicit(service, given, its);
      return given;
    }
    if (!docker || !inDocker(service)) return starters[service](its);
    return startInDocker(service, its, {
      name: request.name,
      ports: { neo4j: bolt, qdrant: http, redis },
      password,
    });
  }
  // All of them finish before the folder is removed, even if the first one fails.
  const started = await Promise.allSettled(
    request.services.map((service) =>
      start(service).catch((error: unknown) => {
        ending.abort(error);
        throw error;
      }),
    ),
  );
  if (started.some((outcome) => outcome.status === 'rejected')) throw ending.signal.reason;
}

function inDocker(service: ServiceName): service is (typeof DOCKER_SERVICES)[number] {
  return DOCKER_SERVICES.some((name) => name === service);
}

let log: (line: string) => void = () => undefined;

async function main(): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const first = await lines.next();
  const request = StackRequest.parse(JSON.parse(String(first.value ?? 'null')));
  const folder = await makeFolder(request.name);
  const state: StackState = {
    name: request.name,
    supervisor: process.pid,
    phase: 'starting',
    kept: false,
    docker: false,
    processes: {},
    addresses: {},
  };
  try {
    log = logger(join(folder, 'logs/supervisor.log'));
    await writeState(folder, state);
    void (async () => {
      for await (const line of { [Symbol.asyncIterator]: () => lines }) {
        if (line !== KEEP) continue;
        state.kept = true;
        await writeState(folder, state);
        report({ type: 'kept' });
      }
      if (!state.kept) endFor('The process that asked for the stack has ended or let go of it.');
    })().catch((error: unknown) => ending.abort(error));

    await startServices(request, folder, state);
    state.phase = 'ready';
    await writeState(folder, state);
    report({ type: 'ready', state });
    await new Promise<void>((resolve) => {
      if (ending.signal.aborted) resolve();
      ending.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    if (!ending.signal.aborted) endFor('The stack ends.');
    if (environment.NGBAK_LOCAL_KEEP_LOGS === '1') {
      const kept = join(localFolder(environment), 'logs', request.name);
      await rm(kept, { recursive: true, force: true });
      await cp(join(folder, 'logs'), kept, { recursive: true });
    }
    // The state that is written last contains the processes, and the removal reads them there.
    await writeState(folder, state);
    await removeStack(request.name, folder, environment);
  }
}

try {
  await main();
  process.exitCode = 0;
} catch (error) {
  const remedy = error instanceof NgbakError ? error.remedy : '';
  const text = describeError(error);
  report({
    type: 'failed',
    message: remedy !== '' && text.endsWith(` ${remedy}`) ? text.slice(0, -remedy.length - 1) : text,
    remedy,
    missing: error instanceof MissingPrerequisiteError,
  });
  process.exitCode = 1;
}
// Standard input may still be open, and would keep this process alive.
process.stdin.destroy();
