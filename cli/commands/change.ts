import type { Command } from 'commander';
import { usdText } from '../../shared/core/cost-text.ts';
import { parseInput } from '../../shared/core/input.ts';
import { AcknowledgeInput } from '../../shared/operations/acknowledge.ts';
import { BackupChanges } from '../../shared/operations/update-backup.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, localTime } from '../format.ts';
import { confirm } from '../prompt.ts';
import { recordText } from './show.ts';

/** `ngbak delete`, `ngbak tag` and `ngbak acknowledge` */
export function changeCommands(program: Command): void {
  program
    .command('delete')
    .alias('rm')
    .summary('delete a backup permanently')
    .description(
      'Deletes a backup with all versions of its archive. Refused while a restore uses it, while its retention is permanent, and under Object Lock.',
    )
    .argument('<backup>', 'backup ID')
    .action(async (id: string, _options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const record = await client.showBackup(id);
      const minimum = record.storage?.minimum;
      if (minimum) {
        cli.output.note(
          `S3 bills ${record.storage?.storage_class} for at least ${minimum.days} days: until ${localTime(minimum.until)} in any case, ${usdText(minimum.usd)} (estimate).`,
        );
      }
      const about = `${id} (${record.target}, ${localTime(record.created_at)}, ${bytes(record.archive.bytes)})`;
      if (!(await confirm(cli, `Delete ${about} permanently?`))) throw new ExitError('refused');
      const deleted = await client.deleteBackup(id);
      cli.output.result('deleted', deleted, () => `Deleted ${id}: ${bytes(deleted.bytes_freed)} freed.`);
    });
  program
    .command('tag')
    .summary("change a backup's tags, note or retention")
    .description("Changes a backup's tags, note or retention. Everything else about a backup is immutable.")
    .argument('<backup>', 'backup ID')
    .argument('[tags...]', 'tags to add')
    .option('-d, --remove <tag...>', 'tags to remove')
    .option('--note <text>', 'note; an empty one removes it')
    .option('--keep <retention>', 'retention: 30d, 2027-12-31 or permanent')
    .option('--no-retention', 'apply the retention policy again')
    .action(async (id: string, tags: string[], options, command: Command) => {
      const cli = cliOf(command);
      const changes = parseInput(
        BackupChanges,
        {
          ...(tags.length > 0 ? { add_tags: tags } : {}),
          remove_tags: options.remove,
          ...(options.note === undefined ? {} : { note: options.note === '' ? null : options.note }),
          ...(options.keep === undefined ? {} : { retention: options.keep }),
          ...(options.retention === false ? { retention: null } : {}),
        },
        'The change',
      );
      const record = await (await cli.client()).updateBackup(id, changes);
      cli.output.result('backup', record, () => recordText(record, cli.output.verbose));
    });
  program
    .command('acknowledge')
    .summary('acknowledge warnings of a backup, for its target')
    .description(
      'Acknowledges warnings of a backup: they stay visible, but no backup of its target is "complete with warnings" because of them. `ngbak show` lists them.',
    )
    .argument('<backup>', 'id of the backup')
    .argument('[warnings...]', 'ids or codes of warnings; all of them by default')
    .option('--note <text>', 'why they are acceptable')
    .option('--withdraw', 'withdraw the acknowledgement')
    .action(async (id: string, warnings: string[], options, command: Command) => {
      const cli = cliOf(command);
      const input = parseInput(
        AcknowledgeInput,
        {
          ...(warnings.length > 0 ? { warnings } : {}),
          acknowledged: options.withdraw !== true,
          note: options.note,
        },
        'The options',
      );
      const record = await (await cli.client()).acknowledgeWarnings(id, input);
      cli.output.result('backup', record, () => recordText(record));
    });
}
