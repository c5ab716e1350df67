import { parseInput } from '../core/input.ts';
import { ScheduleName, workOf } from '../schedules/schedule.ts';
import type { OperationsContext } from './context.ts';
import { startDrill } from './drills.ts';
import { schedulerOf } from './list-schedules.ts';
import { type StartedBackup, startBackup } from './start-backup.ts';

/**
 * Runs a schedule now: starts the same backup or drill, which is skipped and recorded in the same way if another job is
 * running. Paused schedules can be run manually too. Throws NotFoundError.
 */
export async function runSchedule(
  context: OperationsContext,
  name: string,
  by: { requestedBy: string; idempotencyKey?: string | undefined },
): Promise<StartedBackup> {
  const id = parseInput(ScheduleName, name, 'The name of the schedule');
  const { made_by, ...settings } = await schedulerOf(context).get(id);
  const work = workOf(settings);
  const run = { ...by, schedule: { name: id, ...(made_by === undefined ? {} : { made_by }) } };
  return work.drill ? startDrill(context, work.drill, run) : startBackup(context, work.backup, run);
}
