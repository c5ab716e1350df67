import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import {
  createServer as createHttpServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { installQdrant } from '../../../local/install/qdrant.ts';
import { freePorts } from '../../../local/ports.ts';
import { until } from '../../support/until.ts';
import { SmallDisk, smallDiskMissing } from '../small-disk.ts';
import type { Server } from './support.ts';

/** A Qdrant for one test: to be killed, restarted, filled and searched for files. */
export class OwnServer implements Server {
  readonly apiKey = 'own-key-7f3a';
  readonly url: string;
  readonly #folder: string;
  readonly #port: number;
  readonly #command: string;
  #process: ChildProcess | undefined;
  #disk: SmallDisk | undefined;

  private constructor(folder: string, port: number, command: string) {
    this.#folder = folder;
    this.#port = port;
    this.#command = command;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** @param megabytes  size of a separate disk, which can then fill up, if the machine allows that */
  static async start(
    extra: NodeJS.ProcessEnv = {},
    args: readonly string[] = [],
    megabytes?: number,
  ): Promise<OwnServer> {
    const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-qdrant-'));
    const command = await installQdrant({
      environment: process.env,
      signal: AbortSignal.timeout(120_000),
      log: join(folder, 'install.log'),
      onInstall: () => undefined,
    });
    const [port = 0] = await freePorts(1);
    const server = new OwnServer(folder, port, command);
    if (megabytes !== undefined && smallDiskMissing() === undefined)
      server.#disk = await SmallDisk.over(folder, megabytes);
    await server.up(extra, args);
    return server;
  }

  async up(extra: NodeJS.ProcessEnv = {}, args: readonly string[] = []): Promise<void> {
    const data = (name: string) => {
      mkdirSync(join(this.#disk?.root ?? this.#folder, name), { recursive: true });
      return join(this.#folder, name);
    };
    const [grpc = 0] = await freePorts(1);
    const [command, wrapped] = this.#disk?.wrap(this.#command, args) ?? [this.#command, [...args]];
    this.#process = spawn(command, wrapped, {
      cwd: this.#folder,
      stdio: 'ignore',
      env: {
        PATH: process.env.PATH,
        QDRANT__SERVICE__HOST: '127.0.0.1',
        QDRANT__SERVICE__HTTP_PORT: String(this.#port),
        QDRANT__SERVICE__GRPC_PORT: String(grpc),
        QDRANT__SERVICE__API_KEY: this.apiKey,
        QDRANT__STORAGE__STORAGE_PATH: data('storage'),
        QDRANT__STORAGE__SNAPSHOTS_PATH: data('snapshots'),
        QDRANT__STORAGE__TEMP_PATH: data('temp'),
        // Collections are many and small here: 32 MiB need not be reserved for each shard's log.
        QDRANT__STORAGE__WAL__WAL_CAPACITY_MB: '1',
        QDRANT__TELEMETRY_DISABLED: 'true',
        ...extra,
      },
    });
    await until(
      'Qdrant is ready',
      async () => (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok,
    );
  }

  /** Its disk. */
  get disk(): SmallDisk {
    if (this.#disk) return this.#disk;
    throw new Error('This Qdrant has no disk of its own.');
  }

  /** Kills the server like a power failure. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await exited;
  }

  async stop(): Promise<void> {
    await this.kill();
    this.#disk?.remove();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** All files below the folders of snapshots and temporary files. */
  async strayFiles(): Promise<string[]> {
    const found: string[] = [];
    for (const folder of ['snapshots', 'temp']) {
      const entries = await readdir(join(this.#folder, folder), { recursive: true, withFileTypes: true });
      found.push(
        ...entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
      );
    }
    return found;
  }
}

/**
 * A proxy that cuts connections: each one after a number of response bytes, until the given number of cuts is reached.
 * Real servers cannot be made to fail at a certain byte.
 */
export class CuttingProxy {
  readonly #server: NetServer;
  readonly #sockets: Set<Socket>;
  readonly url: string;
  cuts = 0;
  afterBytes = 0;
  /** Cuts requests instead of responses. */
  ofRequest = false;
  done = 0;

  private constructor(server: NetServer, sockets: Set<Socket>, port: number) {
    this.#server = server;
    this.#sockets = sockets;
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(target: Server): Promise<CuttingProxy> {
    const { port, hostname } = new URL(target.url);
    const sockets = new Set<Socket>();
    let proxy: CuttingProxy | undefined;
    const server = createServer((client) => {
      const upstream = connect(Number(port), hostname);
      let bytes = 0;
      for (const [from, to] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(from);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
        from.on('data', (chunk) => {
          if (proxy && (from === client) === proxy.ofRequest) bytes += chunk.length;
          if (proxy && proxy.cuts > 0 && bytes > proxy.afterBytes) {
            proxy.cuts--;
            proxy.done++;
            client.destroy();
            upstream.destroy();
            return;
          }
          if (!to.write(chunk)) {
            from.pause();
            to.once('drain', () => from.resume());
          }
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    proxy = new CuttingProxy(server, sockets, typeof address === 'object' && address ? address.port : 0);
    return proxy;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/**
 * A proxy that runs a function right before a call reaches the server, so that concurrency does not depend on timing,
 * and that may change responses of the server. Returns its address, and how to stop it.
 */
export async function startInterceptor(
  target: Server,
  before: (method: string, path: string) => Promise<void>,
  rewrite?: (method: string, path: string, answer: string) => string,
  /** Status of rewritten responses, instead of the server's. */
  status?: number,
): Promise<{ url: string; stop: () => Promise<void> }> {
  const { hostname, port } = new URL(target.url);
  let stopped = false;
  const server = createHttpServer(async (incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming;
    // A request with "Expect: 100-continue" has no body yet.
    if (headers.expect === undefined) await before(method, path);
    if (stopped) return;
    const call = request({ hostname, port, method, path, headers }, (answer) => {
      const json = answer.headers['content-type']?.includes('json');
      if (!rewrite || !json) {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(outgoing);
        return;
      }
      const { 'content-length': _, 'transfer-encoding': __, ...rest } = answer.headers;
      void text(answer).then((body) => {
        const other = rewrite(method, path, body);
        outgoing.writeHead((other === body ? undefined : status) ?? answer.statusCode ?? 500, rest);
        outgoing.end(other);
      });
    });
    call.on('error', () => outgoing.destroy());
    incoming.pipe(call);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    stop: () =>
      new Promise((resolve) => {
        stopped = true;
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * A gateway as commonly used in front of servers: it may limit the bytes of a request (413), drop the Range header, and
 * time out (504) while the server continues.
 */
export async function startGateway(
  target: Server,
  {
    bytesMax = Number.POSITIVE_INFINITY,
    dropsRange = false,
    givesUp = () => false,
  }: {
    bytesMax?: number;
    dropsRange?: boolean;
    /** Whether to answer 504 to this request, once all of it was forwarded. */
    givesUp?: (method: string, path: string) => boolean;
  },
): Promise<{ url: string; seen: string[]; stop: () => Promise<void> }> {
  const { hostname, port } = new URL(target.url);
  const seen: string[] = [];
  const handle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = '', url: path = '', headers } = incoming;
    const length = Number(headers['content-length'] ?? 0);
    if (length > bytesMax) {
      seen.push(`413 ${method} ${path}`);
      outgoing.writeHead(413, { connection: 'close' }).end('<html>413 Request Entity Too Large</html>');
      return;
    }
    if (headers.expect !== undefined) outgoing.writeContinue();
    const { range, expect: _, ...others } = headers;
    const kept = range === undefined || dropsRange ? others : { ...others, range };
    const call = request({ hostname, port, method, path, headers: kept }, (answer) => {
      if (outgoing.headersSent) {
        answer.resume();
        return;
      }
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    call.on('error', () => outgoing.destroy());
    incoming.pipe(call);
    if (!givesUp(method, path)) return;
    call.on('finish', () => {
      seen.push(`504 ${method} ${path}`);
      outgoing.writeHead(504).end('<html>504 Gateway Time-out</html>');
    });
  };
  const gateway = createHttpServer(handle);
  gateway.on('checkContinue', handle);
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve));
  const address = gateway.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`,
    seen,
    stop: () =>
      new Promise((resolve) => {
        gateway.close(() => resolve());
        gateway.closeAllConnections();
      }),
  };
}
