import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseInput } from '../shared/core/input.ts';
import { LocalStackError, MissingPrerequisiteError } from './errors.ts';
import { ROOT, stacksFolder } from './folders.ts';
import { KEEP, StackRequest, SupervisorMessage } from './protocol.ts';
import { type Addresses, SERVICE_NAMES, type ServiceName } from './services/service.ts';
import type { StackState } from './state.ts';

export type {
  Addresses,
  AwsAddress,
  Neo4jAddress,
  QdrantAddress,
  RedisAddress,
  ServiceName,
} from './services/service.ts';

/** What a stack says while it starts. */
export interface StackProgress {
  readonly service: ServiceName;
  /** `installing …`, `preparing`, `starting`, `ready`, or how a server ended by itself later on. */
  readonly text: string;
}

export interface StackOptions<S extends ServiceName> {
  /** @default a name by chance */
  readonly name?: string;
  /** @default all of them */
  readonly services?: readonly S[];
  /** Gives up when aborted while the stack starts: nothing is left. Later on, `stop` is what ends it. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StackProgress) => void;
  /**
   * Where NEO4J_URI, QDRANT_URL, REDIS_URL and AWS_ENDPOINT_URL are looked up, and what the servers are started with.
   * @default process.env
   */
  readonly environment?: NodeJS.ProcessEnv;
}

/** A running stack. It ends with `stop`, and in any case when this process ends, unless `keep` was called. */
export type Stack<S extends ServiceName = ServiceName> = Pick<Addresses, S> & {
  readonly name: string;
  /** Its folder, which is removed at the end. There is room in it for what belongs to the stack. */
  readonly folder: string;
  /** The folder of its logs: one file for each service, and `supervisor.log`. */
  readonly logs: string;
  /** Ends every process of the stack and removes its folder. Once is enough; twice does no harm. */
  stop(): Promise<void>;
  /** Keeps the stack running when this process ends, until `npm run local:down`. */
  keep(): Promise<void>;
};

/**
 * Starts Neo4j, Qdrant, Redis and the AWS emulator, or some of them, each on free ports with credentials of its own,
 * and waits until all of them answer.
 *
 * Each service is found where the environment says that it runs; or installed natively into `.local/`, the first time; or
 * started in Docker, on request and where there is no native installation. Throws LocalStackError, and MissingPrerequisiteError with one line
 * for each program that this machine lacks; nothing is left then.
 */
export async function startStack<S extends ServiceName = ServiceName>(
  options: StackOptions<S> = {},
): Promise<Stack<S>> {
  const environment = options.environment ?? process.env;
  const request = parseInput(
    StackRequest,
    { name: options.name ?? randomBytes(4).toString('hex'), services: options.services ?? SERVICE_NAMES },
    'The request for a local stack',
  );
  options.signal?.throwIfAborted();
  const supervisor = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(ROOT, 'local/supervisor.ts'), request.name],
    // In a session of its own: Ctrl-C in the terminal reaches us alone, and we tell it to end.
    { cwd: ROOT, env: environment, stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  // Through us and not inherited: a stack that is kept would hold our output open for whoever reads it to its end.
  supervisor.stderr.pipe(process.stderr, { end: false });
  // It may end before it has read everything; how it ended is what we report.
  supervisor.stdin.on('error', () => undefined);
  const exited = new Promise<string>((resolve) => {
    supervisor.once('error', (error) => resolve(`error ${error.message}`));
    supervisor.once('exit', (code, signal) => resolve(code === null ? `signal ${signal}` : `code ${code}`));
  });
  const stop = async () => {
    supervisor.stdin.end();
    if (supervisor.exitCode === null && supervisor.signalCode === null) supervisor.kill('SIGTERM');
    await exited;
  };
  const onAbort = () => supervisor.stdin.end();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  supervisor.stdin.write(`${JSON.stringify(request)}\n`);

  try {
    const { state, kept } = await conversation(supervisor, options.onProgress, exited);
    const folder = join(stacksFolder(environment), request.name);
    return {
      ...(state.addresses as Pick<Addresses, S>),
      name: request.name,
      folder,
      logs: join(folder, 'logs'),
      stop,
      async keep() {
        supervisor.stdin.write(`${KEEP}\n`);
        await kept;
        supervisor.stdin.end();
        supervisor.unref();
        supervisor.stdout.destroy();
        supervisor.stderr.destroy();
      },
    };
  } catch (error) {
    await stop();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
}

/** Listens to the supervisor: resolves when the stack is ready, rejects when it failed or the supervisor ended. */
function conversation(
  supervisor: ChildProcess & { stdout: NodeJS.ReadableStream },
  onProgress: StackOptions<ServiceName>['onProgress'],
  exited: Promise<string>,
): Promise<{ state: StackState; kept: Promise<void> }> {
  const kept = Promise.withResolvers<void>();
  // Whoever calls `keep` gets the rejection; nobody else has to.
  kept.promise.catch(() => undefined);
  return new Promise((resolve, reject) => {
    createInterface({ input: supervisor.stdout }).on('line', (line) => {
      try {
        const message = SupervisorMessage.parse(JSON.parse(line));
        if (message.type === 'ready') resolve({ state: message.state, kept: kept.promise });
        else if (message.type === 'kept') kept.resolve();
        else if (message.type === 'failed') {
          const { message: text, remedy, missing } = message;
          reject(
            missing ? new MissingPrerequisiteError(text, { remedy }) : new LocalStackError(text, { remedy }),
          );
        } else onProgress?.({ service: message.service, text: message.text });
      } catch (error) {
        reject(error);
      }
    });
    void exited.then(async (how) => {
      // What it said last is still on its way.
      if (!supervisor.stdout.readableEnded && supervisor.stdout.readable)
        await once(supervisor.stdout, 'end');
      const error = new LocalStackError(`The supervisor of the local stack ended (${how}).`, {
        remedy: 'See above what it said; NGBAK_LOCAL_KEEP_LOGS=1 keeps the logs.',
      });
      kept.reject(error);
      reject(error);
    });
  });
}
