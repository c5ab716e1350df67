import { connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, expect } from '@jest/globals';
import type { StoreName } from '../../shared/core/store-names.ts';
import { findAdapter } from '../../shared/stores/registry.ts';
import { testUnless } from '../conditions.ts';
import { servers } from '../servers.ts';
import { legContext } from './memory-archive.ts';

const noIpv6 = Object.values(networkInterfaces()).some((found) =>
  found?.some(({ address }) => address === '::1'),
)
  ? undefined
  : 'this machine has no IPv6';

let proxy: Server | undefined;
afterEach(() => {
  proxy?.close();
});

/** A port of ::1 that forwards to a server, since those of the test run listen on 127.0.0.1 only. */
async function listenOnIpv6(address: string): Promise<number> {
  const { hostname, port } = new URL(address);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  proxy = server;
  await new Promise<void>((resolve) => server.listen(0, '::1', resolve));
  const bound = server.address();
  return typeof bound === 'object' && bound !== null ? bound.port : 0;
}

interface Way {
  readonly kind: string;
  readonly store: StoreName;
  readonly scope: object;
  /** Address of the server of the test run, and the connection with another address. */
  address(): string;
  connection(port: number): object;
}

const WAYS: readonly Way[] = [
  {
    kind: 'neo4j',
    store: 'graph',
    scope: { label: 'Ipv6', key_property: 'id' },
    address: () => servers.neo4j.uri,
    connection: (port) => ({ ...servers.neo4j, uri: `bolt://[::1]:${port}` }),
  },
  {
    kind: 'qdrant',
    store: 'vectors',
    scope: { collections: ['ipv6'] },
    address: () => servers.qdrant.url,
    connection: (port) => ({ url: `http://[::1]:${port}`, api_key: servers.qdrant.apiKey }),
  },
  {
    kind: 'redis',
    store: 'kv',
    scope: { prefix: 'ipv6:' },
    address: () => servers.redis.url,
    connection: (port) => ({ ...servers.redis, url: `redis://[::1]:${port}` }),
  },
];

for (const { kind, store, scope, address, connection } of WAYS) {
  testUnless(noIpv6, `${kind} is reached at an IPv6 literal`, async () => {
    const adapter = findAdapter(kind, store);
    const port = await listenOnIpv6(address());
    const opened = adapter.create(adapter.Connection.parse(connection(port)), adapter.Scope.parse(scope), {
      target: 'test',
    });
    try {
      expect((await opened.probe(legContext())).kind).toBe(kind);
    } finally {
      await opened.close();
    }
  });
}
