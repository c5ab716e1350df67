import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { LocalStackError } from './errors.ts';
import { localFolder } from './folders.ts';
import { isAlive } from './processes.ts';

/**
 * Free ports are searched below 32768, the start of Linux's range for outgoing connections
 * (net.ipv4.ip_local_port_range), so that no client takes a port between the check and the server's start.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 31_999;
const ATTEMPTS = 200;

/**
 * Finds this many different free TCP ports of 127.0.0.1 that no other process of this checkout has claimed. They stay
 * claimed until this process ends. Throws LocalStackError.
 */
export async function freePorts(count: number): Promise<number[]> {
  const claims = join(localFolder(), 'ports');
  await mkdir(claims, { recursive: true });
  await removeStaleClaims(claims);
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
      // Random, so that stacks that start at the same moment try different ports.
      const port = randomInt(FIRST_PORT, LAST_PORT + 1);
      if (servers.has(port)) continue;
      const server = createServer();
      server.listen(port, '127.0.0.1');
      const free = await Promise.race([
        once(server, 'listening').then(() => true),
        once(server, 'error').then(() => false),
      ]).catch(() => false);
      if (!free) continue;
      if (await claim(join(claims, String(port)))) servers.set(port, server);
      else server.close();
    }
    return [...servers.keys()];
  } finally {
    await Promise.all([...servers.values()].map((server) => new Promise((closed) => server.close(closed))));
  }
}

/** Claims a port for this process, with a file that only one process can create. */
async function claim(file: string): Promise<boolean> {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

/** Releases the ports of processes that have ended. */
async function removeStaleClaims(claims: string): Promise<void> {
  for (const name of await readdir(claims)) {
    // Another process may remove it first; an empty file is still being written.
    const pid = await readFile(join(claims, name), 'utf8').catch(() => '');
    if (pid !== '' && !isAlive(Number(pid))) await rm(join(claims, name), { force: true });
  }
}
