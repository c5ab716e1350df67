import { z } from 'zod';
import { InvalidInputError } from '../core/errors.ts';
import { Id } from '../core/ids.ts';
import { parseInput } from '../core/input.ts';
import { JOB_STATES } from '../core/job-state.ts';
import { listRuns, missedRuns, nextRun, ScheduledRun } from '../schedules/runs.ts';
import { Schedule, ScheduleName } from '../schedules/schedule.ts';
import type { Scheduler } from '../schedules/scheduler.ts';
import { readJob, SKIPPED } from '../workflows/job/record.ts';
import type { OperationsContext } from './context.ts';

/** Maximum difference between the clocks of Scheduler and Step Functions, in milliseconds. */
const CLOCKS_MS = 60_000;
/** Maximum number of missed runs that are listed. */
const MISSED_RUNS_MAX = 20;

export const ScheduleView = Schedule.extend({
  /** Absent if the schedule is paused or has no future runs. With a flexible window, the beginning of the window. */
  next_run: z.iso.datetime().optional(),
  last_run: z
    .object({
      job_id: Id,
      /** The planned time. For a manual run, the time when it was started. */
      at: z.iso.datetime(),
      by_hand: z.boolean(),
      /** Absent if the job's record no longer exists: records live for 90 days. */
      state: z.enum(JOB_STATES).optional(),
      /** True if it was skipped because another job was running. */
      skipped: z.boolean(),
      /** Why it was skipped or failed. */
      problem: z.string().optional(),
    })
    .optional(),
  /**
   * Planned times of the last week, since the last change of the schedule, at which no run was started. Newest first,
   * at most 20.
   */
  missed_runs: z.array(z.iso.datetime()),
  missed_total: z.number().int(),
});
export type ScheduleView = z.infer<typeof ScheduleView>;

export const ScheduleList = z.object({
  /** Sorted by name. */
  schedules: z.array(ScheduleView),
  /** Schedules in the group that ngbak did not create. */
  unreadable: z.array(z.object({ name: z.string(), problem: z.string() })),
});
export type ScheduleList = z.infer<typeof ScheduleList>;

/** The schedules of the deployment. Throws InvalidInputError if their location is not known. */
export function schedulerOf({ scheduler }: Pick<OperationsContext, 'scheduler'>): Scheduler {
  if (scheduler) return scheduler;
  throw new InvalidInputError(
    'This deployment has no schedules in EventBridge Scheduler, or they are not known here.',
    {
      remedy:
        'With "service": "rules" under "schedule" in cdk.json, its daily backups are changed there. Otherwise, set NGBAK_SCHEDULE_GROUP and NGBAK_SCHEDULE_ROLE_ARN from the outputs of the stack, or omit NGBAK_BUCKET and the ARNs to read them from the stack.',
    },
  );
}

/** Every schedule with its last and next run and its missed runs. */
export async function listSchedules(
  context: Pick<OperationsContext, 'bucket' | 'scheduler'>,
): Promise<ScheduleList> {
  const now = new Date();
  const scheduler = schedulerOf(context);
  const schedules: ScheduleView[] = [];
  const unreadable: ScheduleList['unreadable'] = [];
  for await (const { name, found, problem } of scheduler.each((schedule) => view(context, schedule, now))) {
    if (problem === undefined) schedules.push(found);
    else unreadable.push({ name, problem });
  }
  return { schedules: schedules.sort((a, b) => (a.name < b.name ? -1 : 1)), unreadable };
}

/** One schedule. Throws NotFoundError. */
export async function showSchedule(context: OperationsContext, name: string): Promise<ScheduleView> {
  const id = parseInput(ScheduleName, name, 'The name of the schedule');
  return view(context, await schedulerOf(context).get(id), new Date());
}

async function view(
  { bucket }: Pick<OperationsContext, 'bucket'>,
  schedule: Schedule,
  now: Date,
): Promise<ScheduleView> {
  // An earlier, removed schedule may have had the same name.
  const since = Date.parse(schedule.created_at) - CLOCKS_MS;
  const runs = (await listRuns(bucket, schedule.name)).filter(({ at }) => at.getTime() >= since);
  const planned = runs.filter(({ byHand }) => !byHand).map(({ at }) => at);
  const missed = missedRuns(schedule, planned, now);
  const next = nextRun(schedule, planned, now);
  const newest = runs.reduce<(typeof runs)[number] | undefined>(
    (latest, run) => (latest && latest.at >= run.at ? latest : run),
    undefined,
  );
  const last = newest && (await bucket.readRecord(newest.key, ScheduledRun))?.value;
  const job = last && (await readJob(bucket, last.job_id));
  return {
    ...schedule,
    ...(next ? { next_run: next.toISOString() } : {}),
    ...(last
      ? {
          last_run: {
            job_id: last.job_id,
            at: last.at,
            by_hand: last.by_hand,
            ...(job ? { state: job.state } : {}),
            skipped: job?.error?.name === SKIPPED,
            ...(job?.error ? { problem: job.error.message } : {}),
          },
        }
      : {}),
    missed_runs: missed.slice(0, MISSED_RUNS_MAX).map((at) => at.toISOString()),
    missed_total: missed.length,
  };
}
