import { parseInput } from '../core/input.ts';
import { ScheduleName } from '../schedules/schedule.ts';
import type { OperationsContext } from './context.ts';
import { schedulerOf } from './list-schedules.ts';
import { type StartedBackup, startBackup } from './start-backup.ts';

/**
 * Runs a schedule now: starts the same backup, which is skipped and recorded in the same way if another job is running.
 * Paused schedules can be run manually too. Throws NotFoundError.
 */
export async function runSchedule(
  context: OperationsContext,
  name: string,
  by: { requestedBy: string; idempotencyKey?: string | undefined },
): Promise<StartedBackup> {
  const id = parseInput(ScheduleName, name, 'The name of the schedule');
  const { backup, made_by } = await schedulerOf(context).get(id);
  return startBackup(context, backup, {
    ...by,
    schedule: { name: id, ...(made_by === undefined ? {} : { made_by }) },
  });
}
