import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { InvalidInputError } from '../shared/core/errors.ts';
import { parseJson } from '../shared/core/input.ts';
import { removeFromDocker } from './docker.ts';
import { stacksFolder } from './folders.ts';
import { endGroup, isAlive, killMarked, readOfProcess, runsIn } from './processes.ts';

const Address = z.object({ uri: z.string(), username: z.string(), password: z.string() });
const addresses = z.object({
  neo4j: Address.optional(),
  qdrant: z.object({ url: z.string(), apiKey: z.string() }).optional(),
  redis: z.object({ url: z.string(), password: z.string() }).optional(),
  postgres: Address.omit({ uri: true }).extend({ url: z.string(), tls: z.boolean() }).optional(),
  aws: z
    .object({
      endpoint: z.string(),
      region: z.string(),
      accountId: z.string(),
      env: z.record(z.string(), z.string()),
    })
    .optional(),
});

/** Contents of `state.json` in a stack's folder. It contains passwords and is readable only by its owner. */
export const StackState = z.object({
  name: z.string(),
  /** The process that owns the stack: when it ends, the stack ends. */
  supervisor: z.number().int(),
  phase: z.enum(['starting', 'ready']),
  /** Whether the stack outlives the process that requested it. */
  kept: z.boolean(),
  docker: z.boolean(),
  /** The process of each server that was started here. */
  processes: z.record(z.string(), z.number().int()),
  addresses,
});
export type StackState = z.infer<typeof StackState>;

/** Names of stacks, which are used for folders and Compose projects. */
export const StackName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/, 'must be 1 to 31 of a-z, 0-9 and "-"');

export async function writeState(folder: string, state: StackState): Promise<void> {
  const path = join(folder, 'state.json');
  // Written under another name first, so that readers never see an incomplete file.
  await writeFile(`${path}.new`, JSON.stringify(state, null, 2), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/**
 * The state of a stack; undefined if there is none, for example because its folder was just created. Throws
 * InvalidInputError if it was written by another version.
 */
export async function readState(folder: string): Promise<StackState | undefined> {
  try {
    const path = join(folder, 'state.json');
    const remedy = `End the processes that it names, then remove ${folder}.`;
    return parseJson(StackState, await readFile(path, 'utf8'), path, remedy);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The names of all stacks with a folder. */
export async function stackNames(environment: NodeJS.ProcessEnv): Promise<string[]> {
  try {
    return (await readdir(stacksFolder(environment))).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Whether the owner of a stack is running: the process with its id is a supervisor, and not an unrelated later
 * process.
 */
export async function isSupervised(state: StackState): Promise<boolean> {
  if (!isAlive(state.supervisor)) return false;
  if (process.platform !== 'linux') return true;
  return (await readOfProcess(state.supervisor, 'cmdline')).split('\0').includes(state.name);
}

/** What ends a server that would leave something outside of its folder if it were killed: shared memory of PostgreSQL. */
const GENTLE_SIGNALS: Readonly<Record<string, NodeJS.Signals>> = { postgres: 'SIGQUIT' };

/**
 * Kills all processes of a stack, and removes its folder. May be called only by its owner, or after the owner has
 * ended.
 */
export async function removeStack(
  name: string,
  folder: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const state = await readState(folder);
  if (state) {
    for (const [service, pid] of Object.entries(state.processes)) {
      // Process ids are reused: only the owner knows that they are still its own.
      if (state.supervisor === process.pid || (await runsIn(pid, join(folder, service))))
        await endGroup(pid, GENTLE_SIGNALS[service]);
    }
    if (state.docker) await removeFromDocker(name, folder, environment);
  }
  while ((await killMarked(folder)) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  // A process that was just killed may have a file open, or have created one during the removal.
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

/** How long a folder may exist without a state: its owner writes one right after it has created the folder. */
const STATELESS_MS_MAX = 60_000;

/** Removes the remains of stacks whose owner was killed. */
export async function removeAbandoned(environment: NodeJS.ProcessEnv): Promise<void> {
  for (const name of await stackNames(environment)) {
    const folder = join(stacksFolder(environment), name);
    if (await isAbandoned(folder)) await removeStack(name, folder, environment);
  }
}

async function isAbandoned(folder: string): Promise<boolean> {
  try {
    const state = await readState(folder);
    if (state) return !(await isSupervised(state));
    return Date.now() - (await stat(folder)).mtimeMs > STATELESS_MS_MAX;
  } catch (error) {
    // Written by another version, whose processes are unknown; or just being removed by its owner.
    if (error instanceof InvalidInputError || (error as NodeJS.ErrnoException).code === 'ENOENT')
      return false;
    throw error;
  }
}
