import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { ThawRequest } from '../core/storage-class.ts';
import { ScheduledRunOf } from './request.ts';

/**
 * Whether a rehearsal takes the place of a drill: it reads and parses the whole archive in the functions that would
 * restore it, and writes nothing. `if_needed`: if the target has no scratch place.
 */
export const Rehearsal = z.enum(['never', 'if_needed', 'always']);
export type Rehearsal = z.infer<typeof Rehearsal>;

/** Options of a drill. */
export const DrillInput = z.strictObject({
  /** The backup to restore. Default: the newest good backup of the target. */
  backup_id: Id.optional(),
  /**
   * The target whose backup is restored, never the destination. Optional if there is only one, or if a backup is given.
   */
  target: Id.optional(),
  /** Default: `never`; for schedules `if_needed`. */
  rehearsal: Rehearsal.optional(),
  /** Refuses a backup without a valid signature of a known key. */
  require_signature: z.boolean().optional(),
  /** Thaws an archive that is in cold storage, and waits for it. If absent, such an archive is refused. */
  thaw: ThawRequest.optional(),
});
export type DrillInput = z.infer<typeof DrillInput>;

/** Input of the restore workflow that makes it a drill. */
export const DrillRequest = z.strictObject({
  drill: DrillInput,
  /** Set by a schedule. */
  schedule: ScheduledRunOf.optional(),
  requested_by: z.string().max(200).optional(),
});
export type DrillRequest = z.infer<typeof DrillRequest>;
