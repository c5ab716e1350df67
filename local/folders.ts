import { join, resolve } from 'node:path';

/** The checkout. */
export const ROOT = resolve(import.meta.dirname, '..');

/**
 * The folder for everything that the local stack installs or writes: `.local/` in the checkout, which git ignores, or
 * the folder in NGBAK_LOCAL_DIR.
 */
export function localFolder(environment: NodeJS.ProcessEnv = process.env): string {
  return resolve(environment.NGBAK_LOCAL_DIR || join(ROOT, '.local'));
}

/** Installed programs, shared by all stacks. Can be deleted while no stack is running. */
export function installFolder(environment?: NodeJS.ProcessEnv): string {
  return join(localFolder(environment), 'install');
}

/** One folder for each running stack: its data, `logs/`, `tmp/` and `state.json`. */
export function stacksFolder(environment?: NodeJS.ProcessEnv): string {
  return join(localFolder(environment), 'stacks');
}
