import { useCallback, useEffect, useRef, useState } from 'react';
import { ApiError } from './api.ts';

/** Longest delay between two attempts while calls fail, in milliseconds. */
const BACKOFF_MS_MAX = 60_000;
/** First delay after a failed call, in milliseconds; each further one doubles it. */
const BACKOFF_MS = 2000;

/** Loaded data and its state. Data stays while newer data is loaded, also if that fails. */
export interface Loaded<T> {
  readonly data?: T;
  /** The error of the last attempt. */
  readonly error?: ApiError;
  /** An attempt is in progress. */
  readonly loading: boolean;
  /** Loads at once. */
  reload(): void;
  /** Replaces the data with newer data, such as the response to a change. */
  replace(data: T): void;
}

interface State<T> {
  readonly key: string;
  readonly data?: T;
  readonly error?: ApiError;
  readonly loading: boolean;
}

/**
 * Loads data for a page and, with `every`, reloads it: not while the tab is hidden or the computer offline, and with
 * exponential backoff while calls fail. The data of another `key` is never shown.
 *
 * @param key    identifies the data: a change loads it again; undefined loads nothing
 * @param every  milliseconds between two loads, or a function of the data that returns them; undefined: only once
 */
export function useData<T>(
  key: string | undefined,
  load: (signal: AbortSignal) => Promise<T>,
  every?: number | ((data: T) => number | undefined),
): Loaded<T> {
  const [state, setState] = useState<State<T>>({ key: key ?? '', loading: key !== undefined });
  const [attempt, setAttempt] = useState(0);
  const latest = useRef({ load, every });
  latest.current = { load, every };

  // biome-ignore lint/correctness/useExhaustiveDependencies: `attempt` triggers another load
  useEffect(() => {
    if (key === undefined) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    /** Whether the next load waits until the tab is visible or the network is back. */
    let waiting = false;

    const later = (ms: number) => {
      timer = setTimeout(() => {
        if (document.hidden || !navigator.onLine) waiting = true;
        else void run();
      }, ms);
    };
    const run = async () => {
      waiting = false;
      setState((old) => ({ ...(old.key === key ? old : {}), key, loading: true }));
      try {
        const data = await latest.current.load(abort.signal);
        if (abort.signal.aborted) return;
        failures = 0;
        setState({ key, data, loading: false });
        const pause = latest.current.every;
        const ms = typeof pause === 'function' ? pause(data) : pause;
        if (ms !== undefined) later(ms);
      } catch (error) {
        if (abort.signal.aborted) return;
        const problem = asApiError(error);
        setState((old) => ({ ...old, key, error: problem, loading: false }));
        // A refusal is permanent; a failed transfer may succeed next time.
        if (problem.status === 0 || problem.status === 429 || problem.status >= 500) {
          later(Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** failures++));
        }
      }
    };
    const resume = () => {
      if (waiting && !document.hidden && navigator.onLine) void run();
    };
    document.addEventListener('visibilitychange', resume);
    addEventListener('online', resume);
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', resume);
      removeEventListener('online', resume);
    };
  }, [key, attempt]);

  const reload = useCallback(() => setAttempt((count) => count + 1), []);
  const replace = useCallback((data: T) => setState((old) => ({ ...old, data })), []);
  // The render before the effect still has the state of the old key.
  const own = state.key === key ? state : { loading: key !== undefined };
  return { ...own, reload, replace };
}

/** Any thrown value as an error that pages show: an error in the dashboard itself is reported unchanged. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError({
    status: -1,
    title: 'Error in this page',
    detail: error instanceof Error ? error.message : String(error),
    remedy: 'Reload the page. If this happens again, please report it.',
  });
}
