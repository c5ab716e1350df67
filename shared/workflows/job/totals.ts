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

/** Totals of the jobs of one kind since the deployment. */
const KindTotals = z.object({
  /** Number of failed jobs. */
  failures: z.number().int(),
  /**
   * Durations of completed jobs: the number in each bucket, of which the last one is unbounded, and the sum in seconds.
   */
  durations: z.object({ counts: z.array(z.number().int()), seconds: z.number() }),
});
type KindTotals = z.infer<typeof KindTotals>;

/** Totals of one target: backups; and restores and drills, which are absent in totals of earlier versions. */
const TargetTotals = KindTotals.extend({
  restores: KindTotals.prefault(noKindTotals),
  drills: KindTotals.prefault(noKindTotals),
});

/**
 * Sums over jobs, by target. These are Prometheus counters: they never decrease, unlike the number of existing records.
 */
export const JobTotals = z.object({
  bounds: z.array(z.number()),
  targets: z.record(z.string(), TargetTotals),
});
export type JobTotals = z.infer<typeof JobTotals>;

/**
 * Empty totals.
 *
 * @param targets  targets to report even without jobs
 */
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
  return { ...noKindTotals(), restores: noKindTotals(), drills: noKindTotals() };
}

/**
 * Adds a job. Jobs that are running or did nothing are ignored. A rollback is not counted itself: the restore that it
 * undoes counts as failed.
 */
export function addJob(totals: JobTotals, job: JobSummary): void {
  if (job.target === SELFTEST_TARGET || job.error?.name === SKIPPED || isRollbackJob(job.job_id)) return;
  const failed = job.state === 'failed' || job.state === 'rolled_back';
  if (!failed && job.state !== 'completed') return;
  const target = totals.targets[job.target] ?? noTargetTotals();
  totals.targets[job.target] = target;
  // Drills are counted separately: they may be throttled, and their failures leave every target unchanged.
  const kind = { backup: target, restore: target.restores, drill: target.drills }[job.kind];
  if (failed) kind.failures++;
  const seconds = failed ? undefined : secondsOf(job);
  if (seconds === undefined) return;
  const bucket = DURATION_BOUNDS.findIndex((bound) => seconds <= bound);
  const index = bucket === -1 ? DURATION_BOUNDS.length : bucket;
  kind.durations.counts[index] = (kind.durations.counts[index] ?? 0) + 1;
  kind.durations.seconds += seconds;
}

/**
 * Duration of a job in seconds. For a restore, without the wait for confirmation; undefined for a dry run, and for a
 * rehearsal, which restores nothing.
 */
function secondsOf({ kind, created_at, finished_at, proved }: JobSummary): number | undefined {
  if (kind === 'restore') return proved?.seconds;
  if (finished_at === undefined || (kind === 'drill' && !proved)) return undefined;
  return Math.max(0, (Date.parse(finished_at) - Date.parse(created_at)) / 1000);
}

/** Adds totals to others. Totals with different bounds, written by another version of ngbak, are ignored. */
export function addTotals(totals: JobTotals, { bounds, targets }: JobTotals): void {
  if (String(bounds) !== String(totals.bounds)) return;
  for (const [target, added] of Object.entries(targets)) {
    const to = totals.targets[target] ?? noTargetTotals();
    totals.targets[target] = to;
    addKind(to, added);
    addKind(to.restores, added.restores);
    addKind(to.drills, added.drills);
  }
}

function addKind(to: KindTotals, { failures, durations }: KindTotals): void {
  to.failures += failures;
  to.durations.seconds += durations.seconds;
  to.durations.counts = to.durations.counts.map((count, i) => count + (durations.counts[i] ?? 0));
}
