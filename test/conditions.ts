import { execFileSync } from 'node:child_process';
import { describe, test } from '@jest/globals';

/**
 * Marks the names of tests that this machine cannot run. test/run.ts counts those tests as skipped and prints why, so
 * that a run that proves less says so. Tests use these functions in place of `test.skip`.
 */
export const SKIPPED = /\[skipped: (.*?)\]/;

/** `test` where there is no reason to skip it; else a test that is skipped for that reason. */
export function testUnless(
  reason: string | undefined,
  name: string,
  run: () => Promise<void> | void,
  timeoutMs?: number,
): void {
  if (reason === undefined) test(name, run, timeoutMs);
  else test.skip(`${name} [skipped: ${reason}]`, run, timeoutMs);
}

/** `describe` where there is no reason to skip its tests; else all of them are skipped for that reason. */
export function describeUnless(reason: string | undefined, name: string, define: () => void): void {
  if (reason === undefined) describe(name, define);
  else describe.skip(`${name} [skipped: ${reason}]`, define);
}

/** Why a test that needs this program cannot run here; undefined where the program works. */
export function missing(program: string, versionFlag = '--version'): string | undefined {
  try {
    execFileSync(program, [versionFlag], { stdio: 'ignore' });
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${program} is not on the PATH` : `${program} ${versionFlag} fails`;
  }
}
