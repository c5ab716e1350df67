import { DescribeStateMachineCommand } from '@aws-sdk/client-sfn';
import { z } from 'zod';
import { describeError } from '../core/errors.ts';
import { overdueJobs } from '../workflows/janitor/overdue.ts';
import { type BackupAge, backupAges } from './backup-age.ts';
import type { OperationsContext } from './context.ts';
import { listSchedules, type ScheduleView } from './list-schedules.ts';
import { whyUnreadable } from './recoverability.ts';

const HOUR_MS = 60 * 60 * 1000;
export const Health = z.object({
  status: z.enum(['ok', 'degraded']),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string() })),
});
export type Health = z.infer<typeof Health>;
type Check = Health['checks'][number];

/**
 * Checks whether bucket and workflows respond, how old the newest good backup of each target is, and whether schedules
 * run as planned. Never throws because of a failed check.
 */
export async function checkHealth(context: OperationsContext): Promise<Health> {
  const { sfn, stateMachines } = context;
  const machine = async (arn: string) => {
    const { status } = await sfn.send(new DescribeStateMachineCommand({ stateMachineArn: arn }));
    if (status !== 'ACTIVE') throw new Error(`${arn} is ${status}.`);
    return 'active';
  };
  const schedules = context.scheduler && listSchedules(context);
  const [backups, ...others] = await Promise.all([
    // If schedules can't be read, the check of schedules reports it.
    checkBackups(context, schedules?.then((found) => found.schedules).catch(() => []) ?? Promise.resolve([])),
    check('backup workflow', () => machine(stateMachines.backup)),
    check('restore workflow', () => machine(stateMachines.restore)),
    check('clean-up', () => describeCleanup(context)),
    ...(schedules ? [check('schedules', async () => describeSchedules(await schedules))] : []),
  ]);
  const checks = [...backups, ...others];
  return { status: checks.every(({ ok }) => ok) ? 'ok' : 'degraded', checks };
}

async function check(name: string, look: () => Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, message: await look() };
  } catch (error) {
    return { name, ok: false, message: describeError(error) };
  }
}

/** One check for the bucket, and one for each target. */
async function checkBackups(
  context: OperationsContext,
  schedules: Promise<ScheduleView[]>,
): Promise<Check[]> {
  let ages: BackupAge[];
  try {
    ages = await backupAges(context, schedules);
  } catch (error) {
    return [{ name: 'bucket', ok: false, message: describeError(error) }];
  }
  const bucket = { name: 'bucket', ok: true, message: context.bucket.place };
  if (ages.length === 0) return [bucket, { name: 'newest backup', ok: false, message: NONE }];
  const targets = ages.map(async ({ target, backup, age, tooOld }): Promise<Check> => {
    const name = `newest backup of ${target}`;
    if (!backup) return { name, ok: false, message: NONE };
    const description = `${backup.backup_id}, ${Math.round(age / HOUR_MS)} hours old`;
    const unreadable = await whyUnreadable(context, backup);
    if (unreadable) {
      const { text, remedy = '' } = unreadable;
      return { name, ok: false, message: `${description}: ${text} ${remedy}`.trimEnd() };
    }
    return { name, ok: !tooOld, message: tooOld ? `${description}: older than allowed.` : description };
  });
  return [bucket, ...(await Promise.all(targets))];
}

const NONE = 'There is no verified backup yet.';

/** Jobs known to have ended, cached for the lifetime of this process. */
const closed = new Set<string>();
/** Number of jobs that a message names. */
const OVERDUE_SHOWN = 5;

/** Throws if the end of an execution has not been handled, because of a lost event or a failed cleanup. */
async function describeCleanup(context: OperationsContext): Promise<string> {
  const jobs: string[] = [];
  for await (const { job } of overdueJobs(context, { closed })) jobs.push(job.job_id);
  if (jobs.length === 0) return 'every finished execution was cleaned up';
  const more = jobs.length > OVERDUE_SHOWN ? `, and ${jobs.length - OVERDUE_SHOWN} more` : '';
  throw new Error(
    `The execution of ${jobs.slice(0, OVERDUE_SHOWN).join(', ')}${more} has ended without cleanup. The janitor retries every 15 minutes; its log gives the reason.`,
  );
}

/** Throws if the newest planned run of a schedule did not start, or if a schedule can't be read. */
function describeSchedules({ schedules, unreadable }: Awaited<ReturnType<typeof listSchedules>>): string {
  const problems = [
    ...schedules.flatMap(({ name, last_run, missed_runs: [missed] }) =>
      missed !== undefined && (last_run === undefined || Date.parse(last_run.at) < Date.parse(missed))
        ? [`${name} should have run at ${missed} and did not`]
        : [],
    ),
    ...unreadable.map(({ name }) => `${name} can't be read`),
  ];
  if (problems.length > 0) {
    throw new Error(`${problems.join('; ')}. \`ngbak schedule show\` says more.`);
  }
  const enabled = schedules.filter((schedule) => schedule.enabled).length;
  return `${enabled} enabled, ${schedules.length - enabled} paused`;
}
