/** How long to wait between tries, in milliseconds. */
export interface Waits {
  /** Before the second try. */
  readonly firstMs: number;
  /** At most. */
  readonly longestMs?: number;
  /** By what each wait is longer than the one before it. */
  readonly factor?: number;
}

export interface RetryOptions extends Waits {
  /** Most tries, the first one included. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the same call may succeed later; other errors are thrown at once. */
  readonly isTransient: (error: unknown) => boolean;
  /** Called before each wait. */
  readonly beforeWait?: (error: unknown) => void;
  /** In place of {@link sleep}, for tests. */
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * How long to wait after the `failed`-th try that failed, in milliseconds: longer each time, of which a random part of up
 * to a half is left out, so that many callers do not all come back at the same instant.
 */
export function backoff(
  failed: number,
  { firstMs, longestMs = Number.POSITIVE_INFINITY, factor = 2 }: Waits,
  random: () => number = Math.random,
): number {
  const full = Math.min(longestMs, firstMs * factor ** Math.max(0, failed - 1));
  return full / 2 + (full / 2) * random();
}

/** Waits; rejects with the signal's reason when it is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, ms);
    function done() {
      signal?.removeEventListener('abort', stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal?.reason);
    }
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/**
 * Calls `work` until it succeeds, fails in a way that waiting does not repair, or has failed too often. Throws its last
 * error, or the signal's reason. The only place that repeats calls, on servers, in the CLI and in the browser.
 */
export async function retry<T>(
  work: (attempt: number) => Promise<T>,
  { attempts, signal, isTransient, beforeWait, wait = sleep, ...waits }: RetryOptions,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt >= attempts || !isTransient(error)) throw error;
      beforeWait?.(error);
      await wait(backoff(attempt, waits), signal);
    }
  }
}
