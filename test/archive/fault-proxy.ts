import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** How a request is handled: forwarded (undefined), refused, never answered, or its response truncated or delayed. */
export type Fault =
  | { readonly kind: 'refuse'; readonly status: number; readonly code: string }
  | { readonly kind: 'silence' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'cut' | 'stall'; readonly after: number };

export interface FaultProxy {
  readonly endpoint: string;
  /** Called for each request. */
  decide: (method: string, url: URL) => Fault | undefined;
  /** Requests so far, faults included: `PUT /bucket/key?partNumber=1…`. */
  readonly seen: string[];
  stop(): Promise<void>;
}

/** A proxy between a client and an S3 server, which fails on request. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  const seen: string[] = [];
  const held = new Set<ServerResponse>();
  const server = createServer((incoming: IncomingMessage, outgoing: ServerResponse) => {
    const url = new URL(incoming.url ?? '/', target);
    seen.push(`${incoming.method} ${url.pathname}${url.search}`);
    const fault = proxy.decide(incoming.method ?? '', url);
    if (fault?.kind === 'refuse') {
      // Read to its end first, as S3 does: the client is still sending.
      incoming.resume().on('end', () => {
        outgoing.writeHead(fault.status, { 'content-type': 'application/xml' });
        outgoing.end(`<Error><Code>${fault.code}</Code><Message>as told</Message></Error>`);
      });
      return;
    }
    if (fault?.kind === 'reset') return void incoming.destroy();
    if (fault?.kind === 'silence') {
      incoming.resume();
      held.add(outgoing);
      return;
    }
    const { method, headers } = incoming;
    const onward = request({ hostname, port, path: incoming.url, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      if (fault === undefined) return void answer.pipe(outgoing);
      let passed = 0;
      answer.on('data', (chunk: Buffer) => {
        const rest = fault.after - passed;
        if (rest <= 0) return;
        passed += chunk.length;
        outgoing.write(chunk.subarray(0, rest), () => {
          if (passed >= fault.after && fault.kind === 'cut') outgoing.destroy();
        });
        held.add(outgoing);
      });
    });
    onward.on('error', () => outgoing.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const proxy: FaultProxy = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    decide: () => undefined,
    seen,
    async stop() {
      for (const answer of held) answer.destroy();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return proxy;
}
