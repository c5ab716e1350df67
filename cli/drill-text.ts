import pc from '../shared/core/colors.ts';
import type { Tallies } from '../shared/core/digest.ts';
import type { DrillRecord } from '../shared/workflows/drill/record.ts';
import { bytes, count, duration, localTime, printable } from './format.ts';
import { fields, LINES_MAX } from './output.ts';
import { storeText } from './progress-text.ts';
import { talliesText } from './tally-text.ts';

const VERDICTS: Record<DrillRecord['verdict'], (text: string) => string> = {
  passed: pc.green,
  failed: pc.red,
  cancelled: pc.yellow,
};

/** A verdict in its colour. */
export function verdictText(verdict: DrillRecord['verdict']): string {
  return VERDICTS[verdict](verdict);
}

/** Where a drill restored to, in words. */
function destinationText({ destination, target }: DrillRecord): string {
  if (destination.place === 'none') {
    return `nowhere: a rehearsal${destination.reason === undefined ? '' : `, because there is no scratch place. ${destination.reason}`}`;
  }
  return destination.place === 'names'
    ? `scratch names on the servers of ${destination.target}`
    : `target ${destination.target}, which is used for drills of ${target}`;
}

/** What a rehearsal has done with one store. */
function rehearsedText(parsed: Tallies | undefined): string {
  if (parsed === undefined) return pc.red('not rehearsed');
  const text = talliesText(parsed);
  return `${text}${text === '' ? '' : ': '}parsed, nothing written`;
}

/** What one drill has proved, as `ngbak drills ID` shows it. */
export function drillText(drill: DrillRecord, verbose = false): string {
  const named = (label: string, texts: readonly string[]) => {
    const shown = verbose ? texts : texts.slice(0, LINES_MAX);
    const more = texts.length - shown.length;
    return [
      ...shown.map((text) => `${label} ${printable(text)}`),
      ...(more > 0 ? [`  and ${more} more; --verbose shows them`] : []),
    ];
  };
  const { archive, restore_seconds: seconds } = drill;
  const stores = Object.entries(drill.stores);
  return [
    fields([
      [drill.kind, drill.job_id],
      ['verdict', verdictText(drill.verdict)],
      ['target', drill.target],
      ['backup', drill.backup_id],
      ['archive', archive && `${bytes(archive.bytes)}, created ${localTime(archive.created_at)}`],
      ['checksum', archive?.checksum],
      ['restored to', destinationText(drill)],
      ['started', localTime(drill.started_at)],
      ['requested by', drill.requested_by],
      ['restored and verified in', seconds === undefined ? undefined : duration(seconds)],
      ...drill.phases.map(({ phase, seconds: time }) => [`  ${phase}`, duration(time)] as const),
    ]),
    ...(drill.error ? ['', `${pc.red(printable(drill.error.name))}: ${printable(drill.error.message)}`] : []),
    ...(stores.length === 0
      ? []
      : [
          '',
          fields(
            stores.map(([store, { read_back, verified, differences, removed, parsed }]) => [
              storeText(store),
              drill.kind === 'rehearsal'
                ? rehearsedText(parsed)
                : [
                    talliesText(read_back),
                    verified
                      ? 'verified, no differences'
                      : differences > 0
                        ? `${count(differences)} differences`
                        : 'not verified',
                    removed ? 'removed' : pc.red('NOT REMOVED'),
                  ]
                    .filter((text) => text !== '')
                    .join(': '),
            ]),
          ),
        ]),
    ...drill.references.map(
      ({ reference, total, dangling }) =>
        `References ${printable(reference)}: ${count(total)} (dangling: ${count(dangling)} in the restored copy)`,
    ),
    ...stores.flatMap(([store, { smoke, samples }]) => [
      ...named(
        `Smoke check ${store}`,
        smoke.map(({ question, target, drill: copy, same }) =>
          same
            ? `${question}: ${target} on both sides`
            : `${question}: target: ${target}; drill: ${copy ?? 'not asked'}`,
        ),
      ),
      ...named(
        pc.red('Difference:'),
        samples.map(({ thing, problem }) => `${thing} ${problem}`),
      ),
    ]),
    ...named(pc.yellow('Difference:'), drill.differences),
    ...named(
      pc.yellow('Warning:'),
      drill.warnings.map(({ store, text }) => `${store}: ${text}`),
    ),
    ...(verbose ? named(pc.cyan('Note:'), drill.notes) : []),
  ].join('\n');
}
