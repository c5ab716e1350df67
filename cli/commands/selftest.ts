import type { Command } from 'commander';
import pc from '../../shared/core/colors.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { ProgressPrinter } from '../follow.ts';
import { duration, printable } from '../format.ts';
import type { SelftestStep } from '../selftest.ts';

/** `ngbak selftest` */
export function selftestCommand(program: Command): void {
  program
    .command('selftest')
    .summary('test the deployment with a backup and restores of a tiny built-in target')
    .description(
      'Runs the deployed workflows on a built-in target, whose data is a few files in the archive bucket: uploads and restores an archive with random content, backs up what was restored, compares the backup byte by byte with what was uploaded, restores a backup from the catalog, and deletes everything it created, including after an error or Ctrl-C. Your targets, their schedules, retention, health and alarms are not involved, and the servers of your stores are not reached. With an API key, it needs the role "admin".',
    )
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const { selfTest } = await import('../selftest.ts');
      const abort = new AbortController();
      const interrupt = () => {
        // A second signal ends the process as usual.
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
        cli.output.note('Interrupted. Cleaning up; press Ctrl-C again to leave everything as it is.');
        abort.abort();
      };
      process.on('SIGINT', interrupt);
      process.on('SIGTERM', interrupt);
      const printers = new Map<string, ProgressPrinter>();
      try {
        const { steps, error, clean } = await selfTest({
          client,
          signal: abort.signal,
          begin: (name) => cli.output.note(`${name} …`),
          end: (step) => {
            cli.output.event('step', step);
            cli.output.note(stepText(step));
          },
          progress: (job) => {
            if (!cli.output.verbose && !cli.output.json) return;
            const printer = printers.get(job.job_id) ?? new ProgressPrinter(cli);
            printers.set(job.job_id, printer);
            printer.print(job);
          },
        });
        const ok = error === undefined && clean;
        cli.output.result('selftest', { ok, clean, steps }, () =>
          ok
            ? 'Self-test passed. The servers of your stores were not reached: back up each target once with `ngbak backup --wait`.'
            : `Self-test ${abort.signal.aborted ? 'interrupted' : 'failed'}. ${clean ? 'Nothing was left behind.' : 'Not everything could be cleaned up. Leftovers expire automatically: backups after a day, files within two.'}`,
        );
        if (abort.signal.aborted) throw new ExitError('interrupted');
        if (!ok) throw error;
      } finally {
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
      }
    });
}

function stepText({ name, ok, seconds, message, job_id }: SelftestStep): string {
  const mark = ok ? pc.green('✓') : pc.red('✗');
  const job = ok || job_id === undefined ? '' : ` (job ${job_id})`;
  return `${mark} ${name} (${duration(seconds)}): ${printable(message)}${job}`;
}
