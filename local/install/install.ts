import { createHash } from 'node:crypto';
import { constants, createReadStream, existsSync } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { IntegrityError } from '../../shared/core/errors.ts';
import { installFolder } from '../folders.ts';
import { type ProcessOptions, runProcess } from '../processes.ts';

/** Timeout of one installer, in milliseconds: long enough for slow networks, but it ends hangs. */
const INSTALL_TIMEOUT_MS = 10 * 60_000;

/** Context of an installer. */
export interface InstallContext {
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  /** File for the output of the installers. */
  readonly log: string;
  /** Called before an actual installation, not if the program is already installed. */
  readonly onInstall: (what: string) => void;
}

/**
 * Returns the folder of an installed program, which `fill` fills the first time.
 *
 * `fill` works in a separate folder next to the final one, which is renamed when it is complete and checked. So a
 * folder with the final name is always complete, and two concurrent installations don't disturb each other.
 *
 * @param id  program, version and everything else that affects the result, such as the platform
 */
export async function installed(
  id: string,
  context: InstallContext,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(installFolder(context.environment), id);
  if (existsSync(folder)) return folder;
  context.onInstall(id);
  await mkdir(installFolder(context.environment), { recursive: true });
  const half = await mkdtemp(`${folder}.part-`);
  try {
    await fill(half);
    await rename(half, folder).catch((error: NodeJS.ErrnoException) => {
      // Another process was faster: its result is equivalent.
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
    });
  } finally {
    await rm(half, { recursive: true, force: true });
  }
  return folder;
}

/** Runs an installer such as Maven or pip. Throws LocalStackError with the end of its output. */
export function runInstaller(
  command: string,
  args: readonly string[],
  context: InstallContext,
  options: Pick<ProcessOptions, 'cwd'> & { remedy: string },
): Promise<void> {
  const { environment: env, log, signal } = context;
  return runProcess(command, args, { ...options, env, log, signal, timeoutMs: INSTALL_TIMEOUT_MS });
}

/** The SHA-256 of a file, in hexadecimal. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

/** Compares the SHA-256 of a downloaded file with its pin. Throws IntegrityError. */
export async function checkSha256(path: string, expected: string, source: string): Promise<void> {
  const found = await sha256OfFile(path);
  if (found !== expected) {
    throw new IntegrityError(`${path} from ${source} has SHA-256 ${found}; ${expected} is pinned.`, {
      remedy: `Don't run it. Find out who changed what ${source} delivers, then correct the pin in local/install/.`,
    });
  }
}

/**
 * Compares all files of a folder with a list in the format of `sha256sum`: contents as pinned, none missing, none
 * additional. Throws IntegrityError that names the first difference.
 */
export async function checkSha256List(folder: string, list: string, source: string): Promise<void> {
  const pinned = new Map(
    (await readFile(list, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => [line.slice(66), line.slice(0, 64)]),
  );
  const names = await readdir(folder);
  const difference =
    names.find((name) => !pinned.has(name)) ?? [...pinned.keys()].find((name) => !names.includes(name));
  if (difference !== undefined) {
    throw new IntegrityError(
      `${source} delivered ${names.length} files where ${pinned.size} are pinned in ${list}; the first odd one is ${difference}.`,
      { remedy: 'Find out why the set has changed, then correct the list.' },
    );
  }
  for (const [name, expected] of pinned) await checkSha256(join(folder, name), expected, source);
}

/** The path of a program on the PATH, or undefined. */
export async function findOnPath(
  program: string,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  for (const folder of (environment.PATH ?? '').split(delimiter)) {
    const path = join(folder, program);
    const executable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== '' && executable) return path;
  }
  return undefined;
}
