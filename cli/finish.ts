import type { JobView } from '../shared/operations/show-job.ts';
import type { Cli } from './cli.ts';
import { ExitError } from './exit-codes.ts';
import { jobText } from './job-text.ts';

/** Shows how a followed job ended, and throws ExitError unless it completed. */
export function reportEnd(cli: Cli, job: JobView): void {
  cli.output.result('job', job, () => jobText(job, cli.output.verbose));
  if (job.state === 'completed') return;
  if (job.state === 'awaiting_confirmation') {
    const seen = job.inspection === undefined ? '' : ` --inspected-at ${job.inspection.inspected_at}`;
    cli.output.note(`Waiting for confirmation. Run: ngbak confirm ${job.job_id} ${job.target}${seen}`);
    throw new ExitError('waiting');
  }
  throw failureOf(job);
}

/** The exit code of a job that has ended without success. */
export function failureOf({ state, error }: Pick<JobView, 'state' | 'error'>): ExitError {
  if (state === 'cancelled') return new ExitError('cancelled');
  return new ExitError(error?.name === 'IntegrityError' ? 'damaged' : 'failed');
}
