import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { selfSigned } from '../../support/certificate.ts';
import { startTcpProxy } from '../../tcp-proxy.ts';

/** A proxy that accepts TLS as PostgreSQL does, after a request: the server of the tests is built without it. */
export interface TlsProxy {
  /** `postgresql://localhost:port/postgres`. */
  readonly url: string;
  readonly port: number;
  /** The certificate of its authority. */
  readonly ca: string;
  close(): Promise<void>;
}

/** Starts a proxy with a new certificate for localhost, in front of a server. Needs openssl. */
export async function startTlsProxy(server: string): Promise<TlsProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-test-tls-'));
  const { key, cert } = await selfSigned(folder);
  const certificate = { key: await readFile(key), cert: await readFile(cert) };
  await rm(folder, { recursive: true });
  const { port, close } = await startTcpProxy(
    '127.0.0.1',
    Number(new URL(server).port),
    (socket, upstream) => {
      void once(socket, 'data').then(() => {
        socket.write('S');
        const secure = new TLSSocket(socket, { isServer: true, ...certificate });
        secure.on('error', () => upstream.destroy());
        secure.pipe(upstream).pipe(secure);
      });
    },
  );
  return { url: `postgresql://localhost:${port}/postgres`, port, ca: String(certificate.cert), close };
}
