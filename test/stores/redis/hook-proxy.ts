import { connect, createServer, type Server, type Socket } from 'node:net';

/** Called when a client has sent a command, which is forwarded to the server after this has finished. */
export type Hook = (count: number) => Promise<unknown> | undefined;

/** A proxy in front of a server that lets a test act between two commands of its client. */
export class HookProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #hooks = new Map<string, Hook>();
  readonly #counts = new Map<string, number>();
  /** Connections so far. */
  connections = 0;
  #rewrite: ((reply: Buffer) => Buffer) | undefined;

  constructor(port: number) {
    this.#server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      this.connections++;
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => socket.destroy());
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      upstream.on('data', (data) => client.write(this.#rewrite?.(data) ?? data));
      let turn = Promise.resolve();
      client.on('data', (data) => {
        turn = turn.then(() => this.#pass(data, upstream));
      });
    });
  }

  async #pass(data: Buffer, upstream: Socket): Promise<void> {
    for (const [command, hook] of this.#hooks) {
      if (!data.includes(`\r\n${command}\r\n`)) continue;
      const count = (this.#counts.get(command) ?? 0) + 1;
      this.#counts.set(command, count);
      await hook(count);
    }
    upstream.write(data);
  }

  /** Acts before each forwarding of a command to the server; `count` is 1 the first time. */
  before(command: string, hook: Hook): void {
    this.#hooks.set(command, hook);
  }

  /** Changes the replies of the server, packet by packet. */
  rewrite(change: (reply: Buffer) => Buffer): void {
    this.#rewrite = change;
  }

  /** How often a command with a hook has been sent. */
  countOf(command: string): number {
    return this.#counts.get(command) ?? 0;
  }

  /** Forgets all hooks and changes. */
  reset(): void {
    this.#hooks.clear();
    this.#counts.clear();
    this.#rewrite = undefined;
  }

  /** Cuts every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address = this.#server.address();
    return `redis://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
