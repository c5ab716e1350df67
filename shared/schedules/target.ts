import { z } from 'zod';
import { DrillRequest } from '../catalog/drill-request.ts';
import { BackupRequest } from '../catalog/request.ts';
import { parseJson } from '../core/input.ts';
import { type ScheduledBackup, ScheduledDrill, type ScheduledWork } from './schedule.ts';

/** Scheduler replaces this with the planned time of a run ("Adding context attributes" in its user guide). */
export const SCHEDULED_TIME = '<aws.scheduler.scheduled-time>';

/**
 * How often and how long Scheduler retries to start a run. A run that is hours late would cause load at the time of day
 * that the schedule is meant to avoid.
 */
export const RETRY = { attempts: 10, seconds: 2 * 60 * 60 } as const;

/** The origin of a scheduled request, with a placeholder for the planned time. */
function originOf(name: string, madeBy: string | undefined) {
  return {
    requested_by: `schedule:${name}`,
    schedule: {
      name,
      scheduled_at: SCHEDULED_TIME,
      ...(madeBy === undefined ? {} : { made_by: madeBy }),
    },
  };
}

/** The input that Scheduler passes to the backup workflow: a backup request that names its schedule. */
export function scheduledBackup(
  name: string,
  backup: z.input<typeof ScheduledBackup>,
  madeBy: string | undefined,
) {
  return { ...backup, ...originOf(name, madeBy) };
}

/** The input that Scheduler passes to the restore workflow: a drill that names its schedule. */
export function scheduledDrill(
  name: string,
  drill: z.input<typeof ScheduledDrill>,
  madeBy: string | undefined,
) {
  return { drill, ...originOf(name, madeBy) };
}

const StoredOrigin = {
  requested_by: z.string().optional(),
  schedule: z.strictObject({
    name: z.string(),
    scheduled_at: z.literal(SCHEDULED_TIME),
    made_by: z.string().optional(),
  }),
};
/** The requests as stored, with a placeholder for their time. */
const StoredBackup = BackupRequest.omit({ part_of: true }).extend(StoredOrigin);
const StoredDrill = DrillRequest.extend({ drill: ScheduledDrill, ...StoredOrigin });

const REMEDY = 'It was changed outside of ngbak. Delete it in EventBridge Scheduler and create it again.';

/**
 * Reads the input that {@link scheduledBackup} or {@link scheduledDrill} wrote. Throws InvalidInputError if something
 * else wrote it.
 */
export function readScheduledRequest(
  name: string,
  input = '',
): { work: ScheduledWork; madeBy: string | undefined } {
  const what = `The input of schedule "${name}"`;
  const isDrill =
    parseJson(z.looseObject({ drill: z.json().optional() }), input, what, REMEDY).drill !== undefined;
  if (isDrill) {
    const { drill, schedule } = parseJson(StoredDrill, input, what, REMEDY);
    return { work: { drill }, madeBy: schedule.made_by };
  }
  const { schedule, requested_by: _, ...backup } = parseJson(StoredBackup, input, what, REMEDY);
  return { work: { backup }, madeBy: schedule.made_by };
}
