import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { installFolder } from '../folders.ts';
import { VERSIONS } from '../versions.ts';
import { type InstallContext, installed, runInstaller } from './install.ts';

const MODULE = 'github.com/versity/versitygw/cmd/versitygw';
const ID = `versitygw-${VERSIONS.versitygw}`;

/** Whether versitygw is already installed, so that Go is not needed. */
export function hasVersitygw(environment: NodeJS.ProcessEnv): boolean {
  return existsSync(join(installFolder(environment), ID));
}

/**
 * Builds versitygw, an S3 server, with the Go of this machine. Returns its path. Go verifies the checksum of every
 * module.
 */
export async function installVersitygw(context: InstallContext): Promise<string> {
  const folder = await installed(ID, context, (half) =>
    runInstaller(
      'go',
      ['install', `${MODULE}@v${VERSIONS.versitygw}`],
      { ...context, environment: { ...context.environment, GOBIN: half } },
      { cwd: half, remedy: 'See what Go says; NGBAK_TEST_NO_GO=1 skips the tests that need it.' },
    ),
  );
  return join(folder, 'versitygw');
}
