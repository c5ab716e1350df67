import { mapOrdered } from '../archive/ordered.ts';
import { JOBS } from '../bucket/layout.ts';
import { catalogIds, readCatalog } from '../catalog/read.ts';
import type { CatalogRecord } from '../catalog/record.ts';
import { Id } from '../ids.ts';
import { readJob } from '../jobs/record.ts';
import type { OperationsContext } from './context.ts';

/** Records read at once. */
const READS_AT_ONCE = 32;

type Labels = Record<string, string>;

/**
 * What a Prometheus server scrapes: gauges over the catalog by target, and counts of jobs by kind and state (of the 90
 * days that job records live). Text exposition format 0.0.4.
 */
export async function metricsText(context: OperationsContext): Promise<string> {
  const { bucket } = context;
  const backups = new Map<string, number>();
  const damaged = new Map<string, number>();
  const newest = new Map<string, CatalogRecord>();
  for await (const { record } of readCatalog(bucket, await catalogIds(bucket))) {
    if (!record) continue;
    const { target, verification } = record;
    backups.set(target, (backups.get(target) ?? 0) + 1);
    if (verification.state === 'damaged') damaged.set(target, (damaged.get(target) ?? 0) + 1);
    else if (!newest.has(target)) newest.set(target, record);
  }
  const jobs = new Map<string, number>();
  let mismatches = 0;
  const records = mapOrdered(bucket.folders(JOBS), READS_AT_ONCE, async (id) =>
    Id.safeParse(id).success ? readJob(bucket, id) : undefined,
  );
  for await (const job of records) {
    if (!job) continue;
    const key = `${job.kind} ${job.state}`;
    jobs.set(key, (jobs.get(key) ?? 0) + 1);
    if (job.error?.name === 'IntegrityError') mismatches++;
  }
  const byTarget = (values: Iterable<[string, number]>) =>
    [...values].map(([target, value]): [Labels, number] => [{ target }, value]);
  const ofNewest = (value: (record: CatalogRecord) => number) =>
    byTarget([...newest].map(([target, record]): [string, number] => [target, value(record)]));
  return [
    metric('ngbak_backups', 'Backups in the catalog.', byTarget(backups)),
    metric('ngbak_backups_damaged', 'Backups that a verification found damaged.', byTarget(damaged)),
    metric(
      'ngbak_last_backup_timestamp_seconds',
      'When the newest verified backup was made.',
      ofNewest(({ created_at }) => Date.parse(created_at) / 1000),
    ),
    metric(
      'ngbak_last_backup_age_seconds',
      'Age of the newest verified backup.',
      ofNewest(({ created_at }) => (Date.now() - Date.parse(created_at)) / 1000),
    ),
    metric(
      'ngbak_last_backup_duration_seconds',
      'How long the newest verified backup took.',
      ofNewest(({ duration_seconds }) => duration_seconds),
    ),
    metric(
      'ngbak_last_backup_bytes',
      'Size of the newest verified archive.',
      ofNewest(({ archive }) => archive.bytes),
    ),
    metric(
      'ngbak_jobs',
      'Jobs of the last 90 days.',
      [...jobs].map(([key, count]): [Labels, number] => {
        const [kind = '', state = ''] = key.split(' ');
        return [{ kind, state }, count];
      }),
    ),
    metric('ngbak_checksum_mismatches', 'Jobs of the last 90 days that found data changed.', [
      [{}, mismatches],
    ]),
  ].join('');
}

function metric(name: string, help: string, values: readonly [Labels, number][]): string {
  const lines = values.map(([labels, value]) => {
    // Targets, kinds and states are ids: nothing in them needs escaping.
    const inner = Object.entries(labels).map(([label, text]) => `${label}="${text}"`);
    return `${name}${inner.length > 0 ? `{${inner.join(',')}}` : ''} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join('')}`;
}
