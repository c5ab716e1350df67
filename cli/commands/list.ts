import { type Command, Option } from 'commander';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { parseInput } from '../../shared/core/input.ts';
import { ListBackupsInput } from '../../shared/operations/list-backups.ts';
import type { AnySummary } from '../answers.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ago, bytes, count, localTime, printable, stateText } from '../format.ts';
import { filterLocal, type LocalArchive, listLocal } from '../local-archives.ts';
import { table } from '../output.ts';
import { readableText } from '../storage-text.ts';
import { time, whole } from './options.ts';

/** `ngbak list` */
export function listCommand(program: Command): void {
  program
    .command('list')
    .alias('ls')
    .summary('list backups, newest first')
    .description(
      'Lists the backups in the catalog, newest first. Reads catalog records only, never an archive. With --local, lists the archives that were downloaded to this machine.',
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
    .option('--tag <tag...>', 'only backups with all of these tags: name, key=value, or key for any value')
    .option('--since <time>', 'created at or after this date or time', time)
    .option('--until <time>', 'created before this date or time', time)
    .option('-n, --limit <count>', 'maximum number of backups, up to 1000', whole, 50)
    .option('--cursor <id>', 'start after this backup ID')
    .option(
      '--local [folder]',
      'archives on this machine instead, by their manifests; needs no AWS (default folder: download_folder of the configuration)',
    )
    .option('--rebuild', 'first rebuild missing catalog records from the archives; reads every archive')
    .action(async ({ rebuild, local, ...options }, command: Command) => {
      const cli = cliOf(command);
      if (local !== undefined) {
        const folder = local === true ? (await cli.settings()).download_folder : local;
        return showLocal(cli, folder, { rebuild, ...options });
      }
      if (rebuild) await rebuildRecords(cli);
      const input = parseInput(ListBackupsInput, options, 'The filters');
      const found = await (await cli.client()).listBackups(input);
      for (const backup of found.backups) cli.output.event('backup', backup);
      const { backups, ...rest } = found;
      cli.output.result('page', rest, () => (backups.length === 0 ? 'No backups.' : backupTable(backups)));
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

/** Filters that need the catalog: the manifest of an archive does not have these fields. */
const CATALOG_ONLY = ['namespace', 'collection', 'state', 'cursor', 'rebuild'] as const;

/** Lists the archives in a folder of this machine. */
async function showLocal(cli: Cli, folder: string, options: Record<string, unknown>): Promise<void> {
  const { rebuild: _, ...filters } = options;
  const wrong = CATALOG_ONLY.find((name) => options[name] !== undefined);
  if (wrong !== undefined) {
    throw new InvalidInputError(`--${wrong} cannot be combined with --local.`, {
      remedy: 'Leave it out: local archives are listed from their manifests alone.',
    });
  }
  const { limit, ...wanted } = parseInput(ListBackupsInput, filters, 'The filters');
  const fits = filterLocal(await listLocal(folder), wanted);
  const shown = fits.slice(0, limit);
  for (const archive of shown) cli.output.event('local', archive);
  cli.output.result('page', { folder, total: fits.length }, () =>
    shown.length === 0 ? `No archives in ${printable(folder)}.` : table(LOCAL_HEAD, shown.map(localRow)),
  );
  for (const { file_name, problem } of shown) {
    if (problem !== undefined)
      cli.output.warn(`${printable(file_name)} cannot be read: ${printable(problem)}`);
  }
  if (shown.length < fits.length) cli.output.note(`${shown.length} of ${fits.length}. More with --limit.`);
}

const LOCAL_HEAD = ['file', 'backup', 'created', 'target', 'type', 'size', 'state'];

function localRow(archive: LocalArchive): string[] {
  const { file_name, backup_id, created_at, target, type, stores, verified_at, problem } = archive;
  return [
    file_name,
    backup_id ?? '',
    created_at === undefined ? '' : `${localTime(created_at)} (${ago(created_at)})`,
    target ?? '',
    type === 'partial' ? (stores ?? []).join('+') : (type ?? ''),
    bytes(archive.bytes),
    problem !== undefined
      ? 'UNREADABLE'
      : verified_at === undefined
        ? 'not verified'
        : `verified ${ago(verified_at)}`,
  ];
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

/** With columns for copies and storage classes, if any backup has copies, or is not in STANDARD. */
function backupTable(backups: readonly AnySummary[]): string {
  const hasCopies = backups.some(({ copies }) => copies);
  const hasClasses = backups.some(({ storage }) => (storage?.storage_class ?? 'STANDARD') !== 'STANDARD');
  const columns: [head: string, cell: (backup: AnySummary) => string][] = [
    ...(hasCopies ? [['copies', ({ copies }: AnySummary) => copiesText(copies ?? [])] as const] : []),
    ...(hasClasses ? [['storage class', storageText] as const] : []),
  ].map(([head, cell]) => [head, cell]);
  return table(
    [...HEAD, ...columns.map(([head]) => head)],
    backups.map((backup) => [...row(backup), ...columns.map(([, cell]) => cell(backup))]),
  );
}

/** `2 of 2`, or how many are complete and what is wrong with the others. */
function copiesText(copies: NonNullable<AnySummary['copies']>): string {
  const others = copies.filter(({ state }) => state !== 'complete');
  const named = others.map(({ name, state }) => `${name} ${state === 'damaged' ? 'DAMAGED' : state}`);
  const complete = `${copies.length - others.length} of ${copies.length}`;
  return copies.length === 0 ? '' : named.length === 0 ? complete : `${complete}: ${named.join(', ')}`;
}

function storageText({ storage }: AnySummary): string {
  if (storage === undefined) return '';
  const readable = readableText(storage);
  return readable === undefined ? storage.storage_class : `${storage.storage_class}, readable ${readable}`;
}

function row(backup: AnySummary): string[] {
  return [
    backup.backup_id,
    `${localTime(backup.created_at)} (${ago(backup.created_at)})`,
    backup.target,
    backup.type === 'full' ? 'full' : `${backup.only ? 'part of ' : ''}${backup.stores.join('+')}`,
    bytes(backup.bytes),
    backup.records === undefined ? '' : count(backup.records),
    stateText(backup),
    backup.consistency,
    backup.retention ?? 'by policy',
    backup.tags.join(' '),
  ];
}
