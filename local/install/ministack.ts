import { join } from 'node:path';
import { ROOT } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { type InstallContext, installed, runInstaller } from './install.ts';
import { pythonInstaller } from './prerequisites.ts';

/** Where the emulator's Python packages are: the folder that PYTHONPATH must name. */
export async function installMinistack(context: InstallContext): Promise<string> {
  const requirements = join(ROOT, 'local/pins/ministack-requirements.txt');
  const folder = await installed(`ministack-${VERSIONS.ministack}-${process.arch}`, context, async (half) => {
    const options = { cwd: half, remedy: 'See what pip says; it needs PyPI or a mirror of it.' };
    let pip = ['python3', '-m', 'pip'];
    if ((await pythonInstaller(context.environment)) === 'venv') {
      await runInstaller('python3', ['-m', 'venv', 'venv'], context, options);
      pip = ['venv/bin/python', '-m', 'pip'];
    }
    const [command = 'python3', ...args] = pip;
    const strict = [
      '--require-hashes',
      '--only-binary=:all:',
      '--no-deps',
      '--disable-pip-version-check',
      '--no-input',
    ];
    await runInstaller(
      command,
      [...args, 'install', '--quiet', ...strict, '--target', 'packages', '-r', requirements],
      context,
      options,
    );
  });
  return join(folder, 'packages');
}
