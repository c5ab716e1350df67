import { type Command, InvalidArgumentError, Option } from 'commander';
import { describeSubset } from '../../shared/core/describe-subset.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { parseInput } from '../../shared/core/input.ts';
import { STORE_ROLES } from '../../shared/core/store-names.ts';
import { rolesNamed } from '../../shared/core/subset.ts';
import type { ScheduleView } from '../../shared/operations/list-schedules.ts';
import { CreateScheduleInput, ScheduleChanges } from '../../shared/schedules/schedule.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { reportEnd } from '../finish.ts';
import { followJob } from '../follow.ts';
import { localTime } from '../format.ts';
import { fields, table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { list, whole } from './options.ts';
import { type OnlyFlags, onlyOf, onlyOptions } from './restore-parts.ts';

const TEACHING = `
When to run, one of:
  --daily 03:00                      every day at that time
  --weekly "sun 04:00"               every week at that day and time
  --cron "30 1 ? * MON-FRI *"        minutes, hours, day of month, month, day of week, year;
                                     one of the two day fields is "?"; L: last, 15W: weekday
                                     nearest the 15th, 6#3: third Friday (1 is Sunday)
  --rate "6 hours"                   repeatedly, starting when the schedule is created
  --at 2026-12-24T20:00:00           once
Times are in the time zone of --zone, with daylight saving time.

Examples:
  ngbak schedule create nightly --daily 02:30 --zone Europe/Berlin --keep 14d
  ngbak schedule create graph-hourly --rate "1 hour" --stores graph --keep 2d --tag hourly
  ngbak schedule create weekly-drill --drill --weekly "sun 04:00"
  ngbak schedule change nightly --flexible 30
  ngbak schedule list --json | jq -r 'select(.type == "schedule") | .data.missed_runs[]'
`;

/** `ngbak schedule …` */
export function scheduleCommand(program: Command): void {
  const schedule = program
    .command('schedule')
    .summary('list, create, change, pause and remove schedules')
    .description(
      'Scheduled backups and drills. Schedules are kept in EventBridge Scheduler: changing one needs no deployment, and running one needs no machine of yours.',
    );
  listCommand(schedule);
  showCommand(schedule);
  createCommand(schedule);
  changeCommand(schedule);
  pauseCommands(schedule);
  removeCommand(schedule);
  runCommand(schedule);
}

function listCommand(schedule: Command): void {
  schedule
    .command('list')
    .summary('list schedules with their last, next and missed runs')
    .description(
      'Lists the schedules: what each backs up or drills, its last and next run, and the runs that were missed in the last week.',
    )
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const { schedules, ...rest } = await (await cli.client()).listSchedules();
      for (const found of schedules) cli.output.event('schedule', found);
      cli.output.result('page', rest, () =>
        schedules.length === 0 ? 'No schedules.' : table(HEAD, schedules.map(row)),
      );
      for (const { name, missed_total, missed_runs } of schedules) {
        if (missed_total === 0) continue;
        cli.output.warn(
          `Schedule ${name} missed ${missed_total} ${missed_total === 1 ? 'run' : 'runs'} in the last week, the newest at ${localTime(missed_runs[0] ?? '')}.`,
        );
      }
      for (const { name, problem } of rest.unreadable) {
        cli.output.warn(`Schedule ${name} cannot be read: ${problem}`);
      }
    });
}

function showCommand(schedule: Command): void {
  schedule
    .command('show')
    .summary('show one schedule')
    .description(
      'Shows a schedule: when it runs, what it backs up or drills, its last, next and missed runs.',
    )
    .argument('<name>', 'name of the schedule')
    .action(async (name: string, _options, command: Command) => {
      const cli = cliOf(command);
      const found = await (await cli.client()).showSchedule(name);
      cli.output.result('schedule', found, () => scheduleText(found));
    });
}

