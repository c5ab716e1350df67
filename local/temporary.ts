import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localFolder } from './folders.ts';
import { isAlive } from './processes.ts';

/** Programs create sockets below TMPDIR, whose paths Linux limits to 107 bytes: the rest is for their names. */
const PATH_BYTES_MAX = 60;
const PREFIX = 'ngbak-run-';

/**
 * Runs a program's work with its own temporary directory, for itself and for everything that it starts, and removes
 * it at the end in any case: many programs leave files there, especially if they are killed. The remains of a program
 * that was itself killed are removed by the next one.
 */
export async function withTemporaryFolder<T>(
  work: () => Promise<T>,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<T> {
  const own = join(localFolder(environment), 'tmp');
  const base = Buffer.byteLength(own) > PATH_BYTES_MAX ? tmpdir() : own;
  await mkdir(base, { recursive: true });
  await removeAbandoned(base);
  const folder = await mkdtemp(join(base, `${PREFIX}${process.pid}-`));
  const before = { TMPDIR: environment.TMPDIR, CDK_HOME: environment.CDK_HOME };
  // Otherwise the CDK CLI keeps a cache in HOME.
  Object.assign(environment, { TMPDIR: folder, CDK_HOME: join(folder, 'cdk') });
  try {
    return await work();
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete environment[name];
      else environment[name] = value;
    }
    await remove(folder);
  }
}

async function removeAbandoned(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    const [, pid] = new RegExp(`^${PREFIX}(\\d+)-`).exec(name) ?? [];
    if (pid !== undefined && !isAlive(Number(pid))) await remove(join(base, name));
  }
}

/** Programs that have just been killed may still write into it. */
function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}
