import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstallContext } from '../install/install.ts';
import { runProcess } from '../processes.ts';
import type { Blueprint } from './blueprint.ts';
import { writeRecords } from './records.ts';

/** A deadline for hangs, in milliseconds. */
const TIMEOUT_MS = 30 * 60_000;

/**
 * Runs a Python program that writes the records of a knowledge base with a system's own classes. Throws LocalStackError with
 * the end of its output.
 */
export async function runWriter(
  script: string,
  args: (records: string) => readonly string[],
  blueprint: Blueprint,
  options: {
    readonly scale: number;
    readonly folder: string;
    readonly install: InstallContext;
    /** The system and its version. */
    readonly what: string;
    readonly environment: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const { folder, install, what, environment } = options;
  const records = join(folder, 'records.jsonl');
  await writeRecords(records, blueprint, { scale: options.scale, signal: install.signal });
  await runProcess('python3', [script, ...args(records)], {
    cwd: folder,
    env: { ...install.environment, PYTHONWARNINGS: 'ignore', PYTHONDONTWRITEBYTECODE: '1', ...environment },
    log: install.log,
    signal: install.signal,
    timeoutMs: TIMEOUT_MS,
    remedy: `See what ${what} says.`,
  });
  await rm(records);
}
