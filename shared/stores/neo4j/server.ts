import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  Config,
  Driver,
  ManagedTransaction,
  Record as Neo4jRecord,
  RecordShape,
  Result,
  Session,
} from 'neo4j-driver';
import { Neo4jError } from 'neo4j-driver-core';
import { UnavailableError } from '../../core/errors.ts';
import { VERSION } from '../../core/version.ts';
import type { Neo4jConnection } from './connection.ts';
import { toNgbakError, tooLong } from './errors.ts';
import { answerForFarDates } from './far-dates.ts';

/** Timeout for a TCP connection and its handshake, in milliseconds. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Timeout for a free connection from the pool, in milliseconds. */
const ACQUIRE_TIMEOUT_MS = 30_000;
/** How long a transaction is retried after transient errors, in milliseconds. */
const RETRY_TIME_MS = 30_000;
/** A connection that was idle for longer is tested before use, in milliseconds. */
const LIVENESS_CHECK_MS = 30_000;
/** Number of bookmarks kept: more than the number of concurrent transactions. */
const BOOKMARKS_MAX = 4;
/** Maximum number of connections: a backup must not overload the server. */
const POOL_SIZE = 4;

answerForFarDates();

type Neo4j = Pick<typeof import('neo4j-driver'), 'auth' | 'driver'>;

/** Parameters of a query. Integers are bigint: Neo4j treats a number as a float. */
export type Parameters = Record<string, unknown>;

/** Version and edition of a server. */
export interface ServerVersion {
  /** For example `5.26.30`. */
  readonly version: string;
  readonly major: number;
  readonly minor: number;
  /** `community` or `enterprise`. */
  readonly edition: string;
}

/** Receives the rows of a query as they arrive. */
export interface RowSink {
  add(row: Neo4jRecord): void;
  /** Discards all rows so far: the query starts, or is retried. */
  clear(): void;
}

/** Collects the mapped value of each row. */
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

