import { z } from 'zod';
import { BackupRequest } from '../catalog/request.ts';
import { parseJson } from '../core/input.ts';
import type { ScheduledBackup } from './schedule.ts';

/** Scheduler replaces this with the planned time of a run ("Adding context attributes" in its user guide). */
export const SCHEDULED_TIME = '<aws.scheduler.scheduled-time>';

/**
 * How often and how long Scheduler retries to start a run. A run that is hours late would cause load at the time of day
 * that the schedule is meant to avoid.
 */
export const RETRY = { attempts: 10, seconds: 2 * 60 * 60 } as const;

/** The input that Scheduler passes to the backup workflow: a backup request that names its schedule. */
export function scheduledRequest(
  name: string,
  backup: z.input<typeof ScheduledBackup>,
  madeBy: string | undefined,
) {
  return {
    ...backup,
    requested_by: `schedule:${name}`,
    schedule: {
      name,
      scheduled_at: SCHEDULED_TIME,
      ...(madeBy === undefined ? {} : { made_by: madeBy }),
    },
  };
}

/** The request as stored, with a placeholder for its time. */
const StoredRequest = BackupRequest.omit({ part_of: true, requested_by: true }).extend({
  requested_by: z.string().optional(),
  schedule: z.strictObject({
    name: z.string(),
    scheduled_at: z.literal(SCHEDULED_TIME),
    made_by: z.string().optional(),
  }),
});

/** Reads the input that {@link scheduledRequest} wrote. Throws InvalidInputError if something else wrote it. */
export function readScheduledRequest(
  name: string,
  input: string | undefined,
): { backup: ScheduledBackup; madeBy: string | undefined } {
  const { schedule, requested_by, ...backup } = parseJson(
    StoredRequest,
    input ?? '',
    `The input of schedule "${name}"`,
    'It was changed outside of ngbak. Delete it in EventBridge Scheduler and create it again.',
  );
  return { backup, madeBy: schedule.made_by };
}
