import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { jobProgressPrefix } from '../../aws/keys.ts';
import { recordCounts } from '../../catalog/record-counts.ts';
import { StoreName } from '../../core/store-name.ts';
import { kindOf, talliesOfKind, tallyKind } from '../../stores/known-facts.ts';
import { workOf } from './work.ts';

/** Minimum interval between writes of a progress object, in milliseconds. */
const WRITE_INTERVAL_MS = 1000;
/** Interval between samples, in milliseconds, and their number: rates refer to the last minute. */
const SAMPLE_INTERVAL_MS = 5000;
const SAMPLES_MAX = 13;

export const PHASES = [
  'export',
  'inspect',
  'compare',
  'test-load',
  'clear',
  'load',
  'verify',
  'finish',
  'remove',
  'rehearse',
  'seal',
  'read-back',
] as const;

/** The progress of one shard of one store in one phase: `jobs/<job>/progress/<store>-<shard>.json`. */
export const Progress = z.object({
  store: z.union([StoreName, z.literal('archive')]),
  shard: z.string(),
  phase: z.enum(PHASES),
  /** By unit (`nodes`, `relationships`, `points`, `keys`, `bytes`): the number done, and the total if known. */
  units: z.record(z.string(), z.object({ done: z.number(), total: z.number().optional() })),
  /** By unit: the number done when the last leg ended cleanly. A repeated leg starts from there. */
  at_last_leg: z.record(z.string(), z.number()).default({}),
  /**
   * Earlier states of the last minute, oldest first, from which rates are calculated: the work done, and the number done
   * of the units that were changing. Absent in records of earlier versions.
   */
  samples: z
    .array(z.object({ at: z.iso.datetime(), work: z.number(), units: z.record(z.string(), z.number()) }))
    .default([]),
  started_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
  finished: z.boolean(),
});
export type Progress = z.infer<typeof Progress>;

/** The total by unit. */
export type Totals = Readonly<Record<string, number>>;

/**
 * Totals by unit of progress, from counts by tally: `nodes` and `points:<collection>` unchanged, and `keys`, which
 * progress counts as one unit, as a sum.
 */
export function totalsOf(counts: Readonly<Record<string, number>>): Totals {
  const totals: Record<string, number> = { ...counts };
  for (const [tally, count] of Object.entries(counts)) {
    const kind = tallyKind(tally);
    if (kind?.things?.areSummed) totals[kind.name] = (totals[kind.name] ?? 0) + count;
  }
  return totals;
}

/**
 * The units that a phase will report, with their totals. Unlike {@link totalsOf}, only records are included, and only
 * those that the backend of that kind counts.
 *
 * @param counts     by tally
 * @param verifying  the mode of the restore that is verified
 */
export function expectedUnits(
  backend: string,
  counts: Readonly<Record<string, number>>,
  verifying?: 'replace' | 'merge',
): Totals {
  const kinds = new Map(talliesOfKind(backend).map((kind) => [kind.name, kind]));
  const units: Record<string, number> = {};
  for (const [tally, count] of Object.entries(recordCounts(counts))) {
    const kind = kinds.get(kindOf(tally));
    if (kind === undefined || count === 0) continue;
    for (const pass of (verifying && kind.verifiedAs?.[verifying]) ?? [kind.name]) {
      const unit = kind.things?.areSummed ? pass : tally.replace(kind.name, pass);
      units[unit] = (units[unit] ?? 0) + count;
    }
  }
  return units;
}

/** Writes one progress object, at most once per second while the work continues, and once at the end. */
export class ProgressWriter {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #state: Progress;
  readonly #totals: Totals;
  #writtenAt = 0;
  #writing: Promise<void> | undefined;

  private constructor(bucket: Bucket, key: string, state: Progress, totals: Totals) {
    this.#bucket = bucket;
    this.#key = key;
    this.#state = state;
    this.#totals = totals;
  }

