import { z } from 'zod';
import { PHASES, Progress } from '../workflows/job/progress.ts';

/** The progress of one store in its current phase. */
export const StoreProgress = z.object({
  store: Progress.shape.store,
  phase: z.enum(PHASES),
  finished: z.boolean(),
  /** By unit, summed over the store's shards. `total` and `remaining_seconds` are absent if unknown. */
  units: z.record(
    z.string(),
    z.object({
      done: z.number(),
      total: z.number().optional(),
      /** Average per second since the phase began. */
      rate: z.number().optional(),
      remaining_seconds: z.number().optional(),
    }),
  ),
  started_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export type StoreProgress = z.infer<typeof StoreProgress>;

/** Combines the shards of each store: the newest phase of each store, in the order in which the stores began. */
export function summarizeProgress(parts: readonly Progress[]): StoreProgress[] {
  const groups = Map.groupBy(parts, ({ store }) => store);
  return [...groups.values()]
    .map(newestPhase)
    .sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
}

function newestPhase(parts: readonly Progress[]): StoreProgress {
  const newest = parts.reduce((a, b) => (Date.parse(b.started_at) > Date.parse(a.started_at) ? b : a));
  const same = parts.filter(({ phase }) => phase === newest.phase);
  const started = Math.min(...same.map(({ started_at }) => Date.parse(started_at)));
  const updated = Math.max(...same.map(({ updated_at }) => Date.parse(updated_at)));
  const finished = same.every((part) => part.finished);
  const seconds = (updated - started) / 1000;
  const units: StoreProgress['units'] = {};
  for (const unit of new Set(same.flatMap((part) => Object.keys(part.units)))) {
    const counted = same.flatMap((part) => part.units[unit] ?? []);
    const done = counted.reduce((sum, part) => sum + part.done, 0);
    const known = counted.every((part) => part.total !== undefined);
    // Totals are estimates, and stores change: for a finished phase, the total is the number done.
    const total = known
      ? counted.reduce((sum, part) => sum + (finished ? part.done : Math.max(part.done, part.total ?? 0)), 0)
      : undefined;
    const rate = seconds > 0 && done > 0 ? done / seconds : undefined;
    const remainingSeconds =
      total === undefined || rate === undefined ? undefined : Math.max(0, total - done) / rate;
    units[unit] = {
      done,
      ...(total === undefined ? {} : { total }),
      ...(rate === undefined ? {} : { rate }),
      ...(remainingSeconds === undefined || finished
        ? {}
        : { remaining_seconds: Math.ceil(remainingSeconds) }),
    };
  }
  return {
    store: newest.store,
    phase: newest.phase,
    finished,
    units,
    started_at: new Date(started).toISOString(),
    updated_at: new Date(updated).toISOString(),
  };
}
