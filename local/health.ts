import { setTimeout as sleep } from 'node:timers/promises';
import { describeError } from '../shared/core/errors.ts';
import { LocalStackError } from './errors.ts';

/** Polling interval for a server that is starting, in milliseconds. */
const INTERVAL_MS = 100;

/**
 * Waits until `check` no longer throws. Throws LocalStackError with the last error after `deadlineMs`, or the reason
 * of `signal` if that is aborted.
 *
 * @param what  what is waited for, as the subject of a sentence
 */
export async function waitUntil(
  what: string,
  check: () => Promise<void>,
  options: { deadlineMs: number; signal: AbortSignal; remedy: string },
): Promise<void> {
  const end = Date.now() + options.deadlineMs;
  for (;;) {
    options.signal.throwIfAborted();
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > end) {
        throw new LocalStackError(
          `${what} was not ready within ${options.deadlineMs / 1000} s: ${describeError(error)}`,
          { remedy: options.remedy, cause: error },
        );
      }
    }
    await sleep(INTERVAL_MS, undefined, { signal: options.signal });
  }
}
