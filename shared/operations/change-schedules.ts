import { isDeepStrictEqual } from 'node:util';
import type { NgbakConfig } from '../core/config.ts';
import { InvalidInputError } from '../core/errors.ts';
import { parseInput } from '../core/input.ts';
import { RefusedError, requireAllowed } from '../core/refusals.ts';
import { parseExpression } from '../schedules/expression.ts';
import {
  type CreateScheduleInput,
  type Schedule,
  type ScheduleChanges,
  ScheduledBackup,
  type ScheduledWork,
  ScheduleName,
  ScheduleSettings,
  workOf,
} from '../schedules/schedule.ts';
import { chooseBackupStores, chooseScopes } from '../workflows/backup/choose-stores.ts';
import { drillDestination } from '../workflows/drill/destination.ts';
import { chooseTarget } from '../workflows/job/names.ts';
import type { OperationsContext } from './context.ts';
import { type ScheduleView, schedulerOf, showSchedule } from './list-schedules.ts';

/**
 * Creates a schedule, identified by its name. Creating an identical one again is not an error. Throws
 * InvalidInputError, and RefusedError if a different schedule has that name.
 */
export async function createSchedule(
  context: OperationsContext,
  { name, ...settings }: CreateScheduleInput,
  by: { requestedBy: string },
): Promise<ScheduleView> {
  const scheduler = schedulerOf(context);
  checkTimes(settings);
  const { backup: _backup, drill: _drill, ...times } = settings;
  const wanted = { ...times, ...resolveWork(context.config, workOf(settings)) };
  try {
    await scheduler.create(name, wanted, by.requestedBy);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    const { settings: existing } = split(await scheduler.get(name));
    if (!isDeepStrictEqual(existing, wanted)) throw error;
  }
  return showSchedule(context, name);
}

/**
 * Changes a schedule; `enabled` pauses and resumes it. Absent fields stay unchanged. Scheduler has no conditional
 * writes: of two concurrent changes, the later one overwrites the other completely. Throws NotFoundError and
 * InvalidInputError.
 */
export async function changeSchedule(
  context: OperationsContext,
  name: string,
  { backup, drill, ...changes }: ScheduleChanges,
): Promise<ScheduleView> {
  const scheduler = schedulerOf(context);
  const id = parseInput(ScheduleName, name, 'The name of the schedule');
  const { settings, madeBy } = split(await scheduler.get(id));
  requireKind(id, settings, { backup, drill });
  const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
  const changed: ScheduleSettings = {
    ...settings,
    ...given,
    ...((backup ?? drill) ? resolveWork(context.config, workOf({ backup, drill })) : {}),
  };
  // A schedule without future runs may still be paused or described.
  if (changed.enabled && (changes.expression ?? changes.time_zone ?? changes.enabled) !== undefined) {
    checkTimes(changed);
  } else parseExpression(changed.expression, changed.time_zone);
  await scheduler.update(id, changed, madeBy);
  return showSchedule(context, id);
}

/** Removes a schedule. Its backups are kept. Throws NotFoundError, and RefusedError for schedules of the deployment. */
export async function removeSchedule(context: OperationsContext, name: string): Promise<{ name: string }> {
  const scheduler = schedulerOf(context);
  const id = parseInput(ScheduleName, name, 'The name of the schedule');
  const { made_by } = await scheduler.get(id);
  requireAllowed('removeSchedule', { name: id, made_by });
  await scheduler.remove(id);
  return { name: id };
}

function split(schedule: Schedule): { settings: ScheduleSettings; madeBy: string | undefined } {
  const { name, kind, made_by, created_at, changed_at, ...settings } = schedule;
  return { settings: ScheduleSettings.parse(settings), madeBy: made_by };
}

/** Throws InvalidInputError if a change is for schedules of the other kind. */
function requireKind(
  name: string,
  current: Pick<ScheduleSettings, 'backup' | 'drill'>,
  wanted: Pick<ScheduleSettings, 'backup' | 'drill'>,
): void {
  const isDrill = current.drill !== undefined;
  if ((isDrill ? wanted.backup : wanted.drill) === undefined) return;
  throw new InvalidInputError(
    `Schedule "${name}" starts ${isDrill ? 'drills, which have no options of backups' : 'backups, not drills'}.`,
    { remedy: 'Remove it and create another one, or leave these options out.' },
  );
}

/**
 * Makes the target explicit, so that the schedule stays unambiguous when targets are added, and validates target,
 * stores and subset.
 */
function resolveWork(config: NgbakConfig | undefined, work: ScheduledWork): ScheduledWork {
  if (!config) return work;
  if (work.drill) {
    const target = chooseTarget(config, work.drill.target);
    drillDestination(config, target, work.drill.rehearsal);
    return { drill: { ...work.drill, target } };
  }
  const { backup } = work;
  const target = chooseTarget(config, backup.target);
  chooseScopes(config, target, chooseBackupStores(config, target, backup), backup.only);
  return { backup: ScheduledBackup.parse({ ...backup, target }) };
}

/** Throws InvalidInputError if the expression is invalid or has no future runs. */
function checkTimes({ expression, time_zone, enabled }: ScheduleSettings): void {
  const timing = parseExpression(expression, time_zone);
  const now = new Date();
  const hasFutureRun =
    timing.kind === 'rate' || (timing.kind === 'at' ? timing.time > now : timing.next(1, now).length > 0);
  if (hasFutureRun || !enabled) return;
  throw new InvalidInputError(`"${expression}" in ${time_zone} never occurs in the future.`, {
    remedy: 'Give a time in the future, or a pattern that matches a date.',
  });
}
