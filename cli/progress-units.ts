import type { StoreProgress } from '../shared/operations/job-progress.ts';
import { bytes, count, duration } from './format.ts';

/**
 * Number of collections of a store that are listed individually; more are summarized. CLI and dashboard share this
 * limit.
 */
export const LISTED_MAX = 3;

export type Unit = StoreProgress['units'][string];
/** Units by name: `nodes`, or `points:<collection>` for one of several collections. */
export type NamedUnit = readonly [string, Unit];

/** `bytes`, and `bytes:<collection>`. */
export function isBytes(unit: string): boolean {
  return unit === 'bytes' || unit.startsWith('bytes:');
}

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

/** `1,200 of 5,000 nodes, 300/s, 13 s left`, with the name of the collection before it, if any. */
export function unitText(
  unit: string,
  { done, total, rate, remaining_seconds }: Unit,
  finished: boolean,
): string {
  const at = unit.indexOf(':');
  const kind = at < 0 ? unit : unit.slice(0, at);
  const amount = isBytes(unit) ? bytes : count;
  const noun = isBytes(unit) ? '' : ` ${kind}`;
  const name = at < 0 ? '' : `${unit.slice(at + 1)} `;
  return [
    `${name}${amount(done)}${total === undefined || done === total ? '' : ` of ${amount(total)}`}${noun}`,
    ...(rate === undefined || finished ? [] : [`${amount(rate)}/s`]),
    ...(remaining_seconds ? [`${duration(remaining_seconds)} left`] : []),
  ].join(', ');
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
    const sum = units.reduce((total, [, unit]) => total + unit.done, 0);
    return kind === 'bytes' ? bytes(sum) : `${count(sum)} ${kind}`;
  });
  return [`${count(collections.size)} collections`, `${count(done)} done`, ...amounts].join(', ');
}