function createCommand(schedule: Command): void {
  settings(
    schedule
      .command('create')
      .summary('create a schedule')
      .description('Creates a schedule. Creating an identical one again is not an error.')
      .argument('<name>', 'name: letters, digits, "_" and "-", at most 64 characters'),
  )
    .addOption(
      new Option('--drill', 'start drills of the newest good backup instead of backups').conflicts([
        ...BACKUP_OPTIONS,
      ]),
    )
    .option('--rehearse', 'with --drill: rehearsals only, which write nothing')
    .option('--paused', 'create it paused')
    .addHelpText('after', TEACHING)
    .action(async (name: string, options: CreateFlags, command: Command) => {
      const cli = cliOf(command);
      const expression = expressionOf(options);
      if (options.rehearse && !options.drill) {
        throw new InvalidInputError('--rehearse is an option of drills.', { remedy: 'Add --drill.' });
      }
      if (expression === undefined) {
        throw new InvalidInputError('No time given for the schedule.', {
          remedy:
            'Add --daily, --weekly, --cron, --rate or --at; `ngbak schedule create --help` describes them.',
        });
      }
      const input = parseInput(
        CreateScheduleInput,
        {
          name,
          expression,
          ...timesOf(options),
          enabled: options.paused !== true,
          ...(options.drill
            ? { drill: { target: options.target, ...(options.rehearse ? { rehearsal: 'always' } : {}) } }
            : { backup: backupOf(options) }),
        },
        'The schedule',
      );
      const created = await (await cli.client()).createSchedule(input);
      cli.output.result('schedule', created, () => scheduleText(created));
    });
}

/** The options that apply to backups only. */
const BACKUP_OPTIONS = [
  ...['stores', 'label', 'collections', 'namespaces', 'keyPrefixes'],
  ...['tag', 'note', 'keep', 'codec', 'full'],
];

interface CreateFlags extends ScheduleFlags {
  readonly paused?: true;
  readonly drill?: true;
  readonly rehearse?: true;
}

function changeCommand(schedule: Command): void {
  settings(
    schedule
      .command('change')
      .summary('change a schedule')
      .description('Changes a schedule. Settings that are not given stay unchanged.')
      .argument('<name>', 'name of the schedule'),
  )
    .addOption(new Option('--no-retention', 'apply the retention policy to its backups').conflicts('keep'))
    .option('--no-full', 'copy the data of stores that provably did not change again')
    .option('--all-stores', 'back up every store completely again')
    .addHelpText('after', TEACHING)
    .action(async (name: string, options: ChangeFlags, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const work = changedWork(await client.showSchedule(name), options);
      const changes = parseInput(
        ScheduleChanges,
        {
          expression: expressionOf(options),
          ...timesOf(options),
          ...work,
        },
        'The change',
        'Give at least one change; `ngbak schedule change --help` lists the options.',
      );
      const now = await client.changeSchedule(name, changes);
      cli.output.result('schedule', now, () => scheduleText(now));
    });
}

interface ChangeFlags extends ScheduleFlags {
  readonly retention?: boolean;
  readonly allStores?: true;
}

/** The changes to what a schedule starts. Empty if there are none. */
function changedWork({ backup, drill }: ScheduleView, options: ChangeFlags) {
  const given = backupOf(options);
  if (drill) {
    const { target, ...others } = given;
    // The operation refuses options of backups, and names the schedule.
    const forBackups = options.retention === false || options.allStores || Object.keys(others).length > 0;
    if (forBackups) return { backup: given };
    return target === undefined ? {} : { drill: { ...drill, target } };
  }
  const { retention, stores, only, ...rest } = backup ?? {};
  const changed = {
    ...rest,
    ...(retention === undefined || options.retention === false ? {} : { retention }),
    ...(stores === undefined || options.allStores ? {} : { stores }),
    ...(only === undefined || options.allStores ? {} : { only }),
    ...given,
  };
  return JSON.stringify(changed) === JSON.stringify(backup) ? {} : { backup: changed };
}

