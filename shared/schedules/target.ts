import { z } from 'zod';
import { BackupRequest } from '../catalog/request.ts';
import { parseJson } from '../core/input.ts';
import type { ScheduledBackup } from './schedule.ts';

/** Scheduler replaces this by the time that a run was planned for ("Adding context attributes" in its user guide). */
export const SCHEDULED_TIME = '<aws.scheduler.scheduled-time>';

/** How often and how long Scheduler tries to start a run. A run that is hours late would work in the day that it was to be out of the way of. */
export const RETRY = { attempts: 10, seconds: 2 * 60 * 60 } as const;

/** What Scheduler hands to the backup workflow: a backup request that says which schedule it is from. */
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

/** The request with its time still open, as it is stored. */
const StoredRequest = BackupRequest.omit({ part_of: true, requested_by: true }).extend({
  requested_by: z.string().optional(),
  schedule: z.strictObject({
    name: z.string(),
    scheduled_at: z.literal(SCHEDULED_TIME),
    made_by: z.string().optional(),
  }),
});

/** Reads what {@link scheduledRequest} wrote. Throws InvalidInputError where somebody else wrote it. */
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
