import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalStackError } from '../errors.ts';
import { waitUntil } from '../health.ts';
import type { InstallContext } from '../install/install.ts';
import { ended, STACK_MARK, startProcess, tail } from '../processes.ts';

export interface Neo4jAddress {
  /** `bolt://…` or `neo4j://…`. */
  readonly uri: string;
  readonly username: string;
  readonly password: string;
}

export interface QdrantAddress {
  readonly url: string;
  readonly apiKey: string;
}

export interface RedisAddress {
  /** `redis://host:port`, without the password. */
  readonly url: string;
  readonly password: string;
}

export interface PostgresAddress {
  /** `postgresql://host:port/database`, without credentials. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly tls: boolean;
}

export interface AwsAddress {
  readonly endpoint: string;
  readonly region: string;
  readonly accountId: string;
  /** Environment variables for the AWS SDKs, the AWS CLI and the CDK CLI. */
  readonly env: Record<string, string>;
}

/** The services of a stack, with their addresses. */
export interface Addresses {
  readonly neo4j: Neo4jAddress;
  readonly qdrant: QdrantAddress;
  readonly redis: RedisAddress;
  readonly postgres: PostgresAddress;
  readonly aws: AwsAddress;
}

export type ServiceName = keyof Addresses;
export const SERVICE_NAMES = [
  'neo4j',
  'qdrant',
  'redis',
  'postgres',
  'aws',
] as const satisfies readonly ServiceName[];

/** The services of a stack for which none are named: those that most systems use. */
export const DEFAULT_SERVICES = ['neo4j', 'qdrant', 'redis', 'aws'] as const satisfies readonly ServiceName[];
export type DefaultService = (typeof DEFAULT_SERVICES)[number];

/** Context for the start of a service. */
export interface ServiceContext {
  /** The stack's folder; a service keeps its data in a subfolder with its name. */
  readonly folder: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly progress: (text: string) => void;
  /** Called with each started server process; the supervisor watches whether it ends by itself. */
  readonly started: (child: ChildProcess, command: string) => void;
}

/** Maximum time until a started server answers, in milliseconds. */
const START_DEADLINE_MS = 120_000;
/** Timeout of one check of a server, in milliseconds. */
export const CHECK_TIMEOUT_MS = 5_000;

/** The context of an installer for the start of a service. */
export function installContext(service: string, context: ServiceContext): InstallContext {
  return {
    environment: { ...context.environment, [STACK_MARK]: context.folder },
    signal: context.signal,
    log: join(context.folder, 'logs', `${service}.log`),
    onInstall: (what) => context.progress(`installing ${what}`),
  };
}

/**
 * Starts a server and waits until `check` succeeds.
 *
 * Throws LocalStackError with the end of the server's log if it ends before that or is not ready in time.
 */
export async function startServer(
  service: string,
  context: ServiceContext,
  server: {
    readonly command: string;
    readonly args: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    /** A log that the server writes itself, in addition to its output. */
    readonly log?: string;
    readonly check: () => Promise<void>;
    /** @default {@link START_DEADLINE_MS} */
    readonly deadlineMs?: number;
  },
): Promise<void> {
  const cwd = join(context.folder, service);
  const log = join(context.folder, 'logs', `${service}.log`);
  const temporary = join(context.folder, 'tmp');
  for (const path of [cwd, temporary]) await mkdir(path, { recursive: true });
  context.signal.throwIfAborted();
  context.progress('starting');
  const child = startProcess(server.command, server.args, {
    cwd,
    log,
    env: { ...context.environment, TMPDIR: temporary, ...server.env, [STACK_MARK]: context.folder },
  });
  context.started(child, server.command);
  const remedy = 'Read the log; NGBAK_LOCAL_KEEP_LOGS=1 keeps it after the end.';
  const crashed = new AbortController();
  const end = ended(child).then((how) => {
    const own = server.log !== undefined && existsSync(server.log) ? tail(server.log) : '';
    crashed.abort(new LocalStackError(`${service} ended by itself (${how}).${tail(log)}${own}`, { remedy }));
  });
  try {
    await waitUntil(service, server.check, {
      deadlineMs: server.deadlineMs ?? START_DEADLINE_MS,
      signal: AbortSignal.any([context.signal, crashed.signal]),
      remedy,
    });
  } catch (error) {
    if (crashed.signal.aborted && !context.signal.aborted) throw crashed.signal.reason;
    throw error;
  } finally {
    // Nothing awaits it any more; `started` has passed the process to the supervisor, which watches it.
    void end;
  }
}

/** Requests a page from a server, and throws its response unless that is a success. */
export async function expectOk(url: string, headers: Record<string, string> = {}): Promise<Response> {
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status} ${(await answer.text()).slice(0, 200)}`);
  return answer;
}
