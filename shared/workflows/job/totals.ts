import { z } from 'zod';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import { SKIPPED } from './record.ts';
import type { JobSummary } from './summary.ts';

/** Upper bounds of the histogram of durations, in seconds: from an empty system to a week. */
export const DURATION_BOUNDS = [
  ...[5, 10, 30, 60, 120, 300, 600, 1200, 1800],
  ...[3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800],
] as const;

/** What jobs of one target add up to since the deployment. */
const TargetTotals = z.object({
  /** Backups that failed. */
  failures: z.number().int(),
  /** Durations of completed backups: how many in each bucket, the last one without a bound, and their sum in seconds. */
  durations: z.object({ counts: z.array(z.number().int()), seconds: z.number() }),
});
type TargetTotals = z.infer<typeof TargetTotals>;

/** Sums over jobs, by target. Counters of Prometheus: they never fall, unlike the number of records that exist. */
export const JobTotals = z.object({
  bounds: z.array(z.number()),
  targets: z.record(z.string(), TargetTotals),
});
export type JobTotals = z.infer<typeof JobTotals>;

/** Nothing yet. @param targets  that are reported even so */
export function noTotals(targets: readonly string[] = []): JobTotals {
  return {
    bounds: [...DURATION_BOUNDS],
    targets: Object.fromEntries(targets.map((target) => [target, noTargetTotals()])),
  };
}

function noTargetTotals(): TargetTotals {
  return { failures: 0, durations: { counts: [...DURATION_BOUNDS, 0].map(() => 0), seconds: 0 } };
}

/** Adds a job; jobs that still run or did nothing add nothing. */
export function addJob(totals: JobTotals, job: JobSummary): void {
  if (job.kind !== 'backup' || job.target === SELFTEST_TARGET || job.error?.name === SKIPPED) return;
  if (job.state !== 'failed' && job.state !== 'completed') return;
  const of = totals.targets[job.target] ?? noTargetTotals();
  totals.targets[job.target] = of;
  if (job.state === 'failed') {
    of.failures++;
    return;
  }
  if (job.finished_at === undefined) return;
  const seconds = Math.max(0, (Date.parse(job.finished_at) - Date.parse(job.created_at)) / 1000);
  const bucket = DURATION_BOUNDS.findIndex((bound) => seconds <= bound);
  const index = bucket === -1 ? DURATION_BOUNDS.length : bucket;
  of.durations.counts[index] = (of.durations.counts[index] ?? 0) + 1;
  of.durations.seconds += seconds;
}

/** Adds totals to others. Those of other bounds, which another version of ngbak wrote, cannot be added. */
export function addTotals(totals: JobTotals, { bounds, targets }: JobTotals): void {
  if (String(bounds) !== String(totals.bounds)) return;
  for (const [target, added] of Object.entries(targets)) {
    const of = totals.targets[target] ?? noTargetTotals();
    totals.targets[target] = of;
    of.failures += added.failures;
    of.durations.seconds += added.durations.seconds;
    of.durations.counts = of.durations.counts.map((count, i) => count + (added.durations.counts[i] ?? 0));
  }
}
