import { type Command, Option } from 'commander';
import { parseInput } from '../../shared/input.ts';
import { ListBackupsInput } from '../../shared/operations/list-backups.ts';
import type { BackupSummary } from '../../shared/operations/summaries.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ago, bytes, localTime } from '../format.ts';
import { table } from '../output.ts';
import { time, whole } from './options.ts';

/** `ngbak list` */
export function listCommand(program: Command): void {
  program
    .command('list')
    .alias('ls')
    .summary('list the backups, newest first')
    .description(
      'Lists the backups of the catalog, newest first. Reads their records only, never an archive.',
    )
    .option('-t, --target <name>', 'of this target')
    .addOption(new Option('--type <type>', 'full or partial ones').choices(['full', 'partial']))
    .option('--store <name>', 'that hold this store')
    .option('--namespace <name>', 'that hold this key-value namespace')
    .option('--collection <name>', 'that hold this vector collection')
    .option('--tag <tag>', 'that have this tag')
    .option('--since <time>', 'made at this date or time, or later', time)
    .option('--until <time>', 'made before this date or time', time)
    .option('-n, --limit <count>', 'how many, at most 1000', whole, 50)
    .option('--cursor <id>', 'go on after this one')
    .option(
      '--rebuild',
      'first make the records that are missing, from the archives alone; reads all of them',
    )
    .action(async ({ rebuild, ...options }, command: Command) => {
      const cli = cliOf(command);
      if (rebuild) await rebuildRecords(cli);
      const input = parseInput(ListBackupsInput, options, 'The filters');
      const found = await (await cli.client()).listBackups(input);
      for (const backup of found.backups) cli.output.event('backup', backup);
      const { backups, ...rest } = found;
      cli.output.result('page', rest, () =>
        backups.length === 0 ? 'No backups.' : table(HEAD, backups.map(row)),
      );
      for (const { backup_id, problem } of found.unreadable) {
        cli.output.warn(`The record of ${backup_id} can't be read: ${problem}`);
      }
      if (found.next_cursor !== undefined) {
        cli.output.note(
          `${backups.length} of ${found.total}. More with: ngbak list --cursor ${found.next_cursor}`,
        );
      }
    });
}

async function rebuildRecords(cli: Cli): Promise<void> {
  const client = await cli.client();
  const { rebuilt, kept, problems } = await client.rebuildCatalog({
    signal: new AbortController().signal,
    progress: (backupId) => cli.output.note(`Looking at ${backupId}`),
  });
  cli.output.event('rebuilt', { rebuilt, kept, problems });
  cli.output.note(`${rebuilt.length} records were made, ${kept} were there.`);
  for (const { backup_id, problem } of problems) cli.output.warn(`${backup_id} gets no record: ${problem}`);
}

const HEAD = ['backup', 'made', 'target', 'type', 'size', 'state', 'kept', 'tags'];

function row(backup: BackupSummary): string[] {
  const { verification, consistency } = backup;
  return [
    backup.backup_id,
    `${localTime(backup.created_at)} (${ago(backup.created_at)})`,
    backup.target,
    backup.type === 'full' ? 'full' : `${backup.only ? 'part of ' : ''}${backup.stores.join('+')}`,
    bytes(backup.bytes),
    verification.state === 'damaged' ? 'DAMAGED' : consistency,
    backup.retention ?? 'by policy',
    backup.tags.join(' '),
  ];
}
