import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installGraphragClients } from '../../../local/install/python.ts';

/** Runs a script of this folder and returns the last line of its output. */
export type PythonClient = (
  args: readonly string[],
  environment?: NodeJS.ProcessEnv,
  cwd?: string,
) => Promise<string>;

/**
 * A script that uses the classes of a GraphRAG system as an application would. The packages are downloaded from PyPI the
 * first time, 200 MB of them.
 *
 * @param install installs the packages that it needs; by default nano-graphrag and LightRAG
 */
export async function pythonClient(script: string, install = installGraphragClients): Promise<PythonClient> {
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-clients-'));
  try {
    const packages = await install({
      environment: process.env,
      signal: new AbortController().signal,
      log: join(folder, 'install.log'),
      onInstall: () => undefined,
    });
    return async (args, environment = {}, cwd = tmpdir()) => {
      const env = { ...process.env, ...environment, PYTHONPATH: packages, PYTHONWARNINGS: 'ignore' };
      const { stdout } = await promisify(execFile)('python3', [join(import.meta.dirname, script), ...args], {
        cwd,
        env,
        maxBuffer: 16 * 1024 ** 2,
      });
      return stdout.trim().split('\n').at(-1) ?? '';
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}
