import type { OverallProgress, StoreProgress } from '../shared/operations/job-progress.ts';
import { isBytes } from '../shared/workflows/job/work.ts';
import { bytes, count, duration } from './format.ts';

/**
 * Number of collections of a store that are listed individually; more are summarized. CLI and dashboard share this
 * limit.
 */
export const LISTED_MAX = 3;

export type Unit = StoreProgress['units'][string];
/** Units by name: `nodes`, or `points:<collection>` for one of several collections. */
export type NamedUnit = readonly [string, Unit];

/** The units of single collections by name of the collection, and all others. */
export function groupUnits({ units }: Pick<StoreProgress, 'units'>): {
  readonly collections: ReadonlyMap<string, readonly NamedUnit[]>;
  readonly others: readonly NamedUnit[];
} {
  const all = Object.entries(units);
  const named = all.filter(([unit]) => unit.includes(':'));
  return {
    collections: Map.groupBy(named, ([unit]) => unit.slice(unit.indexOf(':') + 1)),
    others: all.filter(([unit]) => !unit.includes(':')),
  };
}

/** `1,200 of about 5,000 nodes, 300/s, 13 s left`, with the name of the collection before it, if any. */
export function unitText(
  unit: string,
  { done, total, estimated, rate, remaining_seconds }: Unit,
  finished: boolean,
): string {
  const at = unit.indexOf(':');
  const kind = at < 0 ? unit : unit.slice(0, at);
  const amount = isBytes(unit) ? bytes : count;
  const noun = isBytes(unit) ? '' : ` ${kind}`;
  const name = at < 0 ? '' : `${unit.slice(at + 1)} `;
  return [
    `${name}${amount(done)}${ofTotal({ done, total, estimated }, amount)}${noun}`,
    ...speedText({ rate, remaining_seconds }, amount, finished),
  ].join(', ');
}

/** ` of about 5,000`; nothing if there is no total, or if it is reached. */
function ofTotal(
  { done, total, estimated }: Pick<Unit, 'done' | 'total' | 'estimated'>,
  amount: (value: number) => string,
): string {
  return total === undefined || done === total ? '' : ` of ${estimated ? 'about ' : ''}${amount(total)}`;
}

function speedText(
  { rate, remaining_seconds: seconds }: Pick<Unit, 'rate' | 'remaining_seconds'>,
  amount: (value: number) => string,
  finished: boolean,
): string[] {
  return [
    ...(rate === undefined || finished ? [] : [`${amount(rate)}/s`]),
    ...(seconds ? [`${duration(seconds)} left`] : []),
  ];
}

/**
 * All units of a store: `1,200 of 5,000 nodes · 0 of 9,000 relationships · 300/s, 47 s left`. Rate and remaining time
 * refer to all of them. Many collections are summarized unless `all`: `200 collections, 198 done, 13.3 MB`.
 */
export function unitTexts(progress: StoreProgress, all = false): string[] {
  const { units, finished, work } = progress;
  const { collections, others } = groupUnits(progress);
  const summed = collections.size > LISTED_MAX && !all;
  const listed = summed ? others : Object.entries(units);
  const isOne = listed.length === 1 && !summed;
  const plain = ([unit, { done, total, estimated }]: NamedUnit) =>
    unitText(unit, { done, total, estimated }, finished);
  return [
    ...listed.map(isOne || !work ? ([unit, of]) => unitText(unit, of, finished) : plain),
    ...(summed ? [collectionsText(collections, finished)] : []),
    ...(isOne || !work ? [] : workSpeed(work, finished)),
  ];
}

function workSpeed(work: NonNullable<StoreProgress['work']>, finished: boolean): string[] {
  const text = speedText(work, work.measure === 'bytes' ? bytes : count, finished).join(', ');
  return text === '' ? [] : [text];
}

/** `11,900 of 22,000 records, 600/s, 17 s left` */
export function overallText({ percent, done, total, estimated, measure, ...speed }: OverallProgress): string {
  const amount = measure === 'bytes' ? bytes : count;
  const noun = measure === 'bytes' ? '' : ' records';
  return [
    `${amount(done)}${ofTotal({ done, total, estimated }, amount)}${noun}`,
    ...speedText(speed, amount, percent === 100),
  ].join(', ');
}

/** {@link overallText} after the percentage that is done: `54%: 11,900 of 22,000 records`. */
export function overallLine(overall: OverallProgress): string {
  return `${overall.percent === undefined ? '' : `${overall.percent}%: `}${overallText(overall)}`;
}

const STAGES: Readonly<Record<OverallProgress['stage'], string>> = {
  export: 'export',
  seal: 'composition',
  'read-back': 'verification',
  inspect: 'inspection',
  restore: 'load and verification',
};

/** `load and verification (2 of 2)` */
export function stageText({ stage, stage_number, stages }: OverallProgress): string {
  return `${STAGES[stage]} (${stage_number} of ${stages})`;
}

/** Whether every unit of a collection has reached its total. */
export function isDone(units: readonly NamedUnit[]): boolean {
  return units.every(([, { done, total }]) => total !== undefined && done >= total);
}

/** `200 collections, 198 done, 13.3 MB` */
export function collectionsText(
  collections: ReadonlyMap<string, readonly NamedUnit[]>,
  finished: boolean,
): string {
  const done = finished ? collections.size : [...collections.values()].filter(isDone).length;
  const kinds = Map.groupBy([...collections.values()].flat(), ([unit]) => unit.slice(0, unit.indexOf(':')));
  const amounts = [...kinds].map(([kind, units]) => {
    const sum = units.reduce((all, [, unit]) => all + unit.done, 0);
    const whole = units.reduce((all, [, { total = 0 }]) => all + total, 0);
    const isKnown = units.every(([, { total }]) => total !== undefined);
    const estimated = units.some(([, unit]) => unit.estimated) || undefined;
    // Other collections of the same store may report bytes later.
    return kind === 'bytes'
      ? bytes(sum)
      : `${count(sum)}${ofTotal({ done: sum, total: isKnown ? whole : undefined, estimated }, count)} ${kind}`;
  });
  return [`${count(collections.size)} collections`, `${count(done)} done`, ...amounts].join(', ');
}
