import { join } from 'node:path';
import { VERSIONS } from '../versions.ts';
import { type DebianPackage, installDebian } from './debian.ts';
import { findOnPath, type InstallContext } from './install.ts';

/** Path of the server, and the libraries that it needs in addition to the system's. */
export interface RedisProgram {
  readonly path: string;
  readonly libraries?: string;
}

const PACKAGES: readonly DebianPackage[] = [
  {
    name: 'redis-server',
    version: VERSIONS.redis,
    sha256: '784e17b51024ff878fd7d709a68346658fa9b21f6de740cb75e474f28790971c',
  },
  {
    name: 'redis-tools',
    version: VERSIONS.redis,
    sha256: 'f791cfcbf3054832bd6e786546acb0d4e046888f8e63bcf567c1c65fbfaf69e2',
  },
  {
    name: 'libjemalloc2',
    version: '5.3.0-1',
    sha256: 'a4117c23c5c8acf6c9678a6cb086f000b79476369da7efe8a78a70826956ad3d',
  },
  {
    name: 'liblzf1',
    version: '3.6-3',
    sha256: '9854b0866201b63e04f1e446f45f01ef4a6f72c61f2250b75f944f6046cc7e8c',
  },
];
const REMEDY =
  'Install redis-server or valkey-server so that it is on the PATH, start Docker with NGBAK_LOCAL_DOCKER=1, or set REDIS_URL.';

/** Finds a Redis or Valkey server on the PATH, or unpacks Debian's: no service is installed or started. */
export async function installRedis(context: InstallContext): Promise<RedisProgram> {
  const onPath =
    (await findOnPath('redis-server', context.environment)) ??
    (await findOnPath('valkey-server', context.environment));
  if (onPath) return { path: onPath };
  const id = `redis-${VERSIONS.redis.replace(/[^\w.-]/g, '_')}`;
  const root = await installDebian(id, PACKAGES, context, { remedy: REMEDY });
  return { path: join(root, 'usr/bin/redis-server'), libraries: join(root, 'usr/lib/x86_64-linux-gnu') };
}
