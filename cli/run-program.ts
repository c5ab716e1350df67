import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { InvalidInputError } from '../shared/core/errors.ts';

const ROOT = resolve(import.meta.dirname, '..');
const BINARIES = join(ROOT, 'node_modules/.bin');

/** Throws InvalidInputError if these folders of the repository do not exist, since only the CLI is installed. */
export function requireCheckout(...folders: readonly string[]): void {
  const missing = folders.find((folder) => !existsSync(join(ROOT, folder)));
  if (missing === undefined) return;
  throw new InvalidInputError(`This command needs the folder ${missing}/ of the ngbak repository.`, {
    remedy: 'Run it in a checkout: `npm run ngbak -- …`.',
  });
}

/**
 * Runs a program of the repository in its folder, with this Node first on the PATH, and returns its exit code. Its
 * output is that of this process; with `quietly`, its output is sent to stderr, so that stdout has results only. Ctrl-C
 * reaches it from the terminal; other signals are forwarded.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: { readonly quietly?: boolean } = {},
): Promise<number> {
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, PATH: `${BINARIES}${delimiter}${process.env.PATH ?? ''}` },
    stdio: ['inherit', options.quietly ? process.stderr : 'inherit', 'inherit'],
  });
  const wait = () => undefined;
  const handOn = () => child.kill('SIGTERM');
  process.on('SIGINT', wait);
  process.on('SIGTERM', handOn);
  try {
    return await new Promise((done, fail) => {
      child.once('error', fail);
      child.once('close', (code, signal) => done(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    process.off('SIGINT', wait);
    process.off('SIGTERM', handOn);
  }
}

/** Runs a TypeScript program of the repository with this Node. */
export function runScript(script: string, args: readonly string[]): Promise<number> {
  return runProgram(process.execPath, ['--disable-warning=ExperimentalWarning', join(ROOT, script), ...args]);
}
