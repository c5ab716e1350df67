import type { Command } from 'commander';
import { showTransfer } from '../bars.ts';
import { cliOf } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { ExitError } from '../exit-codes.ts';
import { THAW, THAW_DAYS_OPTION, type ThawFlags, thawFirst, thawOf } from '../thaw.ts';
import { verificationText } from '../verification.ts';
import { whole } from './options.ts';

/** `ngbak verify` */
export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .summary('verify every byte and every record of a backup')
    .description(
      "Reads a backup's archive from S3 and checks it as the backup did before it was added to the catalog: every byte, every record, the counts and digests of the manifest, and the signature. The result is recorded in the catalog. Exits with 7 if the integrity check fails.",
    )
    .argument('<backup>', 'backup ID')
    .option('--copy <name>', 'verify this copy, in another bucket, instead of the original')
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .action(async (id: string, { copy, ...flags }: ThawFlags & { copy?: string }, command: Command) => {
      const cli = cliOf(command);
      const thaw = thawOf(flags);
      const client = await cli.client();
      await thawFirst(cli, client, [id], thaw, copy);
      const bar = showTransfer(cli.output, 'verify');
      const signal = new AbortController().signal;
      let leg: Awaited<ReturnType<CliClient['verifyBackup']>> | undefined;
      try {
        do {
          leg = await client.verifyBackup(id, {
            cursor: leg?.cursor ?? null,
            ...(copy === undefined ? {} : { copy }),
            signal,
            progress: bar.update,
          });
        } while (!leg.done);
      } finally {
        bar.stop();
      }
      const { is_valid, errors, warnings, records, signature, metadata } = leg;
      const what = copy === undefined ? id : `${id}, copy ${copy}`;
      const found = { backup_id: id, copy, is_valid, errors, warnings, records, signature, metadata };
      cli.output.result('verification', found, () =>
        verificationText(`${what}: verified, no errors found.`, `${what}: integrity check failed:`, found),
      );
      if (!is_valid) throw new ExitError('damaged');
    });
}
