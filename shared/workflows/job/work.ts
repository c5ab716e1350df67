import { kindOf, thingOf } from '../../stores/known-facts.ts';

/** By unit of progress: the number done, and the total if known. */
export type Units = Readonly<Record<string, { readonly done: number; readonly total?: number | undefined }>>;

/** The amount of work in a phase of a store: its records, or bytes if only these are counted. */
export interface Work {
  readonly measure: 'records' | 'bytes';
  /** May be a fraction: see {@link workOf}. */
  readonly done: number;
  /** Undefined if it is not known. */
  readonly total: number | undefined;
}

/** Whether a unit counts bytes: `bytes`, and `bytes:<collection>`. */
export function isBytes(unit: string): boolean {
  return kindOf(unit) === 'bytes';
}

/**
 * The work of one phase over all of its units. Where bytes of the same records are counted, they say more precisely how
 * much is done: a large file is one record, and the points of a snapshot arrive together. Undefined if nothing is
 * counted.
 */
export function workOf(units: Units, finished = false): Work | undefined {
  const all = Object.entries(units);
  const records = all.filter(([unit]) => !isBytes(unit));
  const known = records.filter(([, { total }]) => total !== undefined);
  if (known.length > 0) {
    let [done, total] = [0, 0];
    for (const [unit, { done: counted, total: expected = 0 }] of known) {
      const bytes = units[`bytes:${thingOf(unit)}`] ?? units.bytes;
      const share = bytes?.total ? bytes.done / bytes.total : undefined;
      // Counts before an export are estimates: a finished phase has done what there was.
      const most = finished ? counted || expected : Math.max(counted, expected);
      done += finished ? most : share === undefined ? counted : most * Math.min(1, share);
      total += most;
    }
    return { measure: 'records', done, total };
  }
  const counted = records.length > 0 ? records : all;
  if (counted.length === 0) return undefined;
  const done = counted.reduce((sum, [, unit]) => sum + unit.done, 0);
  // The bytes of a collection become known when it begins, so those of several collections are no total.
  const expected = counted.length === 1 && records.length === 0 ? counted[0]?.[1].total : undefined;
  return {
    measure: records.length > 0 ? 'records' : 'bytes',
    done,
    total: finished ? done : expected === undefined ? undefined : Math.max(done, expected),
  };
}
