import { type Command, Option } from 'commander';
import type { BackupSummary } from '../../shared/catalog/summaries.ts';
import { parseInput } from '../../shared/core/input.ts';
import { ListBackupsInput } from '../../shared/operations/list-backups.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ago, bytes, count, localTime, stateText } from '../format.ts';
import { table } from '../output.ts';
import { time, whole } from './options.ts';

/** `ngbak list` */
export function listCommand(program: Command): void {
  program
    .command('list')
    .alias('ls')
    .summary('list backups, newest first')
    .description(
      'Lists the backups in the catalog, newest first. Reads catalog records only, never an archive.',
    )
    .option('-t, --target <name>', 'only backups of this target')
    .addOption(new Option('--type <type>', 'only full or only partial backups').choices(['full', 'partial']))
    .option('--store <name>', 'only backups that contain this store')
    .option('--namespace <name>', 'only backups that contain this key-value namespace')
    .option('--collection <name>', 'only backups that contain this vector collection')
    .addOption(
      new Option('--state <state>', 'only backups in this state').choices([
        'complete',
        'complete_with_warnings',
        'damaged',
      ]),
    )
    .option('--tag <tag>', 'only backups with this tag')
    .option('--since <time>', 'created at or after this date or time', time)
    .option('--until <time>', 'created before this date or time', time)
    .option('-n, --limit <count>', 'maximum number of backups, up to 1000', whole, 50)
    .option('--cursor <id>', 'start after this backup ID')
    .option('--rebuild', 'first rebuild missing catalog records from the archives; reads every archive')
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
        cli.output.warn(`The record of ${backup_id} cannot be read: ${problem}`);
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
    progress: (backupId) => cli.output.note(`Reading ${backupId}`),
  });
  cli.output.event('rebuilt', { rebuilt, kept, problems });
  cli.output.note(`Catalog records: ${rebuilt.length} rebuilt, ${kept} present.`);
  for (const { backup_id, problem } of problems)
    cli.output.warn(`No catalog record for ${backup_id}: ${problem}`);
}

const HEAD = [
  'backup',
  'created',
  'target',
  'type',
  'size',
  'records',
  'state',
  'consistency',
  'retention',
  'tags',
];

function row(backup: BackupSummary): string[] {
  return [
    backup.backup_id,
    `${localTime(backup.created_at)} (${ago(backup.created_at)})`,
    backup.target,
    backup.type === 'full' ? 'full' : `${backup.only ? 'part of ' : ''}${backup.stores.join('+')}`,
    bytes(backup.bytes),
    count(backup.records),
    stateText(backup),
    backup.consistency,
    backup.retention ?? 'by policy',
    backup.tags.join(' '),
  ];
}
