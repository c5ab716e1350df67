import type { Command } from 'commander';
import { showTransfer } from '../bars.ts';
import { cliOf } from '../cli.ts';
import type { Client } from '../client.ts';
import { ExitError } from '../exit-codes.ts';
import { printable } from '../format.ts';

/** `ngbak verify` */
export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .summary('verify every byte of a backup')
    .description(
      "Reads a backup's archive from S3 and compares every byte with the archive's own digests and with the catalog. The result is recorded in the catalog.",
    )
    .argument('<backup>', 'backup ID')
    .action(async (id: string, _options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const bar = showTransfer(cli.output, 'verify');
      const signal = new AbortController().signal;
      let leg: Awaited<ReturnType<Client['verifyBackup']>> | undefined;
      try {
        do {
          leg = await client.verifyBackup(id, { cursor: leg?.cursor ?? null, signal, progress: bar.update });
        } while (!leg.done);
      } finally {
        bar.stop();
      }
      const { is_valid, errors, metadata } = leg;
      cli.output.result('verification', { backup_id: id, is_valid, errors, metadata }, () =>
        is_valid
          ? `${id}: verified, no errors found.`
          : [`${id}: integrity check failed:`, ...errors.map((error) => `  ${printable(error)}`)].join('\n'),
      );
      if (!is_valid) throw new ExitError('damaged');
    });
}
