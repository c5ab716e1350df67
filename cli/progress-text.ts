import pc from '../shared/colors.ts';
import type { StoreProgress } from '../shared/operations/job-progress.ts';
import { bytes, count, duration } from './format.ts';

/** Collections of a store that are listed one by one; more are counted, unless `--verbose` is given. */
const LISTED_MAX = 3;

const PHASES: Record<StoreProgress['phase'], string> = {
  export: 'export',
  inspect: 'inspection',
  clear: 'clear',
  load: 'load',
  verify: 'verification',
  finish: 'cleanup',
  seal: 'composition',
  'read-back': 'verification',
};

type Unit = StoreProgress['units'][string];

/** A store's name in a label. */
export function storeText(store: string): string {
  return store === 'kv' ? 'key-value' : store;
}

/** What a store is doing: `graph export`. */
export function phaseText({ store, phase }: StoreProgress): string {
  return `${storeText(store)} ${PHASES[phase]}`;
}

/** `bytes`, and `bytes:<collection>`. */
export function isBytes(unit: string): boolean {
  return unit === 'bytes' || unit.startsWith('bytes:');
}

/**
 * How far a store has come: `1,200 of 5,000 nodes, 300/s, 13 s left`. Many collections are summed up:
 * `200 collections, 198 done, 13.3 MB`.
 */
export function progressText(progress: StoreProgress, verbose = false): string {
  const { units, finished } = progress;
  const all = Object.entries(units);
  const named = all.filter(([unit]) => unit.includes(':'));
  const names = new Set(named.map(([unit]) => unit.slice(unit.indexOf(':') + 1)));
  const summed = names.size > LISTED_MAX && !verbose;
  const texts = [
    ...all
      .filter((entry) => !summed || !named.includes(entry))
      .map(([unit, of]) => unitText(unit, of, finished)),
    ...(summed ? [summaryText(named, names.size, finished)] : []),
  ];
  if (texts.length > 0) return texts.join(pc.dim(' · '));
  return finished ? 'done' : 'started';
}

function unitText(unit: string, { done, total, rate, remaining_seconds }: Unit, finished: boolean): string {
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

function summaryText(named: readonly [string, Unit][], size: number, finished: boolean): string {
  const open = named.filter(([, { done, total }]) => total === undefined || done < total);
  const unfinished = finished ? 0 : new Set(open.map(([unit]) => unit.slice(unit.indexOf(':') + 1))).size;
  const kinds = Map.groupBy(named, ([unit]) => unit.slice(0, unit.indexOf(':')));
  const amounts = [...kinds].map(([kind, units]) => {
    const done = units.reduce((sum, [, unit]) => sum + unit.done, 0);
    return kind === 'bytes' ? bytes(done) : `${count(done)} ${kind}`;
  });
  return [`${count(size)} collections`, `${count(size - unfinished)} done`, ...amounts].join(', ');
}
