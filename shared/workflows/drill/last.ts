import { z } from 'zod';
import type { Bucket } from '../../aws/bucket.ts';
import { lastDrillsKey } from '../../aws/keys.ts';
import { InvalidInputError } from '../../core/errors.ts';
import { Id } from '../../core/ids.ts';
import type { DrillRecord } from './record.ts';

/** A drill, or a rehearsal, of a full backup that has passed. */
const Passed = z.object({
  job_id: Id,
  backup_id: z.string(),
  finished_at: z.iso.datetime(),
  /** The stores that were restored, or rehearsed. */
  stores: z.array(z.string()),
  /** Duration of the restore with its verification, in seconds, and uncompressed bytes of the archive. Of a drill. */
  seconds: z.number().optional(),
  bytes: z.number().optional(),
});

/**
 * The last passed drill and rehearsal of a target, and its last drill: `drills/.last/<target>.json`. Derived from their records, because
 * there may be too many of these to read, and job records expire after 90 days, which is less than some intervals.
 */
export const LastDrills = z.object({
  drill: Passed.optional(),
  rehearsal: Passed.optional(),
  /** The last drill that passed or failed. A rehearsal only if it took the place of a drill. */
  last: z
    .object({
      job_id: Id,
      verdict: z.enum(['passed', 'failed']),
      finished_at: z.iso.datetime(),
      error: z.object({ name: z.string(), message: z.string() }).optional(),
    })
    .optional(),
});
export type LastDrills = z.infer<typeof LastDrills>;

/** Remembers how a drill has ended, and a passed one of a full backup as a proof. Idempotent. */
export async function rememberDrill(bucket: Bucket, record: DrillRecord): Promise<void> {
  const { job_id, kind, verdict, target, backup_id, finished_at, archive, stores, restore_seconds } = record;
  const { destination, error } = record;
  if (verdict === 'cancelled') return;
  if (kind === 'drill' || destination.reason !== undefined) {
    const last = { job_id, verdict, finished_at, ...(error === undefined ? {} : { error }) };
    await bucket.updateRecord(lastDrillsKey(target), LastDrills, (known) =>
      (known?.last?.finished_at ?? '') < finished_at ? { ...known, last } : undefined,
    );
  }
  if (verdict !== 'passed' || backup_id === undefined || archive === undefined || archive.partial) return;
  const { uncompressed_bytes: bytes } = archive;
  const passed: z.infer<typeof Passed> = {
    job_id,
    backup_id,
    finished_at,
    stores: Object.keys(stores),
    ...(restore_seconds === undefined ? {} : { seconds: restore_seconds }),
    ...(bytes === undefined ? {} : { bytes }),
  };
  await bucket.updateRecord(lastDrillsKey(target), LastDrills, (known) =>
    (known?.[kind]?.finished_at ?? '') < finished_at ? { ...known, [kind]: passed } : undefined,
  );
}

/** The last passed drills of a target. Empty if there are none, or if they cannot be read. */
export async function readLastDrills(bucket: Bucket, target: string): Promise<LastDrills> {
  try {
    return (await bucket.readRecord(lastDrillsKey(target), LastDrills))?.value ?? {};
  } catch (error) {
    // Without it, the drills of the last 90 days are known from their jobs.
    if (!(error instanceof InvalidInputError)) throw error;
    return {};
  }
}
