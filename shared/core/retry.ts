/** Delays between attempts, in milliseconds. */
export interface Waits {
  /** Before the second attempt. */
  readonly firstMs: number;
  /** Upper limit of each delay. */
  readonly longestMs?: number;
  /** The ratio of each delay to the previous one. */
  readonly factor?: number;
}

export interface RetryOptions extends Waits {
  /** Maximum number of attempts, including the first. */
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the same call may succeed later; other errors are thrown at once. */
  readonly isTransient: (error: unknown) => boolean;
  /** Called before each wait. */
  readonly beforeWait?: (error: unknown) => void;
  /** Replaces {@link sleep} in tests. */
  readonly wait?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * Delay after the `failed`-th failed attempt, in milliseconds. It grows with each attempt; a random part of up to a
 * half is subtracted, so that many callers do not retry at the same instant.
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
 * Calls `work` until it succeeds, fails with an error that is not transient, or has used all attempts. Throws its
 * last error, or the signal's reason. The only place that retries calls, on servers, in the CLI and in the browser.
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
