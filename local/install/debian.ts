import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalStackError } from '../errors.ts';
import { checkSha256, findOnPath, type InstallContext, installed, runInstaller } from './install.ts';

/** A package of Debian 12 on x64. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

/** Library folders of Debian 12 packages, relative to the folder into which they are unpacked. */
export const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'lib/x86_64-linux-gnu'];

/**
 * Downloads Debian packages, unpacks them into a folder, and returns it: nothing in the system changes, and no
 * service starts. Debian removes a version when a newer one is released. The newer one is installed then; its
 * authenticity is guaranteed by Debian's signature, which apt always checks.
 *
 * Throws LocalStackError on machines other than Debian on x64, with a remedy.
 *
 * @param finish  called once with the folder when it is complete
 */
export async function installDebian(
  id: string,
  packages: readonly DebianPackage[],
  context: InstallContext,
  { remedy, finish }: { readonly remedy: string; readonly finish?: (root: string) => Promise<void> },
): Promise<string> {
  const supported = process.platform === 'linux' && process.arch === 'x64';
  if (!supported || !(await findOnPath('apt-get', context.environment))) {
    throw new LocalStackError(`There is no Debian package of ${id} for this machine.`, { remedy });
  }
  const folder = await installed(id, context, async (half) => {
    await download(half, packages, context, remedy);
    const pins = new Map(packages.map((each) => [fileName(each), each.sha256]));
    for (const archive of await readdir(half)) {
      if (!archive.endsWith('.deb')) continue;
      const pinned = pins.get(archive);
      if (pinned) await checkSha256(join(half, archive), pinned, `Debian package ${archive}`);
      else context.onInstall(`${archive}: not the pinned version, vouched for by Debian's signature`);
      await runInstaller('dpkg', ['-x', archive, 'root'], context, { cwd: half, remedy });
      await rm(join(half, archive));
    }
    await finish?.(join(half, 'root'));
  });
  return join(folder, 'root');
}

/** The name of a package's file, in apt's notation. */
function fileName({ name, version }: DebianPackage): string {
  return `${name}_${version.replaceAll(':', '%3a')}_amd64.deb`;
}

/** Downloads with apt, which checks Debian's signature. The lists of a fresh machine or image may be empty or old. */
async function download(
  folder: string,
  packages: readonly DebianPackage[],
  context: InstallContext,
  remedy: string,
): Promise<void> {
  const pinned = packages.map(({ name, version }) => `${name}=${version}`);
  const newest = packages.map(({ name }) => name);
  const apt = (...args: string[]) =>
    runInstaller('apt-get', ['-q', ...args], context, { cwd: folder, remedy });
  // Separate lists: requires no root, and leaves the machine's lists unchanged.
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
    () => apt(...own, 'download', ...newest),
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