  /**
   * Continues the progress of an earlier leg of the same phase, so that units that this leg does not touch stay visible
   * and rates refer to the whole phase. Progress is informational: a record that cannot be read is replaced.
   *
   * @param totals    by unit, for units whose reporter does not know the total
   * @param expected  units that will be reported, with their totals: they are listed before work on them begins
   */
  static async open(
    bucket: Bucket,
    jobId: string,
    part: Pick<Progress, 'store' | 'shard' | 'phase'>,
    totals: Totals = {},
    expected: Totals = {},
  ): Promise<ProgressWriter> {
    const { store, shard, phase } = part;
    const key = `${jobProgressPrefix(jobId)}${store}-${shard}.json`;
    const earlier = await bucket.readRecord(key, Progress).then(
      (found) => found?.value,
      () => undefined,
    );
    const now = new Date().toISOString();
    const begun =
      earlier?.phase === phase
        ? {
            units: earlier.units,
            at_last_leg: earlier.at_last_leg,
            samples: earlier.samples,
            started_at: earlier.started_at,
          }
        : { units: {}, at_last_leg: {}, samples: [], started_at: now };
    const listed = Object.entries(expected).map(([unit, total]) => [unit, { done: 0, total }] as const);
    const units = { ...Object.fromEntries(listed), ...begun.units };
    return new ProgressWriter(
      bucket,
      key,
      { store, shard, phase, ...begun, units, updated_at: now, finished: false },
      { ...totals, ...expected },
    );
  }

  /** Records the progress of a unit. Cheap: most calls only update memory. */
  report(unit: string, done: number, total: number | undefined = this.#totals[unit]): void {
    // NaN would become null in JSON and make the record unreadable, so such a total is treated as unknown.
    this.#state.units[unit] = total === undefined || !Number.isFinite(total) ? { done } : { done, total };
    if (this.#writing === undefined && Date.now() - this.#writtenAt >= WRITE_INTERVAL_MS) {
      // Progress is informational: a failed write must not stop a backup. The next write retries.
      this.#writing = this.#write()
        .catch(() => undefined)
        .finally(() => {
          this.#writing = undefined;
        });
    }
  }

  /** The number of a unit that earlier legs of the phase completed. */
  doneBefore(unit: string): number {
    return this.#state.at_last_leg[unit] ?? 0;
  }

  /** Writes the final state of this leg. `finished` if the phase is complete for this shard. */
  async close(finished: boolean): Promise<void> {
    await this.#writing;
    this.#state.finished = finished;
    this.#state.at_last_leg = Object.fromEntries(
      Object.entries(this.#state.units).map(([unit, { done }]) => [unit, done]),
    );
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#writtenAt = Date.now();
    this.#state.updated_at = new Date().toISOString();
    this.#sample();
    await this.#bucket.writeRecord(this.#key, this.#state);
  }

  /** Keeps the current state as a sample, unless the last one is recent. */
  #sample(): void {
    const { samples, units, updated_at: at } = this.#state;
    const last = samples.at(-1);
    if (last && Date.parse(at) - Date.parse(last.at) < SAMPLE_INTERVAL_MS) return;
    const changing = Object.entries(units).filter(
      ([unit, { done, total }]) => done > 0 && done !== total && done !== last?.units[unit],
    );
    samples.push({
      at,
      work: workOf(units)?.done ?? 0,
      units: Object.fromEntries(changing.map(([unit, { done }]) => [unit, done])),
    });
    if (samples.length > SAMPLES_MAX) samples.shift();
  }
}

/** Every progress object of a job, in the order of stores and shards. */
export async function readProgress(bucket: Bucket, jobId: string): Promise<Progress[]> {
  const all: Progress[] = [];
  for await (const { key } of bucket.keys(jobProgressPrefix(jobId))) {
    const found = await bucket.readRecord(key, Progress);
    if (found) all.push(found.value);
  }
  return all;
}
