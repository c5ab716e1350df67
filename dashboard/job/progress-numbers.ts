import type { JobView } from '../../shared/operations/show-job.ts';

type StoreProgress = JobView['progress'][number];

/** Percentage of one store's phase that is done; undefined if its total is unknown. */
export function percentOf({ units, finished }: StoreProgress): number | undefined {
  if (finished) return 100;
  const known = Object.values(units).filter((unit) => unit.total !== undefined && unit.total > 0);
  if (known.length === 0) return undefined;
  const shares = known.map(({ done, total = 1 }) => Math.min(1, done / total));
  // Below 100 until it is finished: the last step may fail.
  return Math.min(99, Math.floor((shares.reduce((sum, share) => sum + share, 0) / shares.length) * 100));
}

/** Percentage of the phase that all stores are in; undefined if nothing is known. */
export function percentOfJob(progress: readonly StoreProgress[]): number | undefined {
  const known = progress.map(percentOf).filter((percent) => percent !== undefined);
  if (known.length === 0) return undefined;
  return Math.floor(known.reduce((sum, percent) => sum + percent, 0) / known.length);
}
