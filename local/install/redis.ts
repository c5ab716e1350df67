import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalStackError } from '../errors.ts';
import { VERSIONS } from '../versions.ts';
import { checkSha256, findOnPath, type InstallContext, installed, runInstaller } from './install.ts';

/** Where the server is, and the libraries that it needs besides the system's. */
export interface RedisProgram {
  readonly path: string;
  readonly libraries?: string;
}

/**
 * Debian's packages on x64 with their SHA-256. Debian removes a version when it has a newer one; then that is taken,
 * and Debian's signature, which apt checks in any case, is what vouches for it.
 */
const PINNED: Record<string, string> = {
  'redis-server_5%3a7.0.15-1~deb12u10_amd64.deb':
    '784e17b51024ff878fd7d709a68346658fa9b21f6de740cb75e474f28790971c',
  'redis-tools_5%3a7.0.15-1~deb12u10_amd64.deb':
    'f791cfcbf3054832bd6e786546acb0d4e046888f8e63bcf567c1c65fbfaf69e2',
  'libjemalloc2_5.3.0-1_amd64.deb': 'a4117c23c5c8acf6c9678a6cb086f000b79476369da7efe8a78a70826956ad3d',
  'liblzf1_3.6-3_amd64.deb': '9854b0866201b63e04f1e446f45f01ef4a6f72c61f2250b75f944f6046cc7e8c',
};
const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1'];
const REMEDY =
  'Install redis-server or valkey-server so that it is on the PATH, start Docker, or set REDIS_URL.';

/** Finds a Redis or Valkey server on the PATH, or unpacks Debian's: no service is installed or started. */
export async function installRedis(context: InstallContext): Promise<RedisProgram> {
  const onPath =
    (await findOnPath('redis-server', context.environment)) ??
    (await findOnPath('valkey-server', context.environment));
  if (onPath) return { path: onPath };
  if (
    process.platform !== 'linux' ||
    process.arch !== 'x64' ||
    !(await findOnPath('apt-get', context.environment))
  ) {
    throw new LocalStackError(
      'There is no redis-server or valkey-server, and no Debian package for this machine.',
      {
        remedy: REMEDY,
      },
    );
  }
  const folder = await installed(
    `redis-${VERSIONS.redis.replace(/[^\w.-]/g, '_')}`,
    context,
    async (half) => {
      await download(half, context);
      for (const archive of await readdir(half)) {
        if (!archive.endsWith('.deb')) continue;
        const pinned = PINNED[archive];
        if (pinned) await checkSha256(join(half, archive), pinned, `Debian package ${archive}`);
        else context.onInstall(`${archive}: not the pinned version, vouched for by Debian's signature`);
        await runInstaller('dpkg', ['-x', archive, 'root'], context, { cwd: half, remedy: REMEDY });
      }
    },
  );
  return {
    path: join(folder, 'root/usr/bin/redis-server'),
    libraries: join(folder, 'root/usr/lib/x86_64-linux-gnu'),
  };
}

/** Downloads by apt, which checks Debian's signature. The lists of a fresh machine or image may be empty or old. */
async function download(folder: string, context: InstallContext): Promise<void> {
  const pinned = PACKAGES.map((name) => (name.startsWith('redis-') ? `${name}=${VERSIONS.redis}` : name));
  const apt = (...args: string[]) =>
    runInstaller('apt-get', ['-q', ...args], context, { cwd: folder, remedy: REMEDY });
  // Lists of our own: needs no root, and leaves the machine's as they are.
  const own = [`-oDir::State::lists=${folder}/lists`, `-oDir::Cache=${folder}/cache`];
  const attempts = [
    () => apt('download', ...pinned),
    async () => {
      for (const name of ['lists/partial', 'cache/archives/partial']) {
        await mkdir(join(folder, name), { recursive: true });
      }
      await apt(...own, 'update');
      await apt(...own, 'download', ...pinned);
    },
    () => apt(...own, 'download', ...PACKAGES),
  ];
  for (const [i, attempt] of attempts.entries()) {
    try {
      await attempt();
      break;
    } catch (error) {
      if (!(error instanceof LocalStackError) || i === attempts.length - 1) throw error;
    }
  }
  for (const name of ['lists', 'cache']) await rm(join(folder, name), { recursive: true, force: true });
}
