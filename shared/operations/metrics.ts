import type { BackupSummary } from '../catalog/summaries.ts';
import { backedUpTargets } from '../core/config.ts';
import { SELFTEST_TARGET } from '../core/selftest.ts';
import { VERSION } from '../core/version.ts';
import { listedJobs, pastTotals } from '../workflows/job/days.ts';
import { dayOf, SKIPPED } from '../workflows/job/record.ts';
import { addJob, addTotals, type JobTotals, noTotals } from '../workflows/job/totals.ts';
import { readableSchedules } from './backup-age.ts';
import type { OperationsContext } from './context.ts';
import { listSchedules } from './list-schedules.ts';
import { type CatalogState, readCatalogState } from './overview.ts';
import { assessTargets, DecisiveJobs, isDrillOverdue, type TargetRecoverability } from './recoverability.ts';
import { GRADES } from './verdict-measures.ts';

type Labels = Record<string, string>;
type Sample = readonly [Labels, number];

/** A metric with its samples, as prom-client exchanges them between processes. */
interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  /** How the values of several processes are combined; there is only one. */
  readonly aggregator: 'first';
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
    /** Default: the name of the metric. */
    readonly metricName?: string;
  }[];
}

/**
 * Metrics for Prometheus: gauges over the catalog by target, counts of jobs (of the 90 days that job records live),
 * failures and durations since the deployment, and the schedules. They are computed from records, not observed by a
 * long-running process: prom-client gets their values as if another process had sent them (docs/adr/0017-metrics.md).
 * Text exposition format 0.0.4. Records that can't be read are counted, not silently omitted.
 */
export async function metricsText(context: OperationsContext): Promise<string> {
  const now = Date.now();
  const planned = await readableSchedules(context.scheduler);
  const [catalog, jobs, schedules] = await Promise.all([
    readCatalogState(context, planned, now),
    jobMetrics(context),
    context.scheduler ? scheduleMetrics(context) : [],
  ]);
  const { targets, unreadable: unreadableBackups } = catalog.overview;
  const decisive = { targets, unreadable: unreadableBackups, jobs: jobs.decisive, schedules: planned };
  const verdicts = verdictMetrics(await assessTargets(context, decisive, now));
  const backups = backupMetrics(catalog, context.config ? backedUpTargets(context.config) : [], now);
  const version = metric('ngbak_info', 'Version of ngbak.', [[{ version: VERSION }, 1]]);
  const unreadable = metric('ngbak_records_unreadable', 'Records that cannot be read.', [
    [{ kind: 'backup' }, unreadableBackups],
    [{ kind: 'job' }, jobs.unreadable],
  ]);
  // Loaded only for this operation, so that no other one waits for it. A bundle has only the default export.
  const { AggregatorRegistry } = (await import('prom-client')).default;
  const all = [version, ...verdicts, ...backups, ...jobs.metrics, ...schedules, unreadable];
  return AggregatorRegistry.aggregate([all]).metrics();
}

function verdictMetrics(targets: readonly TargetRecoverability[]): Metric[] {
  const known = samplesOf(targets);
  return [
    metric(
      'ngbak_recoverable',
      'Whether the target is recoverable now: 1 yes, 0.5 yes with warnings, 0 no.',
      known(({ recoverable }) => GRADES[recoverable]),
    ),
    metric(
      'ngbak_rpo_seconds',
      'Age of the backup that a restore would use; +Inf if there is none.',
      known(({ rpo_seconds }) => rpo_seconds ?? Number.POSITIVE_INFINITY),
    ),
    metric(
      'ngbak_rto_seconds',
      'Expected duration of a restore, from the last measured one; absent if there is none.',
      known(({ rto_seconds }) => rto_seconds),
    ),
    metric(
      'ngbak_last_drill_timestamp_seconds',
      'Time of the last drill that passed; 0 if there is none.',
      known(({ drill }) => timestampOf(drill)),
    ),
    metric(
      'ngbak_last_rehearsal_timestamp_seconds',
      'Time of the last rehearsal that passed, which restores nothing; 0 if there is none.',
      known(({ rehearsal }) => timestampOf(rehearsal)),
    ),
    metric(
      'ngbak_last_proof_timestamp_seconds',
      'Time of the last restore or drill that compared every record of a whole backup; 0 if there is none.',
      known(({ proof }) => timestampOf(proof)),
    ),
    metric(
      'ngbak_last_drill_age_max_seconds',
      'Maximum age of the last drill, from the schedules of drills of the target; absent without any.',
      known(({ drill_age_max_seconds }) => drill_age_max_seconds),
    ),
    metric(
      'ngbak_drill_overdue',
      '1 if the last drill is older than the schedules of drills of the target allow.',
      known((verdict) => (isDrillOverdue(verdict) ? 1 : 0)),
    ),
  ];
}

