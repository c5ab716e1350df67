import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that a receiver got. */
export interface ReceivedRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A local HTTP server in the place of Slack, Teams and others. */
export interface TestReceiver {
  readonly origin: string;
  readonly requests: ReceivedRequest[];
  /** The requests to a path. */
  at(path: string): ReceivedRequest[];
  close(): Promise<void>;
}

/**
 * Starts a receiver that answers 200.
 *
 * @param answer  answers a request instead; returns false to leave it to the default
 */
export async function startReceiver(
  answer: (request: ReceivedRequest, response: ServerResponse) => boolean = () => false,
): Promise<TestReceiver> {
  const requests: ReceivedRequest[] = [];
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const headers = Object.fromEntries(
        Object.entries(request.headers).map(([key, value]) => [key, String(value)]),
      );
      const received = { path: request.url ?? '', headers, body: Buffer.concat(chunks).toString('utf8') };
      requests.push(received);
      if (!answer(received, response)) response.end('ok');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    requests,
    at: (path) => requests.filter((one) => one.path === path),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
