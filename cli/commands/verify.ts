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
    .summary('read a backup back, every byte of it')
    .description(
      "Reads a backup's archive from S3 and checks every byte of it against the archive's own digests and the catalog. What it finds is written into the catalog.",
    )
    .argument('<backup>', 'id of the backup')
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
      const { is_valid, errors } = leg;
      cli.output.result('verification', { backup_id: id, is_valid, errors }, () =>
        is_valid
          ? `${id}: every byte is as it was written.`
          : [`${id} is damaged:`, ...errors.map((error) => `  ${printable(error)}`)].join('\n'),
      );
      if (!is_valid) throw new ExitError('damaged');
    });
}
