import { execFileSync } from 'node:child_process';
import { describe, test } from '@jest/globals';
import { markSkipped } from './skipped.ts';

/**
 * `test` without a reason to skip it; otherwise a test that is skipped for that reason. Use it instead of `test.skip`.
 */
export function testUnless(
  reason: string | undefined,
  name: string,
  run: () => Promise<void> | void,
  timeoutMs?: number,
): void {
  if (reason === undefined) test(name, run, timeoutMs);
  else test.skip(markSkipped(name, reason), run, timeoutMs);
}

/** `describe` without a reason to skip its tests; otherwise all of them are skipped for that reason. */
export function describeUnless(reason: string | undefined, name: string, define: () => void): void {
  if (reason === undefined) describe(name, define);
  else describe.skip(markSkipped(name, reason), define);
}

/** Why a test that needs this program cannot run here; undefined if the program works. */
export function missing(program: string, versionFlag = '--version'): string | undefined {
  try {
    execFileSync(program, [versionFlag], { stdio: 'ignore' });
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? `${program} is not on the PATH` : `${program} ${versionFlag} fails`;
  }
}

/** Why a test that needs this version of Python cannot run here; undefined if `python3` is recent enough. */
export function pythonOlderThan(major: number, minor: number): string | undefined {
  const code = `import sys; sys.exit(0 if sys.version_info >= (${major}, ${minor}) else 1)`;
  try {
    execFileSync('python3', ['-c', code], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `python3 is not Python ${major}.${minor} or later`;
  }
}