/** In seconds since 1970; 0 for nothing. */
function timestampOf(event: { readonly finished_at: string } | undefined): number {
  return event ? Date.parse(event.finished_at) / 1000 : 0;
}

/** @param configured  targets that are reported even without a backup */
function backupMetrics(
  { overview: { targets }, newestGood }: CatalogState,
  configured: readonly string[],
  now: number,
): Metric[] {
  const each = samplesOf(targets);
  const last = (value: (backup: BackupSummary) => number, without?: number): Sample[] => [
    ...newestGood.map((backup): Sample => {
      const { target, type } = backup;
      return [{ target, type }, value(backup)];
    }),
    // A missing backup has an infinite age, so that an alert on the age fires.
    ...targets.flatMap(({ target, newest_good }): Sample[] =>
      without === undefined || newest_good || !configured.includes(target)
        ? []
        : [[{ target, type: 'full' }, without]],
    ),
  ];
  return [
    metric(
      'ngbak_backups',
      'Backups in the catalog.',
      each(({ backups }) => backups),
    ),
    metric(
      'ngbak_backups_bytes',
      'Size of all archives in the catalog.',
      each(({ bytes }) => bytes),
    ),
    metric(
      'ngbak_backups_damaged',
      'Backups that a verification found damaged.',
      each(({ damaged }) => damaged),
    ),
    metric(
      'ngbak_last_backup_warnings',
      'Unacknowledged warnings of the newest full backup.',
      each(({ newest_full }) => newest_full?.open_warnings),
    ),
    metric(
      'ngbak_last_backup_timestamp_seconds',
      'Creation time of the newest good backup: verified, with records, not much smaller than before, and not the safety backup of a restore.',
      last(({ created_at }) => Date.parse(created_at) / 1000, 0),
    ),
    metric(
      'ngbak_last_backup_age_seconds',
      'Age of the newest good backup; +Inf if there is none.',
      last(({ created_at }) => (now - Date.parse(created_at)) / 1000, Number.POSITIVE_INFINITY),
    ),
    metric(
      'ngbak_last_backup_age_max_seconds',
      'Maximum age of the newest good full backup, from the schedules of the target; also used by health and alarms.',
      each(({ target, allowed_age_hours }) =>
        configured.includes(target) ? allowed_age_hours * 3600 : undefined,
      ),
    ),
    metric(
      'ngbak_last_backup_duration_seconds',
      'Duration of the newest good backup.',
      last(({ duration_seconds }) => duration_seconds),
    ),
    metric(
      'ngbak_last_backup_bytes',
      'Size of the newest good archive.',
      last(({ bytes }) => bytes),
    ),
    metric(
      'ngbak_last_backup_uncompressed_bytes',
      'Uncompressed size of the newest good archive.',
      last(({ uncompressed_bytes }) => uncompressed_bytes),
    ),
  ];
}

async function jobMetrics({ bucket, config }: OperationsContext) {
  const totals = noTotals(config ? backedUpTargets(config) : []);
  const ofDays = new Map<string, JobTotals>();
  const jobs = new LabelledSums();
  const mismatches = new LabelledSums();
  const decisive = new DecisiveJobs();
  let unreadable = 0;
  for await (const { job } of listedJobs(bucket)) {
    if (!job) unreadable++;
    if (!job || job.target === SELFTEST_TARGET) continue;
    decisive.add(job);
    const day = dayOf(job);
    const ofDay = ofDays.get(day) ?? noTotals();
    ofDays.set(day, ofDay);
    addJob(ofDay, job);
    const { target, kind } = job;
    jobs.add({ target, kind, state: job.error?.name === SKIPPED ? 'skipped' : job.state }, 1);
    mismatches.add({ target }, job.error?.name === 'IntegrityError' ? 1 : 0);
  }
  const past = await pastTotals(bucket);
  addTotals(totals, past.totals);
  for (const [day, ofDay] of ofDays) if (day > past.through) addTotals(totals, ofDay);
  const metrics = [
    metric('ngbak_jobs', 'Jobs of the last 90 days.', jobs.samples()),
    metric(
      'ngbak_checksum_mismatches',
      'Jobs of the last 90 days in which an integrity check failed.',
      mismatches.samples(),
    ),
    ...KINDS.flatMap((kind) => kindMetrics(kind, totals)),
  ];
  return { metrics, unreadable, decisive: decisive.all() };
}

