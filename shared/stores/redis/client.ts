import calculateSlot from 'cluster-key-slot';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { z } from 'zod';
import { AccessDeniedError, InvalidInputError, NgbakError, UnavailableError } from '../../core/errors.ts';
import { hostOf } from '../../core/host.ts';
import { retry } from '../../core/retry.ts';

/** Connection timeout in ms. */
const CONNECT_MS = 5_000;
/** Reply timeout in ms: a server that takes longer is blocked or down. */
const REPLY_MS = 60_000;
/** Number of attempts for a batch whose connection was lost. */
const TRIES = { attempts: 4, firstMs: 200, factor: 4 };

/** Address and credentials of a server, as stored in Secrets Manager. */
export const RedisConnection = z
  .strictObject({
    /** `redis://host:port`, or `rediss://host:port` for TLS. Credentials belong in the fields below. */
    url: z.string().regex(/^rediss?:\/\/[^@]+$/, 'must be redis://host:port or rediss://host:port'),
    username: z.string().optional(),
    password: z.string().optional(),
    /** Database number; a cluster only has database 0. */
    db: z.number().int().nonnegative().optional(),
    /** PEM certificates of the server's CA, if it is not a public one. */
    ca: z.string().optional(),
    /** True if the address is that of a cluster node. */
    cluster: z.boolean().optional(),
  })
  .refine(({ cluster, db }) => cluster !== true || db === undefined || db === 0, {
    message: 'must be 0 or absent with "cluster": numbered databases of clusters are not supported',
    path: ['db'],
  });
export type RedisConnection = z.infer<typeof RedisConnection>;

/** Server states that pass by themselves or once an operator has intervened, by the error code of the reply. */
const PASSING: Readonly<Record<string, { readonly problem: string; readonly remedy: string }>> = {
  ...Object.fromEntries(
    ['LOADING', 'BUSY', 'CLUSTERDOWN', 'TRYAGAIN', 'MASTERDOWN', 'MOVED', 'ASK'].map((code) => [
      code,
      {
        problem: "can't answer now",
        remedy: 'ngbak retries automatically. If the error persists, check the state of the server.',
      },
    ]),
  ),
  MISCONF: {
    problem: 'refuses writes, because its last save to disk failed',
    remedy:
      'Free disk space or correct the folder of its RDB file; the next successful save ends this state, as does "stop-writes-on-bgsave-error no".',
  },
  NOREPLICAS: {
    problem: 'refuses writes, because fewer replicas than "min-replicas-to-write" are connected',
    remedy: 'Reconnect the replicas, or lower "min-replicas-to-write".',
  },
};

/** An error returned by the server, such as `OOM` or `WRONGTYPE`. */
export class RedisReplyError extends NgbakError {}

export type Argument = string | number | Buffer;
/** One command: its name, then its arguments. */
export type Command = readonly [name: string, ...args: Argument[]];
/** A raw reply: strings are buffers. Errors inside transactions and pipelines are values. */
export type Reply = Buffer | number | null | Error | Reply[];

/**
 * Connection to one server or to the masters of one cluster, opened on the first call. After a lost connection, the
 * client reconnects and sends the whole batch again, so every batch must be idempotent; for this reason ioredis must
 * not resend single commands itself.
 */
export class RedisClient {
  readonly #connection: RedisConnection;
  readonly #name: string;
  #client: Redis | Cluster | undefined;
  #cluster: Cluster | undefined;
  #nodes: readonly Redis[] | undefined;
  readonly #sessions = new Set<RedisSession>();
  #isUsedBefore = false;

  constructor(connection: RedisConnection, target: string) {
    this.#connection = connection;
    this.#name = `Redis of target "${target}" at ${new URL(connection.url).host}`;
  }

  /** Name of the server for messages. */
  get name(): string {
    return this.#name;
  }

  /**
   * Records that a job has already used this server successfully. If it is a replica now, a failover is in progress,
   * and the error is transient.
   */
  assumeUsable(): void {
    this.#isUsedBefore = true;
  }

  get isCluster(): boolean {
    return this.#connection.cluster === true;
  }

  /** The servers that hold the keys: one, or the masters of the cluster. Throws UnavailableError, AccessDeniedError. */
  async nodes(): Promise<readonly Redis[]> {
    this.#nodes ??= await this.#retrying(() => this.#open());
    return this.#nodes;
  }

