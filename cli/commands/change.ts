import type { Command } from 'commander';
import { parseInput } from '../../shared/input.ts';
import { PruneInput } from '../../shared/operations/prune.ts';
import { BackupChanges } from '../../shared/operations/update-backup.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, localTime } from '../format.ts';
import { table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { whole } from './options.ts';
import { recordText } from './show.ts';

/** `ngbak delete`, `ngbak tag` and `ngbak prune` */
export function changeCommands(program: Command): void {
  program
    .command('delete')
    .alias('rm')
    .summary('delete a backup for good')
    .description(
      'Deletes a backup with all its versions. Refused while a restore needs it, while it is permanent, and under Object Lock.',
    )
    .argument('<backup>', 'id of the backup')
    .action(async (id: string, _options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const record = await client.showBackup(id);
      const about = `${id} (${record.target}, ${localTime(record.created_at)}, ${bytes(record.archive.bytes)})`;
      if (!(await confirm(cli, `Delete ${about} for good?`))) throw new ExitError('refused');
      const deleted = await client.deleteBackup(id);
      cli.output.result(
        'deleted',
        deleted,
        () => `${id} is deleted; ${bytes(deleted.bytes_freed)} are freed.`,
      );
    });
  program
    .command('tag')
    .summary("change a backup's tags, note or retention")
    .description("Changes a backup's tags, note or retention. Nothing else of it ever changes.")
    .argument('<backup>', 'id of the backup')
    .argument('[tags...]', 'tags to add')
    .option('-d, --remove <tag...>', 'tags to remove')
    .option('--note <text>', 'a note; an empty one removes it')
    .option('--keep <retention>', 'how long to keep it: 30d, 2027-12-31 or permanent')
    .option('--no-retention', 'keep it by the policy again')
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
      cli.output.result('backup', record, () => recordText(record));
    });
  program
    .command('prune')
    .summary('delete what no retention rule keeps')
    .description(
      'Shows for each backup the rule that keeps or drops it. Deletes nothing without --delete. The newest verified backup always stays.',
    )
    .option('--delete', 'delete what is to go')
    .option('-t, --target <name>', 'only this target')
    .option('--keep-last <count>', 'another policy than the configured one: the newest so many', whole)
    .option('--keep-daily <count>', '… the newest of each of so many days', whole)
    .option('--keep-weekly <count>', '… weeks', whole)
    .option('--keep-monthly <count>', '… months', whole)
    .option('--keep-yearly <count>', '… years', whole)
    .action(async (options, command: Command) => {
      const cli = cliOf(command);
      const policy = Object.fromEntries(
        (['last', 'daily', 'weekly', 'monthly', 'yearly'] as const).flatMap((period) => {
          const value = options[`keep${period[0]?.toUpperCase()}${period.slice(1)}`];
          return value === undefined ? [] : [[`keep_${period}`, value]];
        }),
      );
      const input = parseInput(
        PruneInput,
        {
          dry_run: true,
          target: options.target,
          ...(Object.keys(policy).length > 0 ? { policy } : {}),
        },
        'The options',
      );
      const client = await cli.client();
      let pruned = await client.prune(input);
      const going = pruned.backups.filter(({ action }) => action === 'drop').length;
      if (options.delete && going > 0) {
        const question = `Delete ${going} of ${pruned.backups.length} backups (${bytes(pruned.bytes_freed)}) for good?`;
        if (!(await confirm(cli, question))) throw new ExitError('refused');
        pruned = await client.prune({ ...input, dry_run: false });
      }
      const failed = pruned.backups.filter(({ error }) => error !== undefined);
      cli.output.result('pruned', pruned, () =>
        [
          table(
            ['backup', 'target', '', 'why'],
            pruned.backups.map(({ backup_id, target, action, deleted, reasons }) => [
              backup_id,
              target,
              deleted ? 'deleted' : action,
              reasons.join('; '),
            ]),
          ),
          '',
          pruned.dry_run
            ? `${going} of ${pruned.backups.length} would go, ${bytes(pruned.bytes_freed)}.${going > 0 ? ' Delete them with --delete.' : ''}`
            : `${bytes(pruned.bytes_freed)} are freed.`,
        ].join('\n'),
      );
      for (const { backup_id, error } of failed) cli.output.warn(`${backup_id} is still there: ${error}`);
      for (const { backup_id, problem } of pruned.unreadable) {
        cli.output.warn(`The record of ${backup_id} can't be read, so it stays: ${problem}`);
      }
      if (failed.length > 0) throw new ExitError('failed');
    });
}
