import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installRedis, type RedisProgram } from '../../../local/install/redis.ts';
import { freePorts } from '../../../local/ports.ts';
import { until } from '../../support/until.ts';

/** A server for one test, which may stop, restart, fill up or configure it. */
export class OwnServer {
  readonly port: number;
  readonly folder: string;
  readonly #program: RedisProgram;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, folder: string, program: RedisProgram, args: readonly string[]) {
    this.port = port;
    this.folder = folder;
    this.#program = program;
    this.#args = args;
  }

  /**
   * Starts a server on a free port. `NGBAK_TEST_REDIS_SERVER` names another program than the local stack's, such as a
   * Valkey or a newer Redis.
   *
   * @param args  further options; a function receives port and folder
   * @param chosen  the program, if a particular one is required
   */
  static async start(
    args: readonly string[] | ((port: number, folder: string) => Promise<readonly string[]>) = [],
    chosen?: RedisProgram,
  ): Promise<OwnServer> {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-redis-'));
    const other = process.env.NGBAK_TEST_REDIS_SERVER;
    const program =
      chosen ??
      (other
        ? { path: other }
        : await installRedis({
            environment: process.env,
            signal: new AbortController().signal,
            log: join(folder, 'install.log'),
            onInstall: () => undefined,
          }));
    const [port = 0] = await freePorts(1);
    const options = typeof args === 'function' ? await args(port, folder) : args;
    const server = new OwnServer(port, folder, program, options);
    try {
      await server.run();
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async run(): Promise<void> {
    const child = spawn(
      this.#program.path,
      ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.folder, ...this.#args],
      {
        stdio: 'ignore',
        env: {
          ...process.env,
          ...(this.#program.libraries ? { LD_LIBRARY_PATH: this.#program.libraries } : {}),
        },
      },
    );
    this.#child = child;
    await until('Redis answers', () => {
      if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
      return this.#answers();
    });
  }

  #answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => {
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