  async #open(): Promise<readonly Redis[]> {
    this.#client?.disconnect();
    // Loaded with the first connection: most steps of a workflow do not need it. A bundle has only the default export.
    // The type checker of the dashboard takes its type for that of the class.
    const { default: ioredis } = (await import('ioredis')) as unknown as {
      default: Pick<typeof import('ioredis'), 'Redis' | 'Cluster'>;
    };
    const { url, username, password, db, ca } = this.#connection;
    const options = {
      lazyConnect: true,
      protocol: 2 as const,
      connectTimeout: CONNECT_MS,
      commandTimeout: REPLY_MS,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      enableOfflineQueue: false,
      retryStrategy: () => null,
      disableClientInfo: true,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(url.startsWith('rediss:') ? { tls: ca === undefined ? {} : { ca } } : {}),
    } satisfies RedisOptions;
    if (!this.isCluster) {
      const redis = new ioredis.Redis(url, { ...options, ...(db === undefined ? {} : { db }) });
      this.#client = redis;
      await this.#connect(redis);
      return [redis];
    }
    const address = new URL(url);
    const { port } = address;
    const host = hostOf(address);
    const cluster = new ioredis.Cluster([{ host, port: Number(port || 6379) }], {
      lazyConnect: true,
      clusterRetryStrategy: () => null,
      // A managed cluster announces host names that its certificate covers, so they must not be resolved to IP
      // addresses.
      dnsLookup: (address, callback) => callback(null, address),
      slotsRefreshTimeout: CONNECT_MS,
      redisOptions: options,
    });
    this.#client = cluster;
    this.#cluster = cluster;
    await this.#connect(cluster);
    const masters = cluster.nodes('master');
    for (const master of masters) await this.#connect(master);
    return masters;
  }

  /** The master that serves a key. */
  async nodeOf(key: Buffer): Promise<Redis> {
    const nodes = await this.nodes();
    const cluster = this.#cluster;
    if (!cluster) return nodes[0] as Redis;
    const address = cluster.slots[calculateSlot(key)]?.[0];
    const node = nodes.find(({ options }) => `${options.host}:${options.port}` === address);
    if (node) return node;
    throw new UnavailableError(`${this.#name}: no master serves hash slot ${calculateSlot(key)}.`, {
      remedy: 'Bring the cluster into the state "ok" and wait until no slot is being moved.',
    });
  }

  async #connect(client: Redis | Cluster): Promise<void> {
    if (client.status === 'ready') return;
    let first: unknown;
    // ioredis reports the reason for a refused connection only as an event.
    const remember = (error: unknown) => {
      first ??= error;
    };
    client.on('error', remember);
    try {
      if (client.status === 'connecting' || client.status === 'connect') {
        await new Promise<void>((resolve, reject) => {
          client.once('ready', resolve);
          client.once('end', () => reject(first ?? new Error('Connection is closed.')));
        });
      } else {
        await client.connect();
      }
    } catch (error) {
      throw this.#translate(first ?? error, undefined, true);
    }
  }

  /** Reconnects: after a failover, the same name resolves to another server. */
  async #reconnect(node: Redis): Promise<void> {
    if (node.status !== 'end') {
      await new Promise<void>((resolve) => {
        node.once('end', resolve);
        node.disconnect();
      });
    }
    await this.#connect(node);
  }

  /**
   * Sends commands in one batch and returns their replies in order. Errors returned by the server are thrown with an
   * explanation, except those that `tolerates` accepts as values. After a lost connection, the whole batch is sent
   * again.
   *
   * @param what  subject of the commands, for messages
   */
  async send(
    node: Redis,
    commands: readonly Command[],
    tolerates: (error: Error, index: number) => boolean = isWrongType,
    what?: string,
  ): Promise<Reply[]> {
    let isReplica = false;
    const replies = await this.#retrying(async (attempt) => {
      if (attempt > 1) await (isReplica && !this.isCluster ? this.#reconnect(node) : this.#connect(node));
      const answers = await exchange(node, commands);
      const refusal = answers.find(isReadOnly);
      isReplica = refusal !== undefined;
      if (refusal && this.#isUsedBefore) throw this.#translate(refusal, what);
      return answers;
    });
    for (const [index, reply] of replies.entries()) {
      if (reply instanceof Error && !tolerates(reply, index)) throw this.#translate(reply, what);
    }
    return replies;
  }

  /**
   * Sends groups of commands, each as one transaction: no other client's commands run in between. Returns the replies
   * of each group. Errors as in {@link send}.
   */
  async transact(
    node: Redis,
    groups: readonly (readonly Command[])[],
    tolerates: (error: Error) => boolean = isWrongType,
    what?: string,
  ): Promise<Reply[][]> {
    const commands = groups.flatMap((group): Command[] => [['MULTI'], ...group, ['EXEC']]);
    // A rejected command is reported in its place; the EXECABORT that follows adds nothing.
    const replies = await this.send(node, commands, (error) => error.message.startsWith('EXECABORT'), what);
    let end = -1;
    return groups.map((group) => {
      end += group.length + 2;
      const results = replies[end];
      if (!Array.isArray(results)) throw this.#translate(results, what);
      for (const reply of results) {
        if (reply instanceof Error && !tolerates(reply)) throw this.#translate(reply, what);
      }
      return results;
    });
  }

  /**
   * A dedicated connection to a server, for WATCH. Must be returned with {@link RedisSession.end}, also after errors.
   * Throws UnavailableError and AccessDeniedError.
   */
  async session(node: Redis): Promise<RedisSession> {
    for (const session of this.#sessions) if (session.take(node)) return session;
    const session = await this.#retrying(async () => {
      const connection = node.duplicate({ enableOfflineQueue: false, retryStrategy: () => null });
      await this.#connect(connection);
      // A lost connection is detected by the next command, which fails.
      connection.on('error', () => undefined);
      return new RedisSession(node, connection, (error, what) => this.#translate(error, what));
    });
    this.#sessions.add(session);
    session.take(node);
    return session;
  }

  #retrying<T>(work: (attempt: number) => Promise<T>): Promise<T> {
    const translated = (attempt: number) =>
      work(attempt).catch((error: unknown) => {
        throw this.#translate(error);
      });
    return retry(translated, { ...TRIES, isTransient: (error) => error instanceof UnavailableError });
  }

  /** Sends commands; throws on any error reply. */
  async sendAll(node: Redis, commands: readonly Command[]): Promise<Exclude<Reply, Error>[]> {
    return (await this.send(node, commands, () => false)) as Exclude<Reply, Error>[];
  }

  /** Sends one command and returns its reply. */
  async call(node: Redis, ...command: Command): Promise<Exclude<Reply, Error>> {
    const [reply] = await this.sendAll(node, [command]);
    return reply as Exclude<Reply, Error>;
  }

  /**
   * Converts an error into one with a remedy; NgbakErrors are returned unchanged.
   *
   * @param isLogin  true while connecting, when errors of the server concern the login
   */
  #translate(error: unknown, what?: string, isLogin = false): NgbakError {
    if (error instanceof NgbakError) return error;
    const message = error instanceof Error ? error.message : String(error);
    if (!isReplyError(error)) {
      return new UnavailableError(`${this.#name} can't be reached: ${sentence(message)}`, {
        remedy: 'Check address, port, TLS, security groups and whether the server runs.',
      });
    }
    const code = /^([A-Z]+)\b/.exec(message)?.[1] ?? '';
    const passing = PASSING[code];
    if (passing) return new UnavailableError(`${this.#name} ${passing.problem} (${code}).`, passing);
    if (code === 'NOPERM') {
      const command = /'([a-z|]+)' command/i.exec(message)?.[1];
      return new AccessDeniedError(
        `${this.#name} refused ${`the command ${command ?? ''}`.trim()} (${code}).`,
        { remedy: "Correct the user's ACL; docs/stores/redis.md lists the commands needed." },
      );
    }
    if (code === 'NOAUTH' || code === 'WRONGPASS' || (isLogin && /\bAUTH\b|invalid password/.test(message))) {
      const problem = `${this.#name} refused the login (${code === 'ERR' ? 'AUTH' : code}).`;
      const remedy = "Correct username and password in the store's secret, or the user's ACL.";
      return new AccessDeniedError(problem, { remedy, isLogin: true });
    }
    if (code === 'OOM') {
      return new RedisReplyError(`${this.#name} is out of memory: it reached "maxmemory".`, {
        remedy: 'Raise maxmemory or take a larger node, then restore again.',
      });
    }
    if (code === 'READONLY') {
      const problem = `${this.#name} is a read-only replica.`;
      const remedy = "Put the primary's address into the store's secret.";
      return this.#isUsedBefore
        ? new UnavailableError(`${problem} A failover may be in progress.`, { remedy })
        : new InvalidInputError(problem, { remedy });
    }
    return new RedisReplyError(
      `${this.#name} ${what === undefined ? 'answered' : `did not take ${what}`}: ${sentence(message)}`,
      {
        remedy:
          'Check that version and ACL of the server allow the command; docs/stores/redis.md lists them.',
      },
    );
  }

  /** Converts an error reply that was tolerated into an error with a remedy. */
  explain(error: Error): NgbakError {
    return this.#translate(error);
  }

  async close(): Promise<void> {
    for (const session of this.#sessions) session.disconnect();
    this.#sessions.clear();
    this.#client?.disconnect();
    this.#client = undefined;
    this.#nodes = undefined;
  }
}

