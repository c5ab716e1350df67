import { z } from 'zod';
import { thingOf } from '../stores/known-facts.ts';
import { PHASES, Progress } from '../workflows/job/progress.ts';
import { isBytes, workOf } from '../workflows/job/work.ts';

/** Rates are averages over this time, in milliseconds. */
const WINDOW_MS = 60_000;
/** Shortest time over which a rate is measured, in milliseconds. */
const MEASURED_MS_MIN = 3000;
/** Without a report for this time, in milliseconds, the rate of a step is unknown. */
const SILENT_MS_MAX = 60_000;

/** A number done, its total, rate and remaining time, as far as they are known. */
const Amount = z.object({
  done: z.number(),
  total: z.number().optional(),
  /** Present if the total is approximate: the counts before an export, during which a store may change. */
  estimated: z.literal(true).optional(),
  /** Per second, over the last minute; for a finished phase, over all of it. Absent until it is known. */
  rate: z.number().optional(),
  /** At that rate. Absent if it is unknown. */
  remaining_seconds: z.number().optional(),
});

/** The progress of one store in its current phase. */
export const StoreProgress = z.object({
  store: Progress.shape.store,
  phase: z.enum(PHASES),
  finished: z.boolean(),
  /** By unit, summed over the store's shards. */
  units: z.record(z.string(), Amount),
  /** All units together: records, or bytes if only these are counted. Absent if nothing is counted. */
  work: Amount.extend({ measure: z.enum(['records', 'bytes']), percent: z.number().optional() }).optional(),
  started_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});
export type StoreProgress = z.infer<typeof StoreProgress>;

/** What a job does, in order. Each stage has its own total. */
const STAGES = {
  backup: ['export', 'seal', 'read-back'],
  restore: ['inspect', 'restore'],
} as const;

/** The progress of all stores of a job in its current stage. */
export const OverallProgress = Amount.extend({
  /** `restore`: loading and verification. */
  stage: z.enum([...STAGES.backup, ...STAGES.restore]),
  /** Number of this stage, from 1, and of all stages. */
  stage_number: z.number().int(),
  stages: z.number().int(),
  /** During a restore, a record that is loaded is half done, and a record that is verified is done. */
  measure: z.enum(['records', 'bytes']),
  percent: z.number().optional(),
});
export type OverallProgress = z.infer<typeof OverallProgress>;

/** When progress is looked at. */
export interface Moment {
  /** Milliseconds since 1970. */
  readonly now: number;
  /** True if the job has ended: nothing remains to be waited for. */
  readonly ended: boolean;
}

/** Combines the shards of each store: the newest phase of each store, in the order in which the stores began. */
export function summarizeProgress(parts: readonly Progress[], moment: Moment): StoreProgress[] {
  const groups = Map.groupBy(parts, ({ store }) => store);
  return [...groups.values()]
    .map((group) => newestPhase(group, moment))
    .sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
}

function newestPhase(parts: readonly Progress[], moment: Moment): StoreProgress {
  const newest = parts.reduce((a, b) => (Date.parse(b.started_at) > Date.parse(a.started_at) ? b : a));
  const same = parts.filter(({ phase }) => phase === newest.phase);
  const started = Math.min(...same.map(({ started_at }) => Date.parse(started_at)));
  const updated = Math.max(...same.map(({ updated_at }) => Date.parse(updated_at)));
  const finished = same.every((part) => part.finished);
  const phase: PhaseParts = { parts: same, finished, seconds: (updated - started) / 1000, moment };
  const units: StoreProgress['units'] = {};
  for (const unit of new Set(same.flatMap((part) => Object.keys(part.units)))) {
    const amount = unitAmount(unit, phase);
    if (amount) units[unit] = amount;
  }
  const work = workAmount(phase);
  return {
    store: newest.store,
    phase: newest.phase,
    finished,
    units,
    ...(work === undefined ? {} : { work }),
    started_at: new Date(started).toISOString(),
    updated_at: new Date(updated).toISOString(),
  };
}

