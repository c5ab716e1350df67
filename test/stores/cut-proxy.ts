import { startTcpProxy, type TcpProxy } from '../tcp-proxy.ts';

/** A TCP proxy in front of a real server, which cuts connections, to simulate a restart or a broken network. */
export interface CutProxy extends Pick<TcpProxy, 'port' | 'close'> {
  /** Cuts every connection once, after this number of further bytes from the server; `Infinity` forwards everything. */
  cutAfter(bytes: number): void;
  /** Number of connections that were cut. */
  cuts(): number;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `host:port`. */
export async function startCutProxy(host: string, port: number): Promise<CutProxy> {
  let left = Number.POSITIVE_INFINITY;
  let cuts = 0;
  const proxy = await startTcpProxy(host, port, (client, upstream) => {
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
      // An error on both sides; the test checks how the adapter handles it.
      for (const socket of proxy.sockets) socket.resetAndDestroy();
    });
  });
  return {
    port: proxy.port,
    cutAfter: (bytes) => {
      left = bytes;
    },
    cuts: () => cuts,
    close: () => proxy.close(),
  };
}
