import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { InvalidInputError } from '../../core/errors.ts';
import { addressOf, type PostgresConnection } from './connection.ts';
import { explain } from './errors.ts';

const CONNECT_MS = 10_000;
/** Locks are waited for this long. */
const LOCK_MS = 30_000;

/** Everything that determines how values are printed and read, and what a role can see without an error. */
const SETTINGS: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  // Notices are sent at once, which ends a script whose connection was closed.
  client_min_messages: 'error',
  search_path: 'pg_catalog',
  datestyle: 'ISO, YMD',
  intervalstyle: 'postgres',
  timezone: 'UTC',
  // Since PostgreSQL 12: the shortest text that reads back as the same number.
  extra_float_digits: '1',
  bytea_output: 'hex',
  xmloption: 'content',
  lc_monetary: 'C',
  standard_conforming_strings: 'on',
  quote_all_identifiers: 'off',
  // An error instead of missing rows.
  row_security: 'off',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  lock_timeout: String(LOCK_MS),
};

type Value = string | number | boolean | null | readonly string[];

/** Closes the socket of a client without a word to the server. */
function destroy(client: Client): void {
  (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
}

/** One connection to one database, opened with the first call. Calls are sequential. */
export class PostgresClient {
  readonly name: string;
  readonly #connection: PostgresConnection;
  #client: Client | undefined;
  #copy: typeof import('pg-copy-streams') | undefined;

  constructor(connection: PostgresConnection, target: string) {
    this.#connection = connection;
    const { host, port, database } = addressOf(connection);
    this.name = `PostgreSQL of target "${target}" at ${host}:${port}/${database}`;
  }

  /** An error about the state of the server or its configuration. */
  invalid(problem: string, remedy: string): InvalidInputError {
    return new InvalidInputError(`${this.name} ${problem}.`, { remedy });
  }

  /** Runs one statement. Throws UnavailableError, AccessDeniedError, PostgresReplyError. */
  async rows<T extends object>(sql: string, values: readonly Value[] = []): Promise<T[]> {
    return this.#explaining(async () => {
      const client = await this.#open();
      // With parameters, or an empty list of them, the server accepts one statement only.
      const { rows } = await client.query({ text: sql, values: [...values], queryMode: 'extended' } as never);
      return rows as T[];
    });
  }

  /** Runs statements that ngbak composed, as one message: the server completes it even if the connection is lost. */
  async script(statements: readonly string[]): Promise<void> {
    await this.#explaining(async () => {
      await (await this.#open()).query(statements.join(';\n'));
    });
  }

  /** Runs `work` in a transaction, which is rolled back if it throws. */
  async transaction<T>(mode: string, work: () => Promise<T>): Promise<T> {
    await this.rows(`BEGIN ${mode}`);
    try {
      const result = await work();
      await this.rows('COMMIT');
      return result;
    } catch (error) {
      // Closing the connection rolls back as well, if it cannot be used any more.
      await this.#client?.query('ROLLBACK').catch(() => this.drop());
      throw error;
    }
  }

  /** Runs `COPY … TO STDOUT`. If the reader stops early, the connection is closed. */
  async *copyOut(sql: string): AsyncGenerator<Uint8Array> {
    let isComplete = false;
    try {
      const client = await this.#explaining(() => this.#open());
      const copy = await this.#streams();
      const stream: Readable = client.query(copy.to(sql));
      for await (const chunk of stream) yield chunk;
      isComplete = true;
    } catch (error) {
      throw explain(error, this.name, this.#connection);
    } finally {
      if (!isComplete) this.drop();
    }
  }

  /** Runs `COPY … FROM STDIN`. */
  async copyIn(sql: string, content: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#explaining(async () => {
      const client = await this.#open();
      await pipeline(content, client.query((await this.#streams()).from(sql)));
    });
  }

  /** Drops the connection when the work must stop at once. */
  obey(signal: AbortSignal): void {
    signal.throwIfAborted();
    signal.addEventListener('abort', () => this.drop(), { once: true });
  }

  /** Closes the connection at once. The server completes a script, and rolls back an open transaction. */
  drop(): void {
    const client = this.#client;
    this.#client = undefined;
    if (client) destroy(client);
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end();
  }

  async #open(): Promise<Client> {
    if (this.#client) return this.#client;
    const { username, tls, ca } = this.#connection;
    // Loaded with the first connection: most steps of a workflow do not need it.
    const { default: pg } = await import('pg');
    const client = new pg.Client({
      ...addressOf(this.#connection),
      user: username,
      password: await this.#password(),
      ssl: tls ? { rejectUnauthorized: true, ...(ca === undefined ? {} : { ca }) } : false,
      connectionTimeoutMillis: CONNECT_MS,
      application_name: 'ngbak',
      keepAlive: true,
    });
    // The call in progress fails with the same error.
    client.on('error', () => {
      if (this.#client === client) this.#client = undefined;
    });
    try {
      await client.connect();
      const settings = Object.entries(SETTINGS).map(([name, value]) => `SET ${name} = '${value}'`);
      await client.query(settings.join(';'));
    } catch (error) {
      destroy(client);
      throw error;
    }
    this.#client = client;
    return client;
  }

  /** A token of RDS is valid for a quarter of an hour, so that each connection needs a new one. */
  async #password(): Promise<string> {
    const { username, password, iam } = this.#connection;
    if (!iam) return password ?? '';
    const { rdsToken } = await import('../../aws/rds-token.ts');
    const { host, port } = addressOf(this.#connection);
    return rdsToken({ host, port, username, region: iam.region });
  }

  async #streams(): Promise<typeof import('pg-copy-streams')> {
    // A bundle has only the default export.
    this.#copy ??= (
      (await import('pg-copy-streams')) as unknown as { default: typeof import('pg-copy-streams') }
    ).default;
    return this.#copy;
  }

  async #explaining<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explain(error, this.name, this.#connection);
    }
  }
}
