import { type Command, Option } from 'commander';
import { parseInput } from '../../shared/core/input.ts';
import { JOB_STATES } from '../../shared/core/job-state.ts';
import { ListJobsInput } from '../../shared/operations/list-jobs.ts';
import { JobRecord, SKIPPED } from '../../shared/workflows/job/record.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { reportEnd } from '../finish.ts';
import { followJob } from '../follow.ts';
import { duration, localTime } from '../format.ts';
import { jobText } from '../job-text.ts';
import { table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { whole } from './options.ts';

/** `ngbak jobs`, `ngbak job` and `ngbak cancel` */
export function jobCommands(program: Command): void {
  program
    .command('jobs')
    .summary('list backup, restore and drill jobs, newest first')
    .description('Lists the jobs of the last 90 days, newest first.')
    .addOption(new Option('--state <state>', 'only jobs in this state').choices([...JOB_STATES]))
    .addOption(new Option('--kind <kind>', 'only jobs of this kind').choices(JobRecord.shape.kind.options))
    .option('-t, --target <name>', 'only jobs of this target')
    .option('-n, --limit <count>', 'maximum number of jobs, up to 500', whole, 20)
    .action(async (options, command: Command) => {
      const cli = cliOf(command);
      const input = parseInput(ListJobsInput, options, 'The filters');
      const found = await (await cli.client()).listJobs(input);
      for (const job of found.jobs) cli.output.event('job', job);
      const { jobs, ...rest } = found;
      cli.output.result('page', rest, () =>
        jobs.length === 0
          ? 'No jobs.'
          : table(
              ['job', 'kind', 'target', 'state', 'started', 'duration', 'requested by'],
              jobs.map((job) => [
                job.job_id,
                job.kind,
                job.target,
                job.error?.name === SKIPPED ? 'skipped' : job.state.replaceAll('_', ' '),
                localTime(job.created_at),
                job.finished_at === undefined
                  ? ''
                  : duration((Date.parse(job.finished_at) - Date.parse(job.created_at)) / 1000),
                job.requested_by ?? '',
              ]),
            ),
      );
      for (const { job_id, problem } of found.unreadable) {
        cli.output.warn(`The record of job ${job_id} cannot be read: ${problem}`);
      }
    });
  program
    .command('job')
    .summary('show one job')
    .description('Shows a job: its state, the progress of each store, the inspection and the error.')
    .argument('<job>', 'job ID')
    .option('-w, --wait', 'wait for completion')
    .action(async (jobId: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (options.wait) return reportEnd(cli, await followJob(cli, client, jobId));
      const job = await client.showJob(jobId);
      cli.output.result('job', job, () => jobText(job, cli.output.verbose));
    });
  program
    .command('cancel')
    .summary('cancel a job')
    .description(
      'Cancels a job. The partial archive of a backup is removed; a restore that has begun to write is rolled back.',
    )
    .argument('<job>', 'job ID')
    .option('-w, --wait', 'wait for completion')
    .action(async (jobId: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (!(await confirm(cli, `Cancel job ${jobId}?`))) throw new ExitError('refused');
      const cancelled = await client.cancelJob(jobId);
      cli.output.result('cancelled', cancelled, () => cancelled.message);
      if (options.wait) {
        const job = await followJob(cli, client, jobId);
        cli.output.result('job', job, () => jobText(job, cli.output.verbose));
      }
    });
}
