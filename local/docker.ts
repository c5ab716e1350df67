import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { LocalStackError } from './errors.ts';
import { ROOT } from './folders.ts';
import { waitUntil } from './health.ts';
import { runProcess } from './processes.ts';
import { checkService } from './services/explicit.ts';
import { type Addresses, installContext, type ServiceContext, type ServiceName } from './services/service.ts';

const run = promisify(execFile);
const PROBE_TIMEOUT_MS = 3_000;
/** Images may have to be pulled first: about 900 MB. */
const UP_TIMEOUT_MS = 15 * 60_000;
const DOWN_TIMEOUT_MS = 60_000;
const READY_DEADLINE_MS = 120_000;

/** The services with images in compose.yaml. */
export const DOCKER_SERVICES = ['neo4j', 'qdrant', 'redis'] as const satisfies readonly ServiceName[];
type DockerService = (typeof DOCKER_SERVICES)[number];

/** The platform with native installations of the three stores, which every test run uses. */
const NATIVE_PLATFORM = 'linux-x64';

/**
 * Whether the three stores run in Docker: on request (NGBAK_LOCAL_DOCKER=1), or, if there is no native installation,
 * if an engine answers. NGBAK_LOCAL_DOCKER=0 disables it. Throws LocalStackError if it is requested and does not
 * answer.
 */
export async function usesDocker(
  environment: NodeJS.ProcessEnv,
  platform = `${process.platform}-${process.arch}`,
): Promise<boolean> {
  switch (environment.NGBAK_LOCAL_DOCKER || undefined) {
    case undefined:
      return platform !== NATIVE_PLATFORM && (await dockerAnswers(environment));
    case '0':
      return false;
    case '1':
      if (await dockerAnswers(environment)) return true;
      throw new LocalStackError('NGBAK_LOCAL_DOCKER=1, but Docker with Compose does not respond.', {
        remedy:
          'Start Docker, see what `docker version` and `docker compose version` say, or unset the variable.',
      });
    default:
      throw new LocalStackError(`NGBAK_LOCAL_DOCKER is "${environment.NGBAK_LOCAL_DOCKER}".`, {
        remedy: 'Set it to 1 to run the stores in Docker, to 0 not to, or unset it.',
      });
  }
}

/** Whether a Docker engine with Compose answers on this machine. */
async function dockerAnswers(environment: NodeJS.ProcessEnv): Promise<boolean> {
  const options = { env: environment, timeout: PROBE_TIMEOUT_MS };
  const probes = [run('docker', ['version'], options), run('docker', ['compose', 'version'], options)];
  return Promise.all(probes).then(
    () => true,
    // No client, engine, Compose, permission or answer: in each case, no container can run.
    () => false,
  );
}

/** Arguments with the Compose project of a stack, which identifies its containers. */
function compose(name: string, ...args: string[]): string[] {
  return ['compose', '--project-name', `ngbak-${name}`, '--file', join(ROOT, 'local/compose.yaml'), ...args];
}

/** Starts one store as a container that listens on this port of 127.0.0.1, and waits until it answers. */
export async function startInDocker<S extends DockerService>(
  service: S,
  context: ServiceContext,
  stack: { readonly name: string; readonly ports: Record<DockerService, number>; readonly password: string },
): Promise<Addresses[S]> {
  const { neo4j, qdrant, redis } = stack.ports;
  const { log, signal } = installContext(service, context);
  context.progress('starting in Docker');
  await runProcess('docker', compose(stack.name, 'up', '--detach', '--no-deps', service), {
    cwd: context.folder,
    env: {
      ...context.environment,
      NGBAK_PASSWORD: stack.password,
      NGBAK_NEO4J_PORT: String(neo4j),
      NGBAK_QDRANT_PORT: String(qdrant),
      NGBAK_REDIS_PORT: String(redis),
    },
    log,
    signal,
    timeoutMs: UP_TIMEOUT_MS,
    remedy:
      'See what Docker says. On Linux on x64, unset NGBAK_LOCAL_DOCKER to install the servers natively.',
  });
  const addresses: Pick<Addresses, DockerService> = {
    neo4j: { uri: `bolt://127.0.0.1:${neo4j}`, username: 'neo4j', password: stack.password },
    qdrant: { url: `http://127.0.0.1:${qdrant}`, apiKey: stack.password },
    redis: { url: `redis://127.0.0.1:${redis}`, password: stack.password },
  };
  const address = (addresses satisfies Partial<Addresses> as Addresses)[service];
  await waitUntil(service, () => checkService(service, address), {
    deadlineMs: READY_DEADLINE_MS,
    signal,
    remedy: `See docker ${compose(stack.name, 'logs', service).join(' ')}`,
  });
  return address;
}

/** Removes the containers, volumes and networks of a stack. Throws LocalStackError. */
export async function removeFromDocker(
  name: string,
  folder: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const none = { NGBAK_PASSWORD: '-', NGBAK_NEO4J_PORT: '1', NGBAK_QDRANT_PORT: '1', NGBAK_REDIS_PORT: '1' };
  await runProcess('docker', compose(name, 'down', '--volumes', '--timeout', '1'), {
    cwd: folder,
    env: { ...environment, ...none },
    log: join(folder, 'logs/docker.log'),
    signal: new AbortController().signal,
    timeoutMs: DOWN_TIMEOUT_MS,
    remedy: `Remove them by hand: docker ${compose(name, 'down', '--volumes').join(' ')}`,
  });
}
