import { startTcpProxy, type TcpProxy } from '../tcp-proxy.ts';

/** A TCP proxy in front of a real server that records everything that clients send. */
export interface RecordingProxy extends Pick<TcpProxy, 'port' | 'close'> {
  /** What clients have sent since the last call, as Latin-1 text. */
  take(): string;
}

/** Starts a proxy on a free port of 127.0.0.1 in front of `host:port`. */
export async function startRecordingProxy(host: string, port: number): Promise<RecordingProxy> {
  let sent: Buffer[] = [];
  const proxy = await startTcpProxy(host, port, (client, upstream) => {
    client.on('data', (bytes) => {
      sent.push(bytes);
      upstream.write(bytes);
    });
    upstream.pipe(client);
  });
  return {
    port: proxy.port,
    take: () => {
      const text = Buffer.concat(sent).toString('latin1');
      sent = [];
      return text;
    },
    close: () => proxy.close(),
  };
}