/** The shards of a store in the same phase. */
interface PhaseParts {
  readonly parts: readonly Progress[];
  readonly finished: boolean;
  /** Time between the first and the last report. */
  readonly seconds: number;
  readonly moment: Moment;
}

/** Undefined for a unit that was expected, but is not reported or is reported in another way. */
function unitAmount(unit: string, phase: PhaseParts): z.infer<typeof Amount> | undefined {
  const { parts, finished } = phase;
  const counted = parts.flatMap((part) => part.units[unit] ?? []);
  const done = counted.reduce((sum, part) => sum + part.done, 0);
  const known = counted.every((part) => part.total !== undefined);
  // Totals are estimates, and stores change: for a finished phase, the total is the number done.
  const total = known
    ? counted.reduce((sum, part) => sum + (finished ? part.done : Math.max(part.done, part.total ?? 0)), 0)
    : undefined;
  const isSnapshot = !isBytes(unit) && parts.some(({ units }) => `bytes:${thingOf(unit)}` in units);
  if (done === 0 && (isSnapshot || (finished && known))) return undefined;
  const rate =
    !finished && done === total
      ? undefined
      : rateOf(phase, done, (part) => [
          ...part.samples.flatMap(({ at, units }) => {
            const then = units[unit];
            return then === undefined ? [] : [{ at, done: then }];
          }),
          { at: part.updated_at, done: part.units[unit]?.done ?? 0 },
        ]);
  return amountOf({ done, total, rate, estimated: !isBytes(unit), phase });
}

function workAmount(phase: PhaseParts): StoreProgress['work'] {
  const works = phase.parts.flatMap((part) => workOf(part.units, part.finished) ?? []);
  const [first] = works;
  if (!first) return undefined;
  const { measure } = first;
  const done = works.reduce((sum, work) => sum + work.done, 0);
  const total = works.every((work) => work.measure === measure && work.total !== undefined)
    ? works.reduce((sum, work) => sum + (work.total ?? 0), 0)
    : undefined;
  const rate = rateOf(phase, done, (part) => [
    ...part.samples.map(({ at, work }) => ({ at, done: work })),
    { at: part.updated_at, done: workOf(part.units)?.done ?? 0 },
  ]);
  const amount = amountOf({ done, total, rate, estimated: measure === 'records', phase });
  const percent = phase.finished ? 100 : percentOf(done, total);
  return { ...amount, done: Math.floor(done), measure, ...(percent === undefined ? {} : { percent }) };
}

/** Below 100 until the phase is finished: its last step may fail. */
function percentOf(done: number, total: number | undefined): number | undefined {
  return total === undefined || total === 0 ? undefined : Math.min(99, Math.floor((done / total) * 100));
}

function amountOf({
  done,
  total,
  rate,
  estimated,
  phase: { parts, finished, moment },
}: {
  done: number;
  total: number | undefined;
  rate: number | undefined;
  estimated: boolean;
  phase: PhaseParts;
}): z.infer<typeof Amount> {
  const isEstimate = total !== undefined && !finished && estimated && parts[0]?.phase === 'export';
  // More than an estimate may follow once it is reached.
  const isKnown = total !== undefined && rate !== undefined && !(isEstimate && done >= total);
  return {
    done,
    ...(total === undefined ? {} : { total }),
    ...(isEstimate ? { estimated: true as const } : {}),
    ...(rate === undefined ? {} : { rate }),
    ...(isKnown && !finished && !moment.ended
      ? { remaining_seconds: Math.ceil(Math.max(0, total - done) / rate) }
      : {}),
  };
}

/** A number done at some time. */
interface Sample {
  readonly at: string;
  readonly done: number;
}

