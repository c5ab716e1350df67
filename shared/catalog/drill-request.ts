import { z } from 'zod';
import { Id } from '../core/ids.ts';
import { ScheduledRunOf } from './request.ts';

/** Options of a drill. */
export const DrillInput = z.strictObject({
  /** The backup to restore. Default: the newest good backup of the target. */
  backup_id: Id.optional(),
  /**
   * The target whose backup is restored, never the destination. Optional if there is only one, or if a backup is given.
   */
  target: Id.optional(),
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
