import { type Command, Option } from 'commander';
import { parseInput } from '../../shared/core/input.ts';
import { NotFoundError } from '../../shared/core/refusals.ts';
import { ListDrillsInput, StartDrillInput } from '../../shared/operations/drills.ts';
import { DrillRecord } from '../../shared/workflows/drill/record.ts';
import { type Cli, cliOf } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { drillText, verdictText } from '../drill-text.ts';
import { failureOf } from '../finish.ts';
import { followJob } from '../follow.ts';
import { ago, duration, localTime } from '../format.ts';
import { jobText } from '../job-text.ts';
import { fields, table } from '../output.ts';
import { THAW, THAW_DAYS_OPTION, thawOf } from '../thaw.ts';
import { whole } from './options.ts';

/** `ngbak drill` and `ngbak drills` */
export function drillCommands(program: Command): void {
  program
    .command('drill')
    .summary('rehearse a restore: restore a backup to a scratch place, verify it, remove it')
    .description(
      'Restores a backup to a scratch place, compares every record with the archive, asks the smoke questions there and of the target, removes what it restored, and records the result. Nothing of any target is changed. docs/drills.md describes where a drill restores to.',
    )
    .argument('[backup]', 'ID of a backup (default: the newest good backup of the target)')
    .option(
      '-t, --target <name>',
      'target whose backup is restored; required if there are several, without a backup',
    )
    .option(
      '--rehearse',
      'write nothing: read the whole archive, inspect it against the target, and parse it in the functions that would restore it',
    )
    .option('--require-signature', 'refuse a backup without a valid signature')
    .option('-w, --wait', 'wait for completion')
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .action(async (backup: string | undefined, options, command: Command) => {
      const cli = cliOf(command);
      const input = parseInput(
        StartDrillInput,
        {
          backup_id: backup,
          target: options.target,
          require_signature: options.requireSignature,
          thaw: thawOf(options),
          ...(options.rehearse ? { rehearsal: 'always' } : {}),
        },
        'The drill',
      );
      const client = await cli.client();
      const started = await client.startDrill(input);
      if (!options.wait) {
        cli.output.result('started', started, () => fields([['job', started.job_id]]));
        cli.output.note(`Follow it with: ngbak job ${started.job_id} --wait`);
        return;
      }
      cli.output.event('started', started);
      cli.output.note(`Job ${started.job_id}`);
      await reportDrill(cli, client, started.job_id);
    });
  program
    .command('drills')
    .summary('list what drills have proved, or show one of them')
    .description('Lists the records of drills, newest first, or shows the record of one drill.')
    .argument('[drill]', 'ID of a drill')
    .option('-t, --target <name>', 'only drills of this target')
    .addOption(
      new Option('--verdict <verdict>', 'only drills with this verdict').choices(
        DrillRecord.shape.verdict.options,
      ),
    )
    .option('-n, --limit <count>', 'maximum number of drills, up to 500', whole, 20)
    .action(async (id: string | undefined, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (id !== undefined) {
        const drill = await client.showDrill(id);
        cli.output.result('drill', drill, () => drillText(drill, cli.output.verbose));
        return;
      }
      const { drills, ...rest } = await client.listDrills(
        parseInput(ListDrillsInput, options, 'The filters'),
      );
      for (const drill of drills) cli.output.event('drill', drill);
      cli.output.result('page', rest, () =>
        drills.length === 0
          ? 'No drills. Start one with: ngbak drill'
          : table(
              ['drill', 'kind', 'started', 'target', 'backup', 'verdict', 'restored and verified in'],
              drills.map((drill) => [
                drill.job_id,
                drill.kind,
                `${localTime(drill.started_at)} (${ago(drill.started_at)})`,
                drill.target,
                drill.backup_id ?? '',
                verdictText(drill.verdict),
                drill.restore_seconds === undefined ? '' : duration(drill.restore_seconds),
              ]),
            ),
      );
      for (const { job_id, problem } of rest.unreadable) {
        cli.output.warn(`The record of drill ${job_id} cannot be read: ${problem}`);
      }
    });
}

/** Follows a drill and shows its results. Throws ExitError unless it passed. */
async function reportDrill(cli: Cli, client: CliClient, jobId: string): Promise<void> {
  const job = await followJob(cli, client, jobId);
  const drill = await recordOf(client, jobId);
  if (!drill) cli.output.result('job', job, () => jobText(job, cli.output.verbose));
  else cli.output.result('drill', drill, () => drillText(drill, cli.output.verbose));
  if (drill?.verdict === 'passed') return;
  throw failureOf(job);
}

/** The record of an ended drill, written before its job ends; undefined for one that was refused before it began. */
async function recordOf(client: CliClient, jobId: string): Promise<DrillRecord | undefined> {
  try {
    return await client.showDrill(jobId);
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}
