import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { installPostgres } from '../../../local/install/python.ts';
import { freePorts } from '../../../local/ports.ts';
import { checkPostgres, clientOptions, startPostgres } from '../../../local/services/postgres.ts';
import type { PostgresAddress } from '../../../local/services/service.ts';

/** Includes the installation the first time. */
const START_TIMEOUT_MS = 300_000;

/** A PostgreSQL with pgvector for one test file, which may be killed. */
export class OwnPostgres {
  readonly address: PostgresAddress;
  readonly #folder: string;
  #process: ChildProcess;
  readonly #clients: pg.Client[] = [];

  private constructor(folder: string, address: PostgresAddress, child: ChildProcess) {
    this.#folder = folder;
    this.address = address;
    this.#process = child;
  }

  static async start(): Promise<OwnPostgres> {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-postgres-'));
    await mkdir(join(folder, 'logs'));
    const [port = 0] = await freePorts(1);
    let child: ChildProcess | undefined;
    const address = await startPostgres(
      {
        folder,
        environment: process.env,
        signal: AbortSignal.timeout(START_TIMEOUT_MS),
        progress: () => undefined,
        started: (started) => {
          child = started;
        },
      },
      port,
      'own-password-7f3a',
    );
    if (child === undefined) throw new Error('The PostgreSQL of the test was not started.');
    return new OwnPostgres(folder, address, child);
  }

  /** Opens a plain connection, for writing and reading test data. It is closed with the server. */
  async connect(credentials: { user?: string; password?: string } = {}): Promise<pg.Client> {
    const client = new pg.Client({ ...clientOptions(this.address), ...credentials });
    client.on('error', () => undefined);
    await client.connect();
    this.#clients.push(client);
    return client;
  }

  /** Definitions, rows and sequences of a schema by `pg_dump`, sorted: the order of rows means nothing. */
  async dump(schema: string): Promise<string> {
    const programs = await installPostgres({
      environment: process.env,
      signal: AbortSignal.timeout(START_TIMEOUT_MS),
      log: join(this.#folder, 'logs/install.log'),
      onInstall: () => undefined,
    });
    const { host, port, user, password, database } = clientOptions(this.address);
    const { stdout } = await promisify(execFile)(
      join(programs, 'pg_dump'),
      [
        '-h',
        String(host),
        '-p',
        String(port),
        '-U',
        String(user),
        '-n',
        schema,
        '--no-privileges',
        '--restrict-key=test',
        String(database),
      ],
      { env: { ...process.env, PGPASSWORD: String(password) }, maxBuffer: 64 * 1024 ** 2 },
    );
    return stdout.split('\n').sort().join('\n');
  }

  /** Stops the server in order, and starts it again with the same data. */
  async restart(): Promise<void> {
    const { spawnfile, spawnargs } = this.#process;
    await this.#end();
    this.#process = spawn(spawnfile, spawnargs.slice(1), { stdio: 'ignore' });
    await this.ready();
  }

  /**
   * Kills a process of the server, of which the server recovers without a restart. It accepts connections until it notices,
   * and then ends all; so this waits for the end of one that it did not kill.
   */
  async crash(): Promise<void> {
    const [victim, bystander] = [await this.connect(), await this.connect()];
    const { rows } = await victim.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const ended = new Promise((resolve) => bystander.once('end', resolve));
    process.kill(rows[0]?.pid ?? 0, 'SIGKILL');
    await ended;
    await this.ready();
  }

  /** Waits until the server accepts connections, as after a recovery. */
  async ready(): Promise<void> {
    for (const deadline = Date.now() + START_TIMEOUT_MS; ; await sleep(50)) {
      try {
        return await checkPostgres(this.address);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  async stop(): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(): Promise<void> {
    for (const client of this.#clients.splice(0)) await client.end().catch(() => undefined);
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGINT');
    await exited;
  }
}
