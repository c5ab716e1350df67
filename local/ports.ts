import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { LocalStackError } from './errors.ts';

/**
 * Where free ports are looked for: below 32768, the start of Linux's range for outgoing connections
 * (net.ipv4.ip_local_port_range), so that no client takes a port between our look and the server's start.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 31_999;
const ATTEMPTS = 200;

/** Finds that many different TCP ports of 127.0.0.1 that nobody listens on. Throws LocalStackError. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = new Map<number, Server>();
  try {
    for (let attempt = 0; servers.size < count; attempt++) {
      if (attempt === ATTEMPTS) {
        throw new LocalStackError(
          `No ${count} free TCP ports between ${FIRST_PORT} and ${LAST_PORT} on 127.0.0.1.`,
          {
            remedy: 'Stop what listens there, or `npm run local:down` for stacks that you no longer need.',
          },
        );
      }
      // By chance, so that stacks that start at the same moment look in different places.
      const port = randomInt(FIRST_PORT, LAST_PORT + 1);
      if (servers.has(port)) continue;
      const server = createServer();
      server.listen(port, '127.0.0.1');
      const free = await Promise.race([
        once(server, 'listening').then(() => true),
        once(server, 'error').then(() => false),
      ]).catch(() => false);
      if (free) servers.set(port, server);
    }
    return [...servers.keys()];
  } finally {
    await Promise.all([...servers.values()].map((server) => new Promise((closed) => server.close(closed))));
  }
}
