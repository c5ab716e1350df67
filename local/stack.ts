import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseInput } from '../shared/core/input.ts';
import { LocalStackError, MissingPrerequisiteError } from './errors.ts';
import { ROOT, stacksFolder } from './folders.ts';
import { KEEP, StackRequest, SupervisorMessage } from './protocol.ts';
import {
  type Addresses,
  DEFAULT_SERVICES,
  type DefaultService,
  type ServiceName,
} from './services/service.ts';
import type { StackState } from './state.ts';

export type {
  Addresses,
  AwsAddress,
  Neo4jAddress,
  PostgresAddress,
  QdrantAddress,
  RedisAddress,
  ServiceName,
} from './services/service.ts';

/** A progress message of a starting stack. */
export interface StackProgress {
  readonly service: ServiceName;
  /** `installing …`, `preparing`, `starting`, `ready`, or later on, how a server ended by itself. */
  readonly text: string;
}

export interface StackOptions<S extends ServiceName> {
  /** @default a random name */
  readonly name?: string;
  /** @default Neo4j, Qdrant, Redis and the AWS emulator */
  readonly services?: readonly S[];
  /** Cancels the start of the stack, and cleans up. Afterwards it has no effect: use `stop`. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: StackProgress) => void;
  /**
   * The source of NEO4J_URI, QDRANT_URL, REDIS_URL, POSTGRES_URL and AWS_ENDPOINT_URL, and the environment of the servers.
   * @default process.env
   */
  readonly environment?: NodeJS.ProcessEnv;
}

/** A running stack. It ends with `stop`, and in any case when this process ends, unless `keep` was called. */
export type Stack<S extends ServiceName = DefaultService> = Pick<Addresses, S> & {
  readonly name: string;
  /** Its folder, which is removed at the end. Callers may store files of the stack there. */
  readonly folder: string;
  /** The folder of its logs: one file for each service, and `supervisor.log`. */
  readonly logs: string;
  /** Ends every process of the stack and removes its folder. May be called more than once. */
  stop(): Promise<void>;
  /** Keeps the stack running when this process ends, until `npm run local:down`. */
  keep(): Promise<void>;
};

/**
 * Starts Neo4j, Qdrant, Redis and the AWS emulator, or the named services, each on free ports with its own credentials, and
 * waits until all of them answer.
 *
 * Each service either runs already at an address in the environment, or is installed natively into `.local/` the
 * first time, or is started in Docker, on request or if there is no native installation. Throws LocalStackError, or
 * MissingPrerequisiteError with one line for each missing program; nothing is left running then.
 */
export async function startStack<S extends ServiceName = DefaultService>(
  options: StackOptions<S> = {},
): Promise<Stack<S>> {
  const environment = options.environment ?? process.env;
  const request = parseInput(
    StackRequest,
    { name: options.name ?? randomBytes(4).toString('hex'), services: options.services ?? DEFAULT_SERVICES },
    'The request for a local stack',
  );
  options.signal?.throwIfAborted();
  const supervisor = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(ROOT, 'local/supervisor.ts'), request.name],
    // In a separate session: Ctrl-C in the terminal reaches only this process, which then ends the supervisor.
    { cwd: ROOT, env: environment, stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  // Piped and not inherited: a kept stack would hold this process's output open for a reader that waits for its end.
  supervisor.stderr.pipe(process.stderr, { end: false });
  // It may end before it has read everything; how it ended is reported separately.
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

/** Listens to the supervisor: resolves when the stack is ready, rejects if it failed or the supervisor ended. */
function conversation(
  supervisor: ChildProcess & { stdout: NodeJS.ReadableStream },
  onProgress: StackOptions<ServiceName>['onProgress'],
  exited: Promise<string>,
): Promise<{ state: StackState; kept: Promise<void> }> {
  const kept = Promise.withResolvers<void>();
  // Callers of `keep` receive the rejection; it need not be handled otherwise.
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
      // Its last message may not have arrived yet.
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
