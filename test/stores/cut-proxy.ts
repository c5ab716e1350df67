import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a real server, which cuts connections, to simulate a restart or a broken network. */
export interface CutProxy {
  readonly port: number;
  /** Cuts every connection once, after this number of further bytes from the server; `Infinity` forwards everything. */
  cutAfter(bytes: number): void;
  /** Number of connections that were cut. */
  cuts(): number;
  close(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `host:port`. */
export async function startCutProxy(host: string, port: number): Promise<CutProxy> {
  let left = Number.POSITIVE_INFINITY;
  let cuts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      // A cut connection is an error on both sides; the test checks how the adapter handles it.
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (bytes) => upstream.write(bytes));
    upstream.on('data', (bytes) => {
      left -= bytes.length;
      if (left >= 0) {
        if (!client.write(bytes)) {
          upstream.pause();
          client.once('drain', () => upstream.resume());
        }
        return;
      }
      cuts++;
      left = Number.POSITIVE_INFINITY;
      for (const socket of sockets) socket.resetAndDestroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    cutAfter: (bytes) => {
      left = bytes;
    },
    cuts: () => cuts,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