function pauseCommands(schedule: Command): void {
  for (const [verb, enabled, summary] of [
    ['pause', false, 'pause a schedule until it is resumed'],
    ['resume', true, 'resume a paused schedule'],
  ] as const) {
    schedule
      .command(verb)
      .summary(summary)
      .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}. Missed runs are not backfilled.`)
      .argument('<name>', 'name of the schedule')
      .action(async (name: string, _options, command: Command) => {
        const cli = cliOf(command);
        const now = await (await cli.client()).changeSchedule(name, { enabled });
        cli.output.result('schedule', now, () => scheduleText(now));
      });
  }
}

function removeCommand(schedule: Command): void {
  schedule
    .command('remove')
    .alias('rm')
    .summary('remove a schedule; its backups are kept')
    .description(
      'Removes a schedule. Its backups are kept. Schedules created by the deployment cannot be removed: pause them, or turn them off in cdk.json.',
    )
    .argument('<name>', 'name of the schedule')
    .action(async (name: string, _options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (!(await confirm(cli, `Remove schedule ${name}?`))) throw new ExitError('refused');
      const removed = await client.removeSchedule(name);
      cli.output.result('removed', removed, () => `Schedule ${name} removed; its backups are kept.`);
    });
}

function runCommand(schedule: Command): void {
  schedule
    .command('run')
    .summary('start the backup or drill of a schedule now')
    .description(
      'Starts the backup or drill of a schedule now, even if it is paused. The run is skipped if another job is running on the target, or another drill of it.',
    )
    .argument('<name>', 'name of the schedule')
    .option('-w, --wait', 'wait for completion')
    .action(async (name: string, options: { wait?: true }, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const started = await client.runSchedule(name);
      if (options.wait) {
        cli.output.event('started', started);
        cli.output.note(`Job ${started.job_id}`);
        return reportEnd(cli, await followJob(cli, client, started.job_id));
      }
      cli.output.result('started', started, () =>
        fields([
          ['job', started.job_id],
          ['backup', started.backup_id],
        ]),
      );
      cli.output.note(`Follow it with: ngbak job ${started.job_id} --wait`);
    });
}

interface ScheduleFlags extends OnlyFlags {
  readonly daily?: string;
  readonly weekly?: string;
  readonly cron?: string;
  readonly rate?: string;
  readonly at?: string;
  readonly zone?: string;
  readonly flexible?: number;
  readonly description?: string;
  readonly target?: string;
  readonly stores?: string[];
  readonly tag?: string[];
  readonly note?: string;
  readonly keep?: string;
  readonly codec?: string;
  readonly full?: boolean;
}

function settings(command: Command): Command {
  const times = ['daily', 'weekly', 'cron', 'rate', 'at'];
  const time = (name: string, flags: string, text: string) =>
    new Option(flags, text).conflicts(times.filter((other) => other !== name));
  command
    .addOption(time('daily', '--daily <time>', 'every day at this time, such as 03:00').argParser(daily))
    .addOption(time('weekly', '--weekly <day-time>', 'every week, such as "sun 04:00"').argParser(weekly))
    .addOption(time('cron', '--cron <fields>', 'at the times given by six cron fields'))
    .addOption(time('rate', '--rate <interval>', 'repeatedly: "6 hours", "1 day"'))
    .addOption(time('at', '--at <time>', 'once, such as 2026-12-24T20:00:00'))
    .option('--zone <name>', 'time zone of these times, such as Europe/Berlin (default: UTC)')
    .option('--flexible <minutes>', 'start at any time within this many minutes; 0: exactly on time', whole)
    .option('--description <text>', 'description')
    .option('-t, --target <name>', 'configured target; required if there are several')
    .option(
      '-s, --stores <names>',
      `only these stores: ${STORE_ROLES.join(', ')}, or further ones by name, such as kv_files`,
      list,
    );
  return onlyOptions(command)
    .option('--tag <tag...>', 'tags for its backups')
    .option('--note <text>', 'note for its backups')
    .option('--keep <retention>', 'retention of its backups: 30d, 2027-12-31 or permanent')
    .addOption(new Option('--codec <codec>', 'compression').choices(['gzip', 'zstd']))
    .option('--full', 'read every store, even one that provably did not change since an earlier backup');
}

/** `3:05` → a cron expression. */
function daily(text: string): string {
  const time = timeOfDay(text);
  if (time === undefined) throw new InvalidArgumentError('It must be a time of day such as 03:00.');
  return `cron(${time} * * ? *)`;
}

/** `sun 4:00` → a cron expression. */
function weekly(text: string): string {
  const [, day = '', clock = ''] = /^(sun|mon|tue|wed|thu|fri|sat) +(.*)$/i.exec(text.trim()) ?? [];
  const time = timeOfDay(clock);
  if (time === undefined) {
    throw new InvalidArgumentError(
      'It must be a day and a time, such as "sun 04:00"; --cron allows several days.',
    );
  }
  return `cron(${time} ? * ${day.toUpperCase()} *)`;
}

/** `3:05` → the first two fields of a cron expression. */
function timeOfDay(text: string): string | undefined {
  const [, hour, minute] = /^([01]?[0-9]|2[0-3]):([0-5][0-9])$/.exec(text) ?? [];
  return hour === undefined ? undefined : `${Number(minute)} ${Number(hour)}`;
}

function expressionOf({ daily, weekly, cron, rate, at }: ScheduleFlags): string | undefined {
  if (daily !== undefined || weekly !== undefined) return daily ?? weekly;
  if (cron !== undefined) return `cron(${bare('cron', cron)})`;
  if (rate !== undefined) return `rate(${bare('rate', rate)})`;
  return at === undefined ? undefined : `at(${bare('at', at)})`;
}

/** Accepts `cron(…)` as well, the notation of AWS. */
function bare(kind: string, text: string): string {
  return text.startsWith(`${kind}(`) && text.endsWith(')') ? text.slice(kind.length + 1, -1) : text.trim();
}

function timesOf({ zone, flexible, description }: ScheduleFlags) {
  return { time_zone: zone, flexible_minutes: flexible, description };
}

/** The parts of the backup request that were given as options. */
function backupOf({ target, stores, tag, note, keep, codec, full, ...part }: ScheduleFlags) {
  const given = { target, stores, only: onlyOf(part), tags: tag, note, retention: keep, codec, full };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

const HEAD = ['schedule', 'when', 'starts', 'state', 'last run', 'next run', 'missed'];

function row(schedule: ScheduleView): string[] {
  const { name, kind, backup, drill, enabled, next_run, missed_total } = schedule;
  return [
    name,
    whenText(schedule),
    [
      `${drill?.rehearsal === 'always' ? 'rehearsal' : kind} of ${(backup ?? drill)?.target ?? 'the default target'}`,
      ...(backup?.stores ? [`(${backup.stores.join('+')})`] : []),
      ...(backup?.only ? [`(${describeSubset(backup.only)})`] : []),
    ].join(' '),
    enabled ? (next_run === undefined ? 'expired' : 'enabled') : 'paused',
    lastText(schedule),
    next_run === undefined ? '' : localTime(next_run),
    missed_total === 0 ? '' : String(missed_total),
  ];
}

function whenText({ expression, time_zone, flexible_minutes }: ScheduleView): string {
  const zone = expression.startsWith('rate') ? '' : ` ${time_zone}`;
  return `${expression}${zone}${flexible_minutes > 0 ? `, within ${flexible_minutes} min` : ''}`;
}

function lastText({ last_run }: ScheduleView): string {
  if (!last_run) return '';
  const state = last_run.skipped ? 'skipped' : (last_run.state ?? '').replaceAll('_', ' ');
  return `${localTime(last_run.at)} ${state}${last_run.by_hand ? ', started manually' : ''}`.trim();
}

/** When the drills of a schedule are rehearsals. */
const REHEARSALS = {
  never: '',
  if_needed: ', or rehearsals without a scratch place',
  always: ', rehearsals only',
} as const;

function scheduleText(schedule: ScheduleView): string {
  const { kind, backup, drill, last_run, missed_runs, missed_total } = schedule;
  const missed = missed_runs.map((at): [string, string] => ['', localTime(at)]);
  return fields([
    ['schedule', schedule.name],
    ['starts', `${kind}s${drill ? REHEARSALS[drill.rehearsal ?? 'if_needed'] : ''}`],
    ['description', schedule.description],
    ['when', whenText(schedule)],
    ['state', schedule.enabled ? 'enabled' : 'paused'],
    ['next run', schedule.next_run && localTime(schedule.next_run)],
    ['last run', last_run && `${lastText(schedule)} (job ${last_run.job_id})`],
    ['', last_run?.problem],
    ['missed', missed_total > 0 ? `${missed_total} in the last week` : undefined],
    ...missed,
    ['target', (backup ?? drill)?.target ?? 'default'],
    ['stores', backup && (backup.stores?.join(', ') ?? rolesNamed(backup.only)?.join(', ') ?? 'all')],
    ['only', backup?.only && describeSubset(backup.only)],
    ['retention', backup && (backup.retention ?? 'by policy')],
    ['tags', backup?.tags.join(' ')],
    ['note', backup?.note],
    ['codec', backup?.codec],
    ['reads', backup?.full ? 'every store, every time' : undefined],
    ['created by', schedule.made_by],
    ['changed', localTime(schedule.changed_at)],
  ]);
}
