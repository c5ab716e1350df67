import { z } from 'zod';
import pc from '../shared/colors.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import type { Inspection } from '../shared/restore/inspection.ts';
import { describeUnits } from './bars.ts';
import { bytes, count, duration, localTime, printable } from './format.ts';
import { facts, table } from './output.ts';

const COLOURS: Partial<Record<JobView['state'], (text: string) => string>> = {
  completed: pc.green,
  failed: pc.red,
  rolled_back: pc.yellow,
  cancelled: pc.yellow,
  awaiting_confirmation: pc.cyan,
};

/** A job's state in its colour. */
export function stateText(state: JobView['state']): string {
  return (COLOURS[state] ?? ((text: string) => text))(state.replaceAll('_', ' '));
}

/** A job, as `ngbak job` shows it. */
export function jobText(job: JobView): string {
  const seconds = job.finished_at
    ? (Date.parse(job.finished_at) - Date.parse(job.created_at)) / 1000
    : undefined;
  const parts = [
    facts([
      ['job', job.job_id],
      ['kind', job.kind],
      ['target', job.target],
      ['backup', job.backup_id],
      ['asked by', job.requested_by],
      ['started', localTime(job.created_at)],
      ['took', seconds === undefined ? undefined : duration(seconds)],
      ['console', job.console_url],
    ]),
    `state     ${stateText(job.state)}`,
    ...(job.error ? [`${pc.red(printable(job.error.name))}: ${printable(job.error.message)}`] : []),
    ...job.progress.map((store) => `${`${store.store} ${store.phase}`.padEnd(18)} ${describeUnits(store)}`),
    ...restoredText(job.result),
    ...(job.inspection ? ['', inspectionText(job.inspection)] : []),
  ];
  return parts.join('\n');
}

/** What an inspection found: the archive, and side by side what it holds and what the target holds now. */
export function inspectionText({
  archive,
  target,
  stores,
  references,
  warnings,
  problems,
}: Inspection): string {
  const rows = stores.flatMap((store) =>
    [...new Set([...Object.keys(store.archive), ...Object.keys(store.target)])].map((name) => {
      const now = store.target[name] ?? 0;
      const after = store.archive[name] ?? 0;
      const change = after - now;
      return [
        `${store.store} ${name}`,
        count(after),
        count(now),
        change === 0 ? '' : `${change > 0 ? '+' : ''}${count(change)}`,
      ];
    }),
  );
  return [
    facts([
      ['archive', `${archive.backup_id}, ${localTime(archive.created_at)}, ${bytes(archive.bytes)}`],
      ['made of', archive.origin],
      ['restores', `into ${target}`],
      ['checked', 'every byte of it'],
    ]),
    '',
    table(['', 'in the archive', `in ${target} now`, 'change'], rows),
    ...references.map(
      ({ reference, total, dangling, against }) =>
        `References: ${printable(reference)}: ${count(total)}, of which ${count(dangling)} lead nowhere in the ${against}`,
    ),
    ...stores
      .flatMap(({ store, changes }) => changes.map((change) => `${store}: ${change}`))
      .map((text) => `${pc.cyan('Changes:')} ${printable(text)}`),
    ...archive.lacks.map((text) => `${pc.yellow('Lacks:')} ${printable(text)}`),
    ...[...warnings, ...stores.flatMap((store) => store.warnings)].map(
      (text) => `${pc.yellow('Warning:')} ${printable(text)}`,
    ),
    ...problems.map((text) => `${pc.red('Problem:')} ${printable(text)}`),
  ].join('\n');
}

/** What of a restore's result is told beside its progress. */
const Restored = z.object({
  dangling: z.object({ attached: z.number(), left_out: z.number(), kept: z.boolean() }).optional(),
  stores: z.record(
    z.string(),
    z.object({
      smoke: z.array(z.object({ question: z.string(), before: z.string(), after: z.string() })).optional(),
    }),
  ),
  references: z
    .array(
      z.object({
        reference: z.string(),
        total: z.number(),
        before: z.number().nullable(),
        after: z.number(),
      }),
    )
    .optional(),
});

/** What a restore brought back beside records: relationships that lead out, references, answers before and after. */
function restoredText(result: unknown): string[] {
  const parsed = Restored.safeParse(result);
  if (!parsed.success) return [];
  const { dangling, stores, references = [] } = parsed.data;
  return [
    ...(dangling
      ? [
          `relationships that lead out: ${count(dangling.attached)} attached, ${count(dangling.left_out)} left out${dangling.kept ? ', kept for `ngbak attach`' : ''}`,
        ]
      : []),
    ...references.map(
      ({ reference, total, before, after }) =>
        `references ${printable(reference)}: ${count(total)}, lead nowhere: ${before === null ? '' : `${count(before)} in the archive, `}${count(after)} in the target`,
    ),
    ...Object.entries(stores).flatMap(([store, { smoke = [] }]) =>
      smoke.map(
        ({ question, before, after }) =>
          `${store} asked ${printable(question)}: ${printable(before)} before, ${printable(after)} after`,
      ),
    ),
  ];
}
