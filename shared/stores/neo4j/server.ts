import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import neo4j, {
  type Config,
  type Driver,
  type ManagedTransaction,
  type Record as Neo4jRecord,
  type RecordShape,
  type Result,
  type Session,
} from 'neo4j-driver';
import { UnavailableError } from '../../core/errors.ts';
import { VERSION } from '../../core/version.ts';
import type { Neo4jConnection } from './connection.ts';
import { toNgbakError, tooLong } from './errors.ts';
import { answerForFarDates } from './far-dates.ts';

/** Longest wait for a TCP connection and its handshake, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Longest wait for a free connection of the pool, in milliseconds. */
const ACQUIRE_TIMEOUT_MS = 30_000;
/** Time within which a transaction that met a passing error is tried again, in milliseconds. */
const RETRY_TIME_MS = 30_000;
/** A connection that was idle for longer is tested before it is used, in milliseconds. */
const LIVENESS_CHECK_MS = 30_000;
/** Bookmarks that are kept: more than transactions that are under way at once. */
const BOOKMARKS_MAX = 4;
/** Connections at once: a backup must not drown the server. */
const POOL_SIZE = 4;

answerForFarDates();

/** Parameters of a query. Integers are bigint: a number is a float to Neo4j. */
export type Parameters = Record<string, unknown>;

/** Version and edition of a server. */
export interface ServerVersion {
  /** Such as `5.26.30`. */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  /** `community` or `enterprise`. */
  readonly edition: string;
}

/** Takes the rows of a query as they come. */
export interface RowSink {
  add(row: Neo4jRecord): void;
  /** Forgets all rows so far: the query begins, or begins again. */
  clear(): void;
}

/** Keeps the result of each row. */
export class MappedRows<T> implements RowSink {
  readonly #make: (row: Neo4jRecord) => T;
  #rows: T[] = [];

  constructor(make: (row: Neo4jRecord) => T) {
    this.#make = make;
  }

  get all(): readonly T[] {
    return this.#rows;
  }

  add(row: Neo4jRecord): void {
    this.#rows.push(this.#make(row));
  }

  clear(): void {
    this.#rows = [];
  }
}