/** The rate of a phase, summed over the shards that continue. Undefined while none is known. */
function rateOf(
  { parts, finished, seconds, moment: { now, ended } }: PhaseParts,
  done: number,
  samplesOf: (part: Progress) => readonly Sample[],
): number | undefined {
  if (finished) return seconds > 0 && done > 0 ? done / seconds : undefined;
  if (ended) return undefined;
  const rates = parts
    .filter((part) => !part.finished && now - Date.parse(part.updated_at) <= SILENT_MS_MAX)
    .flatMap((part) => recentRate(samplesOf(part)) ?? []);
  return rates.length === 0 ? undefined : rates.reduce((sum, rate) => sum + rate, 0);
}

/**
 * The average rate per second over the last minute of samples, oldest first. Undefined if they cover too little time, or
 * if nothing was done.
 */
export function recentRate(samples: readonly Sample[]): number | undefined {
  const end = samples.at(-1);
  if (!end) return undefined;
  // A repeated leg starts again from where the leg before it ended.
  const fall = samples.findLastIndex(
    ({ done }, index) => index > 0 && done < (samples[index - 1]?.done ?? 0),
  );
  const rising = samples.slice(Math.max(0, fall));
  const endMs = Date.parse(end.at);
  const start = rising.findLast(({ at }) => endMs - Date.parse(at) >= WINDOW_MS) ?? rising[0];
  if (!start || endMs - Date.parse(start.at) < MEASURED_MS_MIN || end.done <= start.done) return undefined;
  return ((end.done - start.done) * 1000) / (endMs - Date.parse(start.at));
}

/** A store of a restore, and the records that are loaded into it, by unit; undefined if their number is unknown. */
export interface RestoredStore {
  readonly store: string;
  readonly units: Readonly<Record<string, number>> | undefined;
}

/**
 * The progress of a whole job. Undefined if its total is unknown, or if nothing is in progress.
 *
 * @param restored  the stores of a restore or drill, once it was inspected
 */
export function overallProgress(
  stores: readonly StoreProgress[],
  restored: readonly RestoredStore[] | undefined,
  moment: Moment,
): OverallProgress | undefined {
  const others = stores.filter(({ store }) => store !== 'archive');
  const archive = stores.find(({ store }) => store === 'archive');
  if (archive && (archive.phase !== 'inspect' || others.length === 0)) {
    const { phase, work } = archive;
    if (!work || (phase !== 'inspect' && phase !== 'seal' && phase !== 'read-back')) return undefined;
    return { ...stageOf(phase), ...work };
  }
  if (restored) return overallRestore(others, restored, moment);
  return others.every(({ phase }) => phase === 'export') ? overallExport(others) : undefined;
}

function stageOf(
  stage: OverallProgress['stage'],
): Pick<OverallProgress, 'stage' | 'stage_number' | 'stages'> {
  const stages: readonly string[] =
    Object.values(STAGES).find((all: readonly string[]) => all.includes(stage)) ?? [];
  return { stage, stage_number: stages.indexOf(stage) + 1, stages: stages.length };
}

function overallExport(stores: readonly StoreProgress[]): OverallProgress | undefined {
  const works = stores.flatMap(({ work, finished }) => (work ? [{ ...work, finished }] : []));
  if (
    works.length === 0 ||
    works.some(({ measure, total }) => measure !== 'records' || total === undefined)
  ) {
    return undefined;
  }
  const running = works.filter(({ finished }) => !finished);
  const [done, total] = [sumOf(works, (work) => work.done), sumOf(works, (work) => work.total)];
  const rate = sumOf(running, (work) => work.rate);
  const percent = running.length === 0 ? 100 : percentOf(done, total);
  return {
    ...stageOf('export'),
    measure: 'records',
    done,
    total,
    ...(running.length === 0 ? {} : { estimated: true as const }),
    ...(percent === undefined ? {} : { percent }),
    ...(rate > 0 ? { rate } : {}),
    // The stores are exported at the same time.
    ...remaining(running.map((work) => work.remaining_seconds)),
  };
}