/**
 * A connection that never reconnects, because the state of WATCH would be lost. Used by one reader at a time, and then
 * reused by the next.
 */
export class RedisSession {
  readonly #node: Redis;
  readonly #connection: Redis;
  readonly #translate: (error: unknown, what?: string) => NgbakError;
  #isTaken = false;

  constructor(node: Redis, connection: Redis, translate: (error: unknown, what?: string) => NgbakError) {
    this.#node = node;
    this.#connection = connection;
    this.#translate = translate;
  }

  /** Acquires the session if it is free, open and belongs to this server; returns whether it did. */
  take(node: Redis): boolean {
    if (this.#isTaken || node !== this.#node || this.#connection.status !== 'ready') return false;
    this.#isTaken = true;
    return true;
  }

  /** As {@link RedisClient.send}, except that a lost connection throws UnavailableError immediately. */
  async send(
    commands: readonly Command[],
    tolerates: (error: Error, index: number) => boolean = isWrongType,
  ): Promise<Reply[]> {
    let replies: Reply[];
    try {
      replies = await exchange(this.#connection, commands);
    } catch (error) {
      throw this.#translate(error);
    }
    for (const [index, reply] of replies.entries()) {
      if (reply instanceof Error && !tolerates(reply, index)) throw this.#translate(reply);
    }
    return replies;
  }

  /** Whether the watched keys are unchanged since WATCH. Ends the watch. */
  async isUntouched(): Promise<boolean> {
    const [, reply] = await this.send([['MULTI'], ['EXEC']], () => false);
    return reply !== null;
  }

  /** Returns the connection for reuse, without any watch. */
  async end(): Promise<void> {
    try {
      await this.send([['UNWATCH']]);
    } catch {
      // A lost connection has no watch either, and is not reused.
      this.disconnect();
    }
    this.#isTaken = false;
  }

  disconnect(): void {
    this.#connection.disconnect();
  }
}

/** Sends commands in one batch; errors returned by the server are values, all others are thrown. */
async function exchange(connection: Redis, commands: readonly Command[]): Promise<Reply[]> {
  const pipeline = connection.pipeline();
  for (const [name, ...args] of commands) pipeline.callBuffer(name, args);
  const results = (await pipeline.exec()) ?? [];
  return results.map(([error, reply]) => {
    if (error && !isReplyError(error)) throw error;
    return (error ?? reply) as Reply;
  });
}

/** The command does not apply to the type of the existing key. */
function isWrongType(error: Error): boolean {
  return error.message.startsWith('WRONGTYPE');
}

/** A write was sent to a replica. */
function isReadOnly(reply: Reply): reply is Error {
  return reply instanceof Error && reply.message.startsWith('READONLY');
}

function sentence(text: string): string {
  return `${text.slice(0, 200).replace(/\.+$/, '')}.`;
}

function isReplyError(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

/** Requires an integer reply, such as a length. */
export function integerOf(reply: Reply | undefined): number {
  const value = typeof reply === 'number' ? reply : Number(String(reply));
  if (reply === null || reply === undefined || !Number.isSafeInteger(value)) {
    throw new RedisReplyError(`Redis answered "${String(reply).slice(0, 80)}" instead of a whole number.`, {
      remedy: 'Report this with the version of the server.',
    });
  }
  return value;
}

/** Requires a list reply. Throws an error reply. */
export function listOf(reply: Reply | undefined): Reply[] {
  if (Array.isArray(reply)) return reply;
  if (reply instanceof Error) throw reply;
  throw new RedisReplyError('Redis did not return a list.', {
    remedy: 'Report this with the version of the server.',
  });
}

/** Requires a reply of bytes. */
export function bytesOf(reply: Reply | undefined): Buffer {
  if (Buffer.isBuffer(reply)) return reply;
  if (reply instanceof Error) throw reply;
  throw new RedisReplyError('Redis did not return bytes.', {
    remedy: 'Report this with the version of the server.',
  });
}