/** One Neo4j database: connects lazily, maps every error, uses only a few connections. */
export class Neo4jServer {
  readonly target: string;
  readonly #connection: Neo4jConnection;
  #driver: Driver | undefined;
  #trustFolder: string | undefined;
  #version: Promise<ServerVersion> | undefined;
  #supportsLanguagePrefix: Promise<boolean> | undefined;
  /** Bookmarks of the latest transactions written here: in a cluster, a read waits for them. */
  #bookmarks: readonly string[] = [];
  readonly #bookmarkManager = {
    getBookmarks: async () => this.#bookmarks,
    updateBookmarks: async () => undefined,
  };

  constructor(connection: Neo4jConnection, target: string) {
    this.#connection = connection;
    this.target = target;
  }

  /** Version and edition, requested once. */
  version(signal: AbortSignal): Promise<ServerVersion> {
    this.#version ??= this.#fetchVersion(signal).catch((error: unknown) => {
      this.#version = undefined;
      throw error;
    });
    return this.#version;
  }

  async #fetchVersion(signal: AbortSignal): Promise<ServerVersion> {
    const session = await this.#session('READ');
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
   * Passes the rows of a read query with LIMIT to `sink`, one by one as they arrive: this handles thousands of rows a
   * second, and no row stays in memory. The start of the transaction and the query are sent together. The driver
   * retries transient errors, after {@link RowSink.clear}.
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
        async () =>
          (await this.#driverOf()).executeQuery(text, parameters, {
            ...this.#database(),
            routing: 'READ',
            bookmarkManager: this.#bookmarkManager,
            resultTransformer: (result) => streamInto(result, sink),
            signal,
          }),
        signal,
      );
    } catch (error) {
      throw toNgbakError(error, this.target, doing);
    }
  }

  /** The rows of a read query with a small result. The driver retries transient errors. */
  async read(
    doing: string,
    cypher: string,
    parameters: Parameters,
    signal: AbortSignal,
  ): Promise<RecordShape[]> {
    return (await this.readMarked(doing, cypher, parameters, signal)).rows;
  }

  /**
   * As {@link read}, with the bookmark. It identifies the last transaction that was committed, which may not have been
   * applied yet (`TransactionIdTracker` of Neo4j): its changes may not be visible to this query.
   *
   * @param after  bookmarks of transactions that are applied before the query runs
   */
  async readMarked(
    doing: string,
    cypher: string,
    parameters: Parameters,
    signal: AbortSignal,
    after: readonly string[] = this.#bookmarks,
  ): Promise<{ rows: RecordShape[]; bookmark: string }> {
    const text = await this.#language(cypher, signal);
    const session = await this.#session('READ', after);
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

  /** Runs one write transaction; `work` runs again from its start if the driver retries a transient error. */
  async write<T>(
    doing: string,
    signal: AbortSignal,
    work: (run: (cypher: string, parameters?: Parameters) => Promise<RecordShape[]>) => Promise<T>,
  ): Promise<T> {
    const prefix = await this.#language('', signal);
    const session = await this.#session('WRITE');
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

  /** Makes everything committed so far visible to later reads, whichever server of a cluster answers them. */
  async catchUp(signal: AbortSignal): Promise<void> {
    await this.write('asking for its last transaction', signal, (run) => run('RETURN 1'));
  }

  /** Runs one schema change in its own transaction, as Neo4j requires. */
  async schema(doing: string, cypher: string, signal: AbortSignal): Promise<void> {
    await this.write(doing, signal, (run) => run(cypher));
  }

  /** Throws unless the server accepts a write, which is rolled back. */
  async tryWriting(signal: AbortSignal): Promise<void> {
    const prefix = await this.#language('', signal);
    const session = await this.#session('WRITE');
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
    this.#supportsLanguagePrefix = undefined;
    try {
      await driver?.close();
    } finally {
      if (this.#trustFolder !== undefined) rmSync(this.#trustFolder, { recursive: true, force: true });
      this.#trustFolder = undefined;
    }
  }

  async #session(defaultAccessMode: 'READ' | 'WRITE', after = this.#bookmarks): Promise<Session> {
    const driver = await this.#driverOf();
    return driver.session({
      ...this.#database(),
      defaultAccessMode,
      bookmarks: [...after],
    });
  }

  /** The database named in the connection; without one, the driver uses the user's home database. */
  #database(): { database?: string } {
    const { database } = this.#connection;
    return database === undefined ? {} : { database };
  }

  /** Loads the driver with the first connection: most steps of a workflow do not need it. */
  async #driverOf(): Promise<Driver> {
    const { default: neo4j } = await import('neo4j-driver');
    this.#driver ??= this.#open(neo4j);
    return this.#driver;
  }

  #open(neo4j: Neo4j): Driver {
    const { uri, username, password, ca } = this.#connection;
    const config: Config = {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      connectionAcquisitionTimeout: ACQUIRE_TIMEOUT_MS,
      connectionLivenessCheckTimeout: LIVENESS_CHECK_MS,
      maxTransactionRetryTime: RETRY_TIME_MS,
      maxConnectionPoolSize: POOL_SIZE,
      userAgent: `ngbak/${VERSION}`,
      telemetryDisabled: true,
      // Integers arrive as bigint, exact over all 64 bits.
      useBigInt: true,
    };
    if (ca === undefined) return neo4j.driver(uri, neo4j.auth.basic(username, password), config);
    // The driver accepts CA certificates only as files, and only for URI schemes that do not specify the trust
    // themselves.
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
   * Prefixes the query with its language, Cypher 5: a database may have a different default, whatever the version of
   * its server. Servers before 5.21 reject the prefix, so ngbak checks once whether it is supported.
   */
  async #language(cypher: string, signal: AbortSignal): Promise<string> {
    this.#supportsLanguagePrefix ??= this.#checkLanguage(signal).catch((error: unknown) => {
      this.#supportsLanguagePrefix = undefined;
      throw error;
    });
    return (await this.#supportsLanguagePrefix) ? `CYPHER 5 ${cypher}` : cypher;
  }

  async #checkLanguage(signal: AbortSignal): Promise<boolean> {
    const session = await this.#session('READ');
    try {
      await this.#guard(() => session.run('CYPHER 5 RETURN 1'), signal);
      return true;
    } catch (error) {
      if (error instanceof Neo4jError && /^Neo\.ClientError\.Statement\./.test(error.code)) return false;
      throw toNgbakError(error, this.target, 'asking for its language');
    } finally {
      await this.#release(session, signal);
    }
  }

  /**
   * Starts an operation of the driver unless the step is already aborted, and stops waiting for it when the step is
   * aborted.
   */
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

  /** Closing a session waits until the server releases its query; an aborted step does not wait. */
  async #release(session: Session, signal: AbortSignal): Promise<void> {
    const closed = session.close();
    if (!signal.aborted) return closed.catch((error: unknown) => this.#ignoreDriverError(error));
    closed.catch((error: unknown) => this.#ignoreDriverError(error));
  }

  /**
   * A session that cannot be closed has a broken connection, which the pool discards; the query itself has reported the
   * error.
   */
  #ignoreDriverError(error: unknown): void {
    if (!(error instanceof Neo4jError)) throw error;
  }
}

/**
 * Passes a result to a sink. Rethrows an error of the sink only after the server has sent the rest, when the connection
 * is free.
 */
function streamInto(result: Result, sink: RowSink): Promise<void> {
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
