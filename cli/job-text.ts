import { z } from 'zod';
import pc from '../shared/core/colors.ts';
import { hasEnded } from '../shared/core/job-state.ts';
import { signatureText } from '../shared/core/signature-text.ts';
import { describeEvidence } from '../shared/core/system-evidence.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import { warningText } from '../shared/stores/describe-warning.ts';
import { kindOf } from '../shared/stores/known-facts.ts';
import type { Inspection } from '../shared/workflows/restore/inspection.ts';
import { comparisonText } from './comparison-text.ts';
import { bytes, count, duration, localTime, printable } from './format.ts';
import { fields, LINES_MAX, table } from './output.ts';
import { phaseText, progressLine, storeText } from './progress-text.ts';
import { overallLine, stageText } from './progress-units.ts';
import { roomText } from './room-text.ts';
import { waitingText } from './storage-text.ts';
import { groupText, talliesText } from './tally-text.ts';

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

/** A job, as `ngbak job` shows it. Long lists are grouped, counted and truncated unless `verbose`. */
export function jobText(job: JobView, verbose = false): string {
  const seconds = job.finished_at
    ? (Date.parse(job.finished_at) - Date.parse(job.created_at)) / 1000
    : undefined;
  const restored = job.state === 'completed' ? Restored.safeParse(job.result).data : undefined;
  const progress = restored ? job.progress.filter(({ store }) => store === 'archive') : job.progress;
  const found = restored ? restoredText(restored, verbose) : [];
  const stores = [
    ...progress.map((store) => [phaseText(store), progressLine(store, verbose)] as const),
    ...(job.overall && !hasEnded(job.state)
      ? [[stageText(job.overall), overallLine(job.overall)] as const]
      : []),
    ...Object.entries(restored?.stores ?? {}).flatMap(([store, { read_back = {} }]) =>
      Object.keys(read_back).length > 0
        ? [[`${storeText(store)} restore`, `${talliesText(read_back)}: verified, no differences`] as const]
        : [],
    ),
  ];
  const parts = [
    fields([
      ['job', job.job_id],
      ['kind', job.kind],
      ['target', job.target],
      ['backup', job.backup_id],
      ['requested by', job.requested_by],
      ['started', localTime(job.created_at)],
      ['duration', seconds === undefined ? undefined : duration(seconds)],
      ['console', job.console_url],
      ['archive', waitingText(job)],
      ['state', job.state.replaceAll('_', ' ')],
    ]),
    ...(job.error ? [`${pc.red(printable(job.error.name))}: ${printable(job.error.message)}`] : []),
    ...(stores.length > 0 ? ['', fields(stores)] : []),
    ...warningsText(job.result),
    ...(found.length > 0 ? ['', ...found] : []),
    // The result of a restore compares the references with those found by the inspection.
    ...(job.inspection
      ? [
          '',
          inspectionText(
            restored?.references ? { ...job.inspection, references: [] } : job.inspection,
            verbose,
          ),
        ]
      : []),
  ];
  return parts.join('\n');
}

/** The result of an inspection: the archive, and a comparison of its contents with those of the target. */
export function inspectionText(
  { archive, target, stores, configuration, comparison, references, warnings, problems }: Inspection,
  verbose = false,
): string {
  const named = (label: string, texts: readonly string[]) =>
    truncate(
      texts.map((text) => `${label} ${printable(text)}`),
      verbose,
    );
  return [
    fields([
      ['archive', `${archive.backup_id}, ${localTime(archive.created_at)}, ${bytes(archive.bytes)}`],
      ['source target', archive.origin],
      ['created by', originText(archive, stores)],
      ['restore into', target],
      ['integrity', 'all bytes verified'],
      ['signature', archive.signature && printable(signatureText(archive.signature))],
    ]),
    '',
    table(
      ['', 'in archive', `in ${target} now`, 'change'],
      stores.flatMap((store) => contentRows(store, verbose)),
    ),
    ...(comparison
      ? [
          '',
          ...comparisonText(
            comparison.stores,
            {
              before: `in ${target} now`,
              after: 'in archive',
              removed: comparison.mode === 'merge' ? 'kept' : 'removed',
            },
            verbose,
          ),
        ]
      : []),
    ...(references.length > 0 ? [''] : []),
    ...references.map(
      ({ reference, total, dangling, against }) =>
        `References ${printable(reference)}: ${count(total)} (dangling: ${count(dangling)} in ${against})`,
    ),
    ...named(
      pc.cyan('Room:'),
      stores.flatMap(({ store, room }) => (room ? [`${store} ${roomText(room)}`] : [])),
    ),
    ...named(
      pc.cyan('Change:'),
      stores.flatMap(({ store, changes }) => changes.map((change) => `${store}: ${change}`)),
    ),
    ...configurationText(configuration, verbose),
    ...named(pc.yellow('Not in archive:'), archive.lacks),
    ...named(pc.yellow('Warning:'), [...warnings, ...stores.flatMap((store) => store.warnings)]),
    ...named(pc.red('Problem:'), problems),
  ].join('\n');
}

