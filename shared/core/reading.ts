import { z } from 'zod';
import { Id } from './ids.ts';

/**
 * Where a backup has the data of a store from: it read the store, or it carried the data from the archive of an earlier
 * backup, because the store provably did not change since.
 */
export const Reading = z.object({
  /** The backup that read the store. */
  backup_id: Id,
  /** When that backup began. */
  at: z.iso.datetime({ offset: true }),
  /** How many backups in a row have carried the data since then. 0 if this backup read the store. */
  carried: z.int().nonnegative(),
  /** The backup whose archive the data was copied from. It may have been deleted since. Absent if the store was read. */
  from: Id.optional(),
  /** Why the store was read. Absent if the data was carried. */
  reason: z.string().optional(),
});
export type Reading = z.infer<typeof Reading>;

/** Data of a store is carried at most until one of these limits. */
export const FullReading = z.strictObject({
  /** Every so many backups of a store read it. 1: all of them. */
  every_backups: z.int().min(1).max(10_000).default(24),
  /** A backup reads a store that was last read so many days ago, or earlier. */
  every_days: z.number().positive().max(366).default(7),
});
export type FullReading = z.infer<typeof FullReading>;
