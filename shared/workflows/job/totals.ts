import { z } from 'zod';
import { isRollbackJob } from '../../core/job-kinds.ts';
import { SELFTEST_TARGET } from '../../core/selftest.ts';
import { SKIPPED } from './record.ts';
import type { JobSummary } from './summary.ts';

/** Upper bounds of the histogram of durations, in seconds: from an empty system to a week. */
export const DURATION_BOUNDS = [
  ...[5, 10, 30, 60, 120, 300, 600, 1200, 1800],
  ...[3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800],
] as const;

/** What jobs of one kind add up to since the deployment. */
const KindTotals = z.object({
  /** How many failed. */
  failures: z.number().int(),
  /** Durations of completed ones: how many in each bucket, the last one without a bound, and their sum in seconds. */
  durations: z.object({ counts: z.array(z.number().int()), seconds: z.number() }),
});
type KindTotals = z.infer<typeof KindTotals>;

/** Of one target: its backups, and its restores, which totals of earlier versions do not have. */
const TargetTotals = KindTotals.extend({ restores: KindTotals.prefault(noKindTotals) });

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

function noKindTotals(): KindTotals {
  return { failures: 0, durations: { counts: [...DURATION_BOUNDS, 0].map(() => 0), seconds: 0 } };
}

function noTargetTotals() {
  return { ...noKindTotals(), restores: noKindTotals() };
}

/** Adds a job; jobs that still run or did nothing add nothing. Rollbacks count as the failure of what they roll back. */
export function addJob(totals: JobTotals, job: JobSummary): void {
  if (job.target === SELFTEST_TARGET || job.error?.name === SKIPPED || isRollbackJob(job.job_id)) return;
  // A rehearsal may be throttled, and its failure leaves every target as it was.
  if (job.kind === 'drill') return;
  const failed = job.state === 'failed' || job.state === 'rolled_back';
  if (!failed && job.state !== 'completed') return;
  const target = totals.targets[job.target] ?? noTargetTotals();
  totals.targets[job.target] = target;
  const kind = job.kind === 'backup' ? target : target.restores;
  if (failed) kind.failures++;
  const seconds = failed ? undefined : secondsOf(job);
  if (seconds === undefined) return;
  const bucket = DURATION_BOUNDS.findIndex((bound) => seconds <= bound);
  const index = bucket === -1 ? DURATION_BOUNDS.length : bucket;
  kind.durations.counts[index] = (kind.durations.counts[index] ?? 0) + 1;
  kind.durations.seconds += seconds;
}

/** How long a job worked, in seconds. Of a restore without the wait for confirmation; undefined for a dry run. */
function secondsOf({ kind, created_at, finished_at, proved }: JobSummary): number | undefined {
  if (kind === 'restore') return proved?.seconds;
  if (finished_at === undefined) return undefined;
  return Math.max(0, (Date.parse(finished_at) - Date.parse(created_at)) / 1000);
}

/** Adds totals to others. Those of other bounds, which another version of ngbak wrote, cannot be added. */
export function addTotals(totals: JobTotals, { bounds, targets }: JobTotals): void {
  if (String(bounds) !== String(totals.bounds)) return;
  for (const [target, added] of Object.entries(targets)) {
    const to = totals.targets[target] ?? noTargetTotals();
    totals.targets[target] = to;
    addKind(to, added);
    addKind(to.restores, added.restores);
  }
}

function addKind(to: KindTotals, { failures, durations }: KindTotals): void {
  to.failures += failures;
  to.durations.seconds += durations.seconds;
  to.durations.counts = to.durations.counts.map((count, i) => count + (durations.counts[i] ?? 0));
}
