import pc from '../shared/core/colors.ts';
import type { ComparedKind, ComparedStore } from '../shared/stores/comparison/result.ts';
import { count, printable } from './format.ts';
import { LINES_MAX, table } from './output.ts';

/** What the sides of a comparison are called, and what happens to records that only the first one has. */
export interface ComparisonWords {
  readonly before: string;
  readonly after: string;
  /** `removed`, or `kept` if a merge leaves them alone. */
  readonly removed: 'removed' | 'kept';
}

/** The result of a comparison: a table of all kinds, what was not compared, and the names of some records. */
export function comparisonText(
  stores: readonly ComparedStore[],
  words: ComparisonWords,
  verbose = false,
): string[] {
  const rows = stores.flatMap(({ store, kinds, not_compared }) =>
    kinds.map((kind) => ({ store, kind, isCounted: not_compared !== undefined })),
  );
  return [
    table(
      ['', words.before, words.after, 'added', 'changed', words.removed],
      rows.map(({ store, kind, isCounted }) => rowOf(store, kind, isCounted)),
    ),
    ...stores.flatMap(limitationTexts),
    ...rows.flatMap(({ kind }) => sampleTexts(kind, words, verbose)),
  ];
}

function rowOf(store: string, kind: ComparedKind, isCounted: boolean): string[] {
  const { added, changed, removed, limited } = kind;
  const isOnlyCounted = isCounted || limited?.by === 'counts';
  const known = (number: number) => (isOnlyCounted ? '?' : count(number));
  return [
    `${store} ${kind.kind}`,
    count(kind.before),
    count(kind.after),
    known(added.count),
    limited?.by === 'identities' ? '?' : known(changed.count),
    known(removed.count),
  ];
}

/** What was not compared by content, and why. */
export function limitationTexts({ store, kinds, not_compared }: ComparedStore): string[] {
  if (not_compared !== undefined) {
    return [`${pc.yellow('Compared by counts only:')} ${printable(`${store}: ${not_compared}`)}`];
  }
  return kinds.flatMap(({ kind, limited }) => {
    if (!limited) return [];
    const how = limited.by === 'counts' ? 'Compared by counts only:' : 'Changes not compared:';
    return [`${pc.yellow(how)} ${printable(`${store} ${kind}: ${limited.reason}`)}`];
  });
}

function sampleTexts(
  { kind, added, changed, removed }: ComparedKind,
  words: ComparisonWords,
  verbose: boolean,
): string[] {
  const lines = (sign: string, what: string, { count: number, samples }: ComparedKind['added']) => {
    if (number === 0) return [];
    const shown = verbose ? samples : samples.slice(0, LINES_MAX);
    const more = number - shown.length;
    return [
      ...shown.map((name) => `${sign} ${what}: ${printable(name)}`),
      ...(more > 0 ? [`${sign} ${what}: … ${count(more)} more of ${printable(kind)}`] : []),
    ];
  };
  return [
    ...lines(pc.green('+'), 'added', added),
    ...lines(pc.yellow('~'), 'changed', changed),
    ...lines(words.removed === 'kept' ? pc.dim('=') : pc.red('-'), words.removed, removed),
  ];
}