function sumOf<T>(items: readonly T[], value: (item: T) => number | undefined): number {
  return items.reduce((sum, item) => sum + (value(item) ?? 0), 0);
}

/** The longest of several times. Nothing if one of them is unknown, or if there are none. */
function remaining(seconds: readonly (number | undefined)[]): { remaining_seconds?: number } {
  const known = seconds.filter((value) => value !== undefined);
  if (known.length === 0 || known.length < seconds.length) return {};
  return { remaining_seconds: Math.max(...known) };
}

/** What is done of a store's restore, and what remains of it. */
interface StoreShare {
  readonly records: number;
  /** Loaded, and verified, from 0 to 1. */
  readonly loaded: number;
  readonly verified: number;
  /** Records per second, in the current phase. */
  readonly rate: number | undefined;
  /** Seconds until all is loaded, and seconds that the verification takes after that. */
  readonly loading: number | undefined;
  readonly verifying: number | undefined;
}

function overallRestore(
  stores: readonly StoreProgress[],
  restored: readonly RestoredStore[],
  { ended }: Moment,
): OverallProgress | undefined {
  const shares: StoreShare[] = [];
  for (const { store, units } of restored) {
    if (units === undefined) return undefined;
    const records = sumOf(Object.values(units), (count) => count);
    const progress = stores.find((one) => one.store === store);
    if (records > 0) shares.push(shareOf(records, progress));
  }
  const total = sumOf(shares, ({ records }) => records);
  if (total === 0 || stores.length === 0) return undefined;
  const done = sumOf(shares, ({ records, loaded, verified }) => (records * (loaded + verified)) / 2);
  const rate = sumOf(shares, (share) => share.rate) / 2;
  // No store is verified before all are loaded.
  const loading = remaining(shares.map((share) => share.loading)).remaining_seconds;
  const verifying = remaining(shares.map((share) => share.verifying)).remaining_seconds;
  const isDone = shares.every(({ verified }) => verified === 1);
  const percent = isDone ? 100 : percentOf(done, total);
  return {
    ...stageOf('restore'),
    measure: 'records',
    done: Math.floor(done),
    total,
    ...(percent === undefined ? {} : { percent }),
    ...(rate > 0 && !ended && !isDone ? { rate } : {}),
    ...(loading === undefined || verifying === undefined || ended || isDone
      ? {}
      : { remaining_seconds: Math.ceil(loading + verifying) }),
  };
}

/**
 * Before the verification begins, it is assumed to run at the rate of the load. It takes less time, since reading is
 * faster than writing.
 */
function shareOf(records: number, progress: StoreProgress | undefined): StoreShare {
  const { phase, finished = false, work } = progress ?? {};
  const done = finished ? 1 : work?.total ? work.done / work.total : 0;
  const rate = work?.measure === 'records' ? work.rate : undefined;
  if (phase === 'load') {
    const loading = finished ? 0 : work?.remaining_seconds;
    const verifying = rate === undefined ? undefined : records / rate;
    return { records, loaded: done, verified: 0, rate: finished ? undefined : rate, loading, verifying };
  }
  if (phase === 'verify') {
    // A verification may read each record more than once.
    const perRecord = work?.total ? records / work.total : 1;
    const speed = rate === undefined || finished ? undefined : rate * perRecord;
    const verifying = finished ? 0 : work?.remaining_seconds;
    return { records, loaded: 1, verified: done, rate: speed, loading: 0, verifying };
  }
  if (phase === 'rehearse') {
    // One pass, which writes nothing.
    const twice = rate === undefined || finished ? undefined : rate * 2;
    const left = finished ? 0 : work?.remaining_seconds;
    return { records, loaded: done, verified: done, rate: twice, loading: 0, verifying: left };
  }
  if (phase === 'finish' || phase === 'remove') {
    return { records, loaded: 1, verified: 1, rate: undefined, loading: 0, verifying: 0 };
  }
  return { records, loaded: 0, verified: 0, rate: undefined, loading: undefined, verifying: undefined };
}
