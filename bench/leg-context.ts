import type { LegContext } from '../shared/stores/leg.ts';

/** The context of a store that a benchmark runs in its own process: without a deadline, and silent. */
export const benchContext: LegContext = {
  jobId: 'bench',
  timeLeft: () => Number.POSITIVE_INFINITY,
  signal: new AbortController().signal,
  progress: () => undefined,
  warn: () => undefined,
  log: () => undefined,
};
