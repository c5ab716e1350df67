/** Exit code that a shell reports for a program that was ended by Ctrl-C: 128 and the number of SIGINT. */
export const INTERRUPTED_EXIT_CODE = 130;

/** A signal ended a program. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
}

/**
 * Runs a program's work with a signal that is aborted by the first Ctrl-C, SIGTERM or SIGHUP, so that `finally`
 * blocks can clean up. A second one has no effect during the cleanup, because a terminal and npm may both deliver the
 * first.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const handlers = names.map((name) => {
    const handler = () => controller.abort(new InterruptedError(`Interrupted by ${name}.`));
    process.on(name, handler);
    return [name, handler] as const;
  });
  try {
    return await work(controller.signal);
  } finally {
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}
