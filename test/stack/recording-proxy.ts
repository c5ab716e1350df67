import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a real server that records everything that clients send. */
export interface RecordingProxy {
  readonly port: number;
  /** What clients have sent since the last call, as Latin-1 text. */
  take(): string;
  close(): Promise<void>;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `host:port`. */
export async function startRecordingProxy(host: string, port: number): Promise<RecordingProxy> {
  let sent: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (bytes) => {
      sent.push(bytes);
      upstream.write(bytes);
    });
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port');
  return {
    port: address.port,
    take: () => {
      const text = Buffer.concat(sent).toString('latin1');
      sent = [];
      return text;
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
