import { ExitError } from './exit-codes.ts';

/**
 * Runs work that Ctrl-C stops: it ends by the signal, cleans up after itself, and the process ends with the exit code
 * for an interruption.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const stop = () => abort.abort();
  process.once('SIGINT', stop);
  try {
    return await work(abort.signal);
  } catch (error) {
    if (!abort.signal.aborted) throw error;
    throw new ExitError('interrupted');
  } finally {
    process.off('SIGINT', stop);
  }
}