/** One Neo4j database: connects lazily, maps every error, holds no more than a few connections. */
export class Neo4jServer {
  readonly target: string;
  readonly #connection: Neo4jConnection;
  #driver: Driver | undefined;
  #trustFolder: string | undefined;
  #version: Promise<ServerVersion> | undefined;
  #takesLanguage: Promise<boolean> | undefined;
  /** Names of the latest transactions that were written here: in a cluster, whoever reads waits for them. */
  #bookmarks: readonly string[] = [];
  readonly #bookmarkManager = {
    getBookmarks: async () => this.#bookmarks,
    updateBookmarks: async () => undefined,
  };

  constructor(connection: Neo4jConnection, target: string) {
    this.#connection = connection;
    this.target = target;
  }

  /** Version and edition, asked for once. */
  version(signal: AbortSignal): Promise<ServerVersion> {
    this.#version ??= this.#askVersion(signal).catch((error: unknown) => {
      this.#version = undefined;
      throw error;
    });
    return this.#version;
  }

  async #askVersion(signal: AbortSignal): Promise<ServerVersion> {
    const session = this.#session(neo4j.session.READ);
    try {
      const cypher = 'CALL dbms.components() YIELD name, versions, edition RETURN name, versions, edition';
      const { records } = await this.#guard(() => session.run(cypher), signal);
      const kernel = records.find((row) => row.get('name') === 'Neo4j Kernel');
      const version = String(kernel?.get('versions')?.[0] ?? 'unknown');
      const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
      return { version, major, minor, edition: String(kernel?.get('edition') ?? 'unknown') };
    } catch (error) {
      throw toNgbakError(error, this.target, 'asking for its version');
    } finally {
      await this.#release(session, signal);
    }
  }

  /**
   * Hands the rows of a read query that limits them to `sink`, one by one as they come: thousands a second come this way,
   * and none of them has to be there for longer. The beginning of the transaction and the query are sent together.
   * Passing errors are retried by the driver, after {@link RowSink.clear}.
   */
  async page(
    doing: string,
    cypher: string,
    parameters: Parameters,
    signal: AbortSignal,
    sink: RowSink,
  ): Promise<void> {
    const text = await this.#language(cypher, signal);
    try {
      await this.#guard(
        () =>
          this.#driverOf().executeQuery(text, parameters, {
            ...this.#database(),
            routing: neo4j.routing.READ,
            bookmarkManager: this.#bookmarkManager,
            resultTransformer: (result) => pour(result, sink),
            signal,
          }),
        signal,
      );
    } catch (error) {
      throw toNgbakError(error, this.target, doing);
    }
  }

  /** The rows of a read query that has few. Passing errors are retried by the driver. */
  async read(
    doing: string,
    cypher: string,
    parameters: Parameters,
    signal: AbortSignal,
  ): Promise<RecordShape[]> {
    return (await this.readMarked(doing, cypher, parameters, signal)).rows;
  }

  /** As {@link read}, with the bookmark: the server's name for the last transaction that the query could see. */
  async readMarked(
    doing: string,
    cypher: string,
    parameters: Parameters,
    signal: AbortSignal,
  ): Promise<{ rows: RecordShape[]; bookmark: string }> {
    const text = await this.#language(cypher, signal);
    const session = this.#session(neo4j.session.READ);
    try {
      const work = () => session.executeRead((transaction) => transaction.run(text, parameters));
      const { records } = await this.#guard(work, signal);
      return {
        rows: records.map((record) => record.toObject()),
        bookmark: session.lastBookmarks().join(' '),
      };
    } catch (error) {
      throw tooLong(error, this.target, doing) ?? toNgbakError(error, this.target, doing);
    } finally {
      await this.#release(session, signal);
    }
  }

  /** One write transaction; `work` runs again from its start where the driver retries a passing error. */
  async write<T>(
    doing: string,
    signal: AbortSignal,
    work: (run: (cypher: string, parameters?: Parameters) => Promise<RecordShape[]>) => Promise<T>,
  ): Promise<T> {
    const prefix = await this.#language('', signal);
    const session = this.#session(neo4j.session.WRITE);
    const runIn =
      (transaction: ManagedTransaction) =>
      async (cypher: string, parameters: Parameters = {}) => {
        const { records } = await transaction.run(prefix + cypher, parameters);
        return records.map((record) => record.toObject());
      };
    try {
      const result = await this.#guard(
        () => session.executeWrite((transaction) => work(runIn(transaction))),
        signal,
      );
      this.#bookmarks = [...new Set([...session.lastBookmarks(), ...this.#bookmarks])].slice(
        0,
        BOOKMARKS_MAX,
      );
      return result;
    } catch (error) {
      throw toNgbakError(error, this.target, doing);
    } finally {
      await this.#release(session, signal);
    }
  }

  /** Lets every later read see what was committed until now, whichever server of a cluster answers it. */
  async catchUp(signal: AbortSignal): Promise<void> {
    await this.write('asking for its last transaction', signal, (run) => run('RETURN 1'));
  }

  /** One change of constraints or indexes, in a transaction of its own as Neo4j demands. */
  async schema(doing: string, cypher: string, signal: AbortSignal): Promise<void> {
    await this.write(doing, signal, (run) => run(cypher));
  }

  /** Throws unless the server takes a write: one that is rolled back, so nothing is written. */
  async tryWriting(signal: AbortSignal): Promise<void> {
    const prefix = await this.#language('', signal);
    const session = this.#session(neo4j.session.WRITE);
    try {
      await this.#guard(async () => {
        const transaction = await session.beginTransaction();
        await transaction.run(`${prefix}CREATE (n) DELETE n`);
        await transaction.rollback();
      }, signal);
    } catch (error) {
      throw toNgbakError(error, this.target, 'trying a write');
    } finally {
      await this.#release(session, signal);
    }
  }

  async close(): Promise<void> {
    const driver = this.#driver;
    this.#driver = undefined;
    this.#version = undefined;
    this.#takesLanguage = undefined;
    try {
      await driver?.close();
    } finally {
      if (this.#trustFolder !== undefined) rmSync(this.#trustFolder, { recursive: true, force: true });
      this.#trustFolder = undefined;
    }
  }

  #session(defaultAccessMode: 'READ' | 'WRITE'): Session {
    return this.#driverOf().session({
      ...this.#database(),
      defaultAccessMode,
      bookmarks: [...this.#bookmarks],
    });
  }

  /** The database that the connection names; without one, the driver takes the user's home database. */
  #database(): { database?: string } {
    const { database } = this.#connection;
    return database === undefined ? {} : { database };
  }

  #driverOf(): Driver {
    this.#driver ??= this.#open();
    return this.#driver;
  }

  #open(): Driver {
    const { uri, username, password, ca } = this.#connection;
    const config: Config = {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      connectionAcquisitionTimeout: ACQUIRE_TIMEOUT_MS,
      connectionLivenessCheckTimeout: LIVENESS_CHECK_MS,
      maxTransactionRetryTime: RETRY_TIME_MS,
      maxConnectionPoolSize: POOL_SIZE,
      userAgent: `ngbak/${VERSION}`,
      telemetryDisabled: true,
      // Integers come as bigint, exact over all 64 bits.
      useBigInt: true,
    };
    if (ca === undefined) return neo4j.driver(uri, neo4j.auth.basic(username, password), config);
    // The driver takes authorities from files only, and only for addresses whose scheme says nothing about trust.
    this.#trustFolder = mkdtempSync(join(tmpdir(), 'ngbak-neo4j-'));
    const file = join(this.#trustFolder, 'ca.pem');
    writeFileSync(file, ca, { mode: 0o600 });
    return neo4j.driver(uri.replace(/\+s(sc)?:/, ':'), neo4j.auth.basic(username, password), {
      ...config,
      encrypted: 'ENCRYPTION_ON',
      trust: 'TRUST_CUSTOM_CA_SIGNED_CERTIFICATES',
      trustedCertificates: [file],
    });
  }

  /**
   * The query with its language, which is Cypher 5. A database may have another default, whatever the server's version is
   * called, and servers of before 5.21 do not know the prefix: so the server is asked once.
   */
  async #language(cypher: string, signal: AbortSignal): Promise<string> {
    this.#takesLanguage ??= this.#askLanguage(signal).catch((error: unknown) => {
      this.#takesLanguage = undefined;
      throw error;
    });
    return (await this.#takesLanguage) ? `CYPHER 5 ${cypher}` : cypher;
  }

  async #askLanguage(signal: AbortSignal): Promise<boolean> {
    const session = this.#session(neo4j.session.READ);
    try {
      await this.#guard(() => session.run('CYPHER 5 RETURN 1'), signal);
      return true;
    } catch (error) {
      if (error instanceof neo4j.Neo4jError && /^Neo\.ClientError\.Statement\./.test(error.code))
        return false;
      throw toNgbakError(error, this.target, 'asking for its language');
    } finally {
      await this.#release(session, signal);
    }
  }

  /** Begins work of the driver unless the step has to stop, and waits for it no longer than until then. */
  #guard<T>(begin: () => PromiseLike<T>, signal: AbortSignal): Promise<T> {
    if (signal.aborted) return Promise.reject(this.#stopped(signal));
    return new Promise((resolve, reject) => {
      const stop = () => reject(this.#stopped(signal));
      signal.addEventListener('abort', stop, { once: true });
      const done = () => signal.removeEventListener('abort', stop);
      begin().then(
        (value) => {
          done();
          resolve(value);
        },
        (error: unknown) => {
          done();
          reject(error);
        },
      );
    });
  }

  /** Retryable: a step that stopped itself before the platform's limit continues from its last leg. */
  #stopped(signal: AbortSignal): UnavailableError {
    return new UnavailableError(`Neo4j of target "${this.target}": the step had to stop.`, {
      remedy:
        'It continues after its last leg if the platform stopped it. If you stopped it, start it again.',
      cause: signal.reason,
    });
  }

  /** Closing waits for the server to let go of a query; a step that must stop at once does not wait for that. */
  async #release(session: Session, signal: AbortSignal): Promise<void> {
    const closed = session.close();
    if (!signal.aborted) return closed.catch((error: unknown) => this.#forget(error));
    closed.catch((error: unknown) => this.#forget(error));
  }

  /** A session that can't be closed has a broken connection, which the pool throws away; the query told its error. */
  #forget(error: unknown): void {
    if (!(error instanceof neo4j.Neo4jError)) throw error;
  }
}

/** Pours a result into a sink. An error of the sink is thrown once the server has sent the rest, and the connection is free. */
function pour(result: Result, sink: RowSink): Promise<void> {
  sink.clear();
  return new Promise((resolve, reject) => {
    let hasFailed = false;
    let failure: unknown;
    result.subscribe({
      onNext: (row) => {
        if (hasFailed) return;
        try {
          sink.add(row);
        } catch (error) {
          hasFailed = true;
          failure = error;
        }
      },
      onCompleted: () => (hasFailed ? reject(failure) : resolve()),
      onError: reject,
    });
  });
}
