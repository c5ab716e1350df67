import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { installRedis } from '../install/redis.ts';
import {
  CHECK_TIMEOUT_MS,
  installContext,
  type RedisAddress,
  type ServiceContext,
  startServer,
} from './service.ts';

/** Starts a Redis or Valkey server with this password, on this port of 127.0.0.1. It writes nothing to disk. */
export async function startRedis(
  context: ServiceContext,
  port: number,
  password: string,
): Promise<RedisAddress> {
  const program = await installRedis(installContext('redis', context));
  const folder = join(context.folder, 'redis');
  await mkdir(folder, { recursive: true });
  // In a file and not on the command line, where every user of the machine could read the password.
  const configuration = join(folder, 'redis.conf');
  await writeFile(
    configuration,
    `bind 127.0.0.1
port ${port}
requirepass ${password}
dir "${folder}"
save ""
appendonly no
daemonize no
`,
    { mode: 0o600 },
  );
  const address = { url: `redis://127.0.0.1:${port}`, password };
  await startServer('redis', context, {
    command: program.path,
    args: [configuration],
    env: program.libraries === undefined ? {} : { LD_LIBRARY_PATH: program.libraries },
    check: () => checkRedis(address),
  });
  return address;
}

/** Throws unless the server answers with this password. */
export async function checkRedis({ url, password }: RedisAddress): Promise<void> {
  const redis = new Redis(url, {
    ...(password === '' ? {} : { password }),
    lazyConnect: true,
    connectTimeout: CHECK_TIMEOUT_MS,
    commandTimeout: CHECK_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // The same errors reject `connect` and `ping`; without a listener ioredis would also print them.
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