/** Settings of the GraphRAG system that differ between the archive and the target. */
function configurationText(configuration: Inspection['configuration'], verbose: boolean): string[] {
  if (!configuration) return [];
  const { differences, total } = configuration;
  const lines = differences.map(
    ({ setting, archive = 'not set', target = 'not set' }) =>
      `${pc.cyan('Configuration:')} ${printable(`${setting}: ${archive} in the archive, ${target} now`)}`,
  );
  const more = total - differences.length;
  return [...truncate(lines, verbose), ...(more > 0 && verbose ? [`… ${count(more)} more`] : [])];
}

/** Versions of ngbak, of the GraphRAG system and of the saved servers, as far as the archive states them. */
function originText(
  { ngbak_version, system_version, system_evidence }: Inspection['archive'],
  stores: Inspection['stores'],
): string | undefined {
  const range = system_evidence && describeEvidence(system_evidence);
  const parts = [
    ...(ngbak_version === undefined ? [] : [`ngbak ${printable(ngbak_version)}`]),
    ...(system_version === undefined ? [] : [`GraphRAG system ${printable(system_version)}`]),
    ...(system_version === undefined && range !== undefined ? [`GraphRAG system ${printable(range)}`] : []),
    ...stores.flatMap(({ kind, version, saved_version: saved }) =>
      saved === undefined || saved === version ? [] : [`${kind} ${printable(saved)} (now ${version})`],
    ),
  ];
  return parts.length === 0 ? undefined : parts.join(', ');
}

/** The rows of one store: what is in the archive, what is in the target now, and the change. */
function contentRows(store: Inspection['stores'][number], verbose: boolean): string[][] {
  const names = [...new Set([...Object.keys(store.archive), ...Object.keys(store.target)])];
  const row = (label: string, after: number, now: number) => [
    label,
    count(after),
    count(now),
    after === now ? '' : `${after > now ? '+' : ''}${count(after - now)}`,
  ];
  const rowOf = (name: string, indent = '') =>
    row(`${indent}${store.store} ${name}`, store.archive[name] ?? 0, store.target[name] ?? 0);
  const changes = (name: string) => store.archive[name] !== store.target[name];
  return [...Map.groupBy(names, kindOf).entries()].flatMap(([kind, members]) => {
    if (members.length <= LINES_MAX || verbose) return members.map((name) => rowOf(name));
    const sum = (counts: Readonly<Record<string, number>>) =>
      members.reduce((total, name) => total + (counts[name] ?? 0), 0);
    const changed = members.filter(changes);
    const label = `${store.store} ${kind} (${groupText(kind, members.length)}, ${count(changed.length)} changed)`;
    const omitted = changed.length - LINES_MAX;
    return [
      row(label, sum(store.archive), sum(store.target)),
      ...changed.slice(0, LINES_MAX).map((name) => rowOf(name, '  ')),
      ...(omitted > 0 ? [[`  … ${count(omitted)} more: see --verbose`, '', '', '']] : []),
    ];
  });
}

/** The first lines, and the number of omitted ones. */
function truncate(lines: readonly string[], verbose: boolean): string[] {
  if (lines.length <= LINES_MAX || verbose) return [...lines];
  return [...lines.slice(0, LINES_MAX), `… ${count(lines.length - LINES_MAX)} more: see --verbose`];
}

/** The result of a backup or of a restore. */
const Warned = z.object({
  warnings: z.array(
    z.object({
      store: z.string(),
      code: z.string(),
      text: z.string(),
      count: z.number().optional(),
      samples: z.array(z.string()).optional(),
    }),
  ),
});

/** The warnings of a backup, or of the steps of a restore. */
function warningsText(result: unknown): string[] {
  const parsed = Warned.safeParse(result);
  return (parsed.data?.warnings ?? []).map(
    ({ store, ...warning }) => `${pc.yellow('Warning:')} ${printable(`${store}: ${warningText(warning)}`)}`,
  );
}

/** The result of a restore. */
const Restored = z.object({
  dangling: z.object({ attached: z.number(), left_out: z.number(), kept: z.boolean() }).optional(),
  stores: z.record(
    z.string(),
    z.object({
      read_back: z.record(z.string(), z.object({ count: z.number() })).optional(),
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
type Restored = z.infer<typeof Restored>;

/**
 * The results of a restore other than records: dangling relationships, references, and smoke checks before and after.
 */
function restoredText({ dangling, stores, references = [] }: Restored, verbose: boolean): string[] {
  const checks = Object.entries(stores).flatMap(([store, { smoke = [] }]) =>
    smoke.map((check) => ({ ...check, store })),
  );
  // Many checks with unchanged results are one line.
  const shown =
    checks.length <= LINES_MAX || verbose ? checks : checks.filter(({ before, after }) => before !== after);
  const unchanged = checks.length - shown.length;
  return [
    ...(dangling
      ? [
          `Dangling relationships: ${count(dangling.attached)} attached, ${count(dangling.left_out)} left out${dangling.kept ? ', kept for `ngbak attach`' : ''}`,
        ]
      : []),
    ...references.map(
      ({ reference, total, before, after }) =>
        `References ${printable(reference)}: ${count(total)} (dangling: ${before === null ? '' : `${count(before)} in archive, `}${count(after)} in target)`,
    ),
    ...(unchanged > 0 ? [`Smoke checks: ${count(unchanged)} with the same answer before and after`] : []),
    ...truncate(
      shown.map(
        ({ store, question, before, after }) =>
          `Smoke check ${store} ${printable(question)}: ${printable(before)} before, ${printable(after)} after`,
      ),
      verbose,
    ),
  ];
}
