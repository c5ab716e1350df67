import { type Command, Option } from 'commander';
import { parseInput } from '../../shared/input.ts';
import { JOB_STATES, SKIPPED } from '../../shared/jobs/record.ts';
import { ListJobsInput } from '../../shared/operations/list-jobs.ts';
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
    .summary('list backup and restore jobs, newest first')
    .description('Lists the jobs of the last 90 days, newest first.')
    .addOption(new Option('--state <state>', 'in this state').choices([...JOB_STATES]))
    .addOption(new Option('--kind <kind>', 'of this kind').choices(['backup', 'restore']))
    .option('-t, --target <name>', 'on this target')
    .option('-n, --limit <count>', 'how many, at most 500', whole, 20)
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
              ['job', 'kind', 'target', 'state', 'started', 'took', 'asked by'],
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
        cli.output.warn(`The record of job ${job_id} can't be read: ${problem}`);
      }
    });
  program
    .command('job')
    .summary('show one job')
    .description('Shows a job: state, progress of each store, inspection, error.')
    .argument('<job>', 'id of the job')
    .option('-w, --wait', 'follow it to its end')
    .action(async (jobId: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (options.wait) return reportEnd(cli, await followJob(cli, client, jobId));
      const job = await client.showJob(jobId);
      cli.output.result('job', job, () => jobText(job));
    });
  program
    .command('cancel')
    .summary('stop a job')
    .description(
      'Stops a job. What a backup has made is removed; a restore that had begun to write is rolled back.',
    )
    .argument('<job>', 'id of the job')
    .option('-w, --wait', 'follow it to its end')
    .action(async (jobId: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      if (!(await confirm(cli, `Stop job ${jobId}?`))) throw new ExitError('refused');
      const cancelled = await client.cancelJob(jobId);
      cli.output.result('cancelled', cancelled, () => cancelled.message);
      if (options.wait) {
        const job = await followJob(cli, client, jobId);
        cli.output.result('job', job, () => jobText(job));
      }
    });
}