/** Kinds of jobs that are counted, with the descriptions of their metrics. */
const KINDS = [
  {
    kind: 'backup',
    failures: 'Backups that have failed since the deployment.',
    durations: 'Duration of completed backups since the deployment.',
    of: (target: JobTotals['targets'][string]) => target,
  },
  {
    kind: 'restore',
    failures: 'Restores that have failed or were rolled back since the deployment.',
    durations: 'Duration of completed restores since the deployment, without the wait for confirmation.',
    of: (target: JobTotals['targets'][string]) => target.restores,
  },
  {
    kind: 'drill',
    failures: 'Drills that have failed since the deployment.',
    durations:
      'Duration of completed drills since the deployment, including the removal of what they restored.',
    of: (target: JobTotals['targets'][string]) => target.drills,
  },
] as const;

/** The counter of failures, and a histogram of durations from which Prometheus estimates quantiles. */
function kindMetrics(
  { kind, failures, durations, of }: (typeof KINDS)[number],
  { bounds, targets }: JobTotals,
): Metric[] {
  const all = Object.entries(targets).map(([target, totals]) => ({ target, ...of(totals) }));
  const name = `ngbak_${kind}_duration_seconds`;
  const values = all.flatMap(({ target, durations: { counts, seconds } }) => {
    let sum = 0;
    const buckets = counts.map((count, index) => {
      sum += count;
      const le = bounds[index] ?? '+Inf';
      return { metricName: `${name}_bucket`, labels: { target, le }, value: sum };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels: { target }, value: seconds },
      { metricName: `${name}_count`, labels: { target }, value: sum },
    ];
  });
  return [
    metric(
      `ngbak_${kind}_failures_total`,
      failures,
      all.map(({ target, failures }): Sample => [{ target }, failures]),
      'counter',
    ),
    { name, help: durations, type: 'histogram', aggregator: 'first', values },
  ];
}

async function scheduleMetrics(context: OperationsContext): Promise<Metric[]> {
  const { schedules, unreadable } = await listSchedules(context);
  return [
    metric(
      'ngbak_schedule_enabled',
      '1 if a schedule is enabled, 0 if it is paused.',
      schedules.map(({ name, enabled }): Sample => [{ schedule: name }, enabled ? 1 : 0]),
    ),
    metric(
      'ngbak_schedule_missed_runs',
      'Runs of the last week that were missed.',
      schedules.map(({ name, missed_total }): Sample => [{ schedule: name }, missed_total]),
    ),
    metric(
      'ngbak_schedule_next_run_timestamp_seconds',
      'Time of the next run of a schedule.',
      schedules.flatMap(({ name, next_run }): Sample[] =>
        next_run === undefined ? [] : [[{ schedule: name }, Date.parse(next_run) / 1000]],
      ),
    ),
    metric('ngbak_schedules_unreadable', 'Schedules that cannot be read.', [[{}, unreadable.length]]),
  ];
}

/** Returns a function that gives one sample for each target with a value. */
function samplesOf<Target extends { readonly target: string }>(targets: readonly Target[]) {
  return (value: (target: Target) => number | undefined): Sample[] =>
    targets.flatMap((target): Sample[] => {
      const found = value(target);
      return found === undefined ? [] : [[{ target: target.target }, found]];
    });
}

/** Sums by labels. */
class LabelledSums {
  readonly #sums = new Map<string, { labels: Labels; sum: number }>();

  add(labels: Labels, value: number): void {
    const key = JSON.stringify(labels);
    const found = this.#sums.get(key);
    if (found) found.sum += value;
    else this.#sums.set(key, { labels, sum: value });
  }

  samples(): Sample[] {
    return [...this.#sums.values()].map(({ labels, sum }): Sample => [labels, sum]);
  }
}

function metric(
  name: string,
  help: string,
  samples: readonly Sample[],
  type: 'gauge' | 'counter' = 'gauge',
): Metric {
  const values = samples.map(([labels, value]) => ({ labels, value }));
  return { name, help, type, aggregator: 'first', values };
}
