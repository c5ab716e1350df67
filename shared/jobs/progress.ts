import { z } from 'zod';
import type { Bucket } from '../bucket/bucket.ts';
import { jobProgressPrefix } from '../bucket/layout.ts';
import { STORE_NAMES } from '../stores/port.ts';

/** Progress objects are rewritten at most this often, in milliseconds. */
const WRITE_INTERVAL_MS = 1000;

export const PHASES = [
  'export',
  'inspect',
  'clear',
  'load',
  'verify',
  'finish',
  'seal',
  'read-back',
] as const;

/** How far one shard of one store has come in one phase: `jobs/<job>/progress/<store>-<shard>.json`. */
export const Progress = z.object({
  store: z.enum([...STORE_NAMES, 'archive']),
  shard: z.string(),
  phase: z.enum(PHASES),
  /** By unit (`nodes`, `relationships`, `points`, `keys`, `bytes`): how many are done, of how many where that is known. */
  units: z.record(z.string(), z.object({ done: z.number(), total: z.number().optional() })),
  started_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
  finished: z.boolean(),
});
export type Progress = z.infer<typeof Progress>;

/** Writes one progress object, at most each second while the work goes on, and once at the end. */
export class ProgressWriter {
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #state: Progress;
  #writtenAt = 0;
  #writing: Promise<void> | undefined;

  constructor(
    bucket: Bucket,
    jobId: string,
    store: Progress['store'],
    shard: string,
    phase: Progress['phase'],
  ) {
    this.#bucket = bucket;
    this.#key = `${jobProgressPrefix(jobId)}${store}-${shard}.json`;
    const now = new Date().toISOString();
    this.#state = { store, shard, phase, units: {}, started_at: now, updated_at: now, finished: false };
  }

  /** Tells where the work stands. Cheap: most calls only remember. */
  report(unit: string, done: number, total?: number): void {
    // What is no number would become null in JSON, and nobody could read the record: such a total counts as unknown.
    this.#state.units[unit] = total === undefined || !Number.isFinite(total) ? { done } : { done, total };
    if (this.#writing === undefined && Date.now() - this.#writtenAt >= WRITE_INTERVAL_MS) {
      // Progress is for watching: a write that fails must not stop a backup, and the next second tries again.
      this.#writing = this.#write()
        .catch(() => undefined)
        .finally(() => {
          this.#writing = undefined;
        });
    }
  }

  /** Writes the last state of this leg; `finished` where the phase is done for this shard. */
  async close(finished: boolean): Promise<void> {
    await this.#writing;
    this.#state.finished = finished;
    await this.#write();
  }

  async #write(): Promise<void> {
    this.#writtenAt = Date.now();
    this.#state.updated_at = new Date().toISOString();
    await this.#bucket.writeRecord(this.#key, this.#state);
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
