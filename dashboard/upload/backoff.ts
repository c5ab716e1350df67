const FIRST_MS = 500;
const LONGEST_MS = 30_000;

/**
 * How long to wait before the attempt after the `failed`-th one that failed, in milliseconds: twice as long each time,
 * up to half a minute, of which a random half is left out so that parts don't all come back at the same instant.
 */
export function backoff(failed: number, random: () => number = Math.random): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** (failed - 1));
  return full / 2 + (full / 2) * random();
}

/** Waits; rejects with the signal's reason when it is aborted. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const timer = setTimeout(done, ms);
    function done() {
      signal.removeEventListener('abort', stop);
      resolve();
    }
    function stop() {
      clearTimeout(timer);
      reject(signal.reason);
    }
    signal.addEventListener('abort', stop, { once: true });
  });
}
