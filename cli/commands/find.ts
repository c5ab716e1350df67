import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { link, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import { type OpenedArchive, openArchive } from '../../shared/archive/read/open.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { parseInput } from '../../shared/core/input.ts';
import { NotFoundError } from '../../shared/core/refusals.ts';
import type { StoreName } from '../../shared/core/store-names.ts';
import { DiffInput } from '../../shared/operations/diff-backups.ts';
import { DownloadInput } from '../../shared/operations/download-backup.ts';
import { ListBackupsInput } from '../../shared/operations/list-backups.ts';
import type { FoundRecord, UnsearchedKind } from '../../shared/stores/comparison/find-records.ts';
import { linkSource } from '../archive/link-source.ts';
import { type OpenFlags, withArchive } from '../archive/with-archive.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import { historyOf, historyText, type Searched } from '../find-history.ts';
import { count, localTime, printable } from '../format.ts';
import { interruptible } from '../interrupted.ts';
import { Links } from '../transfer/ranges.ts';
import { IDENTITY, list, repeated, whole } from './options.ts';

/** Maximum number of records that are shown of one backup. All records with one key are few. */
const RECORDS_MAX = 100;

interface FindFlags extends OpenFlags {
  readonly target?: string;
  readonly store?: string[];
  readonly backup?: string[];
  readonly extract?: string;
  readonly limit: number;
}

/** `ngbak find` */
export function findCommand(program: Command): void {
  program
    .command('find')
    .summary('find a record in the backups, and extract it')
    .description(
      'Searches the backups, newest first, for a record: a key or the ID at its end, a node by its key, ID or name, a relationship by its nodes ("A -> B"), a point by its ID, a file by its name. Shows which backups have it, and in which it changed. Reads only the entries that may have it, by ranges. Exits with 3 if no backup has it.',
    )
    .argument('<key>', 'key, ID, name or path of the record')
    .argument('[archives...]', 'archives on this machine, instead of the backups of the catalog')
    .option('-t, --target <name>', 'only backups of this target')
    .option('-s, --store <names>', 'only these stores', list)
    .option('-b, --backup <id>', 'only this backup; repeatable', repeated)
    .option('-n, --limit <count>', 'maximum number of backups to search', whole, 20)
    .option(
      '--extract <file>',
      'write the record to a new file, as JSON lines or the bytes of a file; - for stdout. From the newest backup that has it',
    )
    .option(...IDENTITY, repeated)
    .action(async (wanted: string, archives: string[], flags: FindFlags, command: Command) => {
      const cli = cliOf(command);
      if (flags.extract !== undefined && flags.extract !== '-' && existsSync(flags.extract)) {
        throw new InvalidInputError(`"${flags.extract}" already exists.`, { remedy: 'Choose another name.' });
      }
      const { stores } = parseInput(DiffInput.omit({ to: true }), { stores: flags.store }, 'The options');
      await interruptible((signal) => find(cli, { wanted, archives, flags, stores, signal }));
    });
}

interface Find {
  readonly wanted: string;
  readonly archives: readonly string[];
  readonly flags: FindFlags;
  readonly stores: readonly StoreName[] | undefined;
  readonly signal: AbortSignal;
}

async function find(cli: Cli, request: Find): Promise<void> {
  const { wanted, archives, flags } = request;
  const searched: Searched[] = [];
  let isExtracted = flags.extract === undefined;
  const search = async (archive: OpenedArchive, number: number, of: number): Promise<void> => {
    const found = await searchOne(cli, archive, request, `${number} of ${of}`, async (record) => {
      if (isExtracted) return;
      isExtracted = true;
      await extract(archive, record, flags.extract ?? '-');
    });
    searched.push(found);
    cli.output.event('searched', found);
  };
  if (archives.length > 0) {
    for (const [at, name] of archives.entries()) {
      await withArchive(cli, name, flags, ({ archive }) => search(archive, at + 1, archives.length));
    }
  } else await searchCatalog(cli, request, search);
  const history = historyOf(searched);
  // With --extract -, stdout has the record only.
  if (flags.extract === '-') cli.output.note(historyText(wanted, searched, cli.output.verbose));
  else cli.output.result('found', history, () => historyText(wanted, searched, cli.output.verbose));
  if (searched.some(({ records }) => records.length > 0)) return;
  throw new NotFoundError(
    `None of the ${count(searched.length)} backups searched has a record "${printable(wanted)}".`,
    {
      remedy: 'Check its spelling. Search more backups with --limit, or other targets.',
    },
  );
}

/** Searches the backups of the catalog, newest first. Archives are read by ranges through download links. */
async function searchCatalog(
  cli: Cli,
  { flags, signal }: Find,
  search: (archive: OpenedArchive, number: number, of: number) => Promise<void>,
): Promise<void> {
  const client = await cli.client();
  const query = {
    limit: Math.max(1, flags.limit),
    ...(flags.target === undefined ? {} : { target: flags.target }),
  };
  const listed = flags.backup
    ? undefined
    : await client.listBackups(parseInput(ListBackupsInput, query, 'The options'));
  const ids = flags.backup ?? listed?.backups.map(({ backup_id }) => backup_id) ?? [];
  for (const [at, id] of ids.entries()) {
    const links = await Links.open(() => client.downloadBackup(id, DownloadInput.parse({})));
    await search(await openArchive(linkSource(links, signal)), at + 1, ids.length);
  }
  const more = (listed?.total ?? ids.length) - ids.length;
  if (more > 0) cli.output.note(`${count(more)} older backups were not searched: --limit`);
}

/** Searches one archive, and passes each record that is found to `take`. */
async function searchOne(
  cli: Cli,
  archive: OpenedArchive,
  { wanted, stores, signal }: Find,
  position: string,
  take: (record: FoundRecord) => Promise<void>,
): Promise<Searched> {
  const { findRecords } = await import('../../shared/stores/comparison/find-records.ts');
  const { backup_id, created_at } = archive.manifest;
  cli.output.note(`Searching ${printable(backup_id)}, ${localTime(created_at)} (${position})`);
  const bar = showTransfer(cli.output, 'search');
  const records: FoundRecord[] = [];
  const unsearched: UnsearchedKind[] = [];
  try {
    for await (const record of findRecords(archive, {
      ...{ wanted, stores, signal, progress: bar.update },
      unsearched: (kind) => unsearched.push(kind),
    })) {
      await take(record);
      records.push(record);
      if (records.length >= RECORDS_MAX) break;
    }
  } finally {
    bar.stop();
  }
  return {
    backup_id,
    created_at,
    records: records.map(({ json: _, ...record }) => record),
    unsearched,
  };
}

/** Writes a record to a new file. It gets its name once it is complete. */
async function extract(archive: OpenedArchive, { json, entry }: FoundRecord, file: string): Promise<void> {
  const content = async () => {
    if (json) return Readable.from([Buffer.from(`${json()}\n`)]);
    const found = await archive.find(entry);
    if (!found) throw new TypeError(`there is no entry ${entry}`);
    return Readable.from(archive.open(found));
  };
  if (file === '-') {
    await pipeline(await content(), process.stdout, { end: false });
    return;
  }
  const unfinished = `${file}.${randomBytes(4).toString('hex')}.part`;
  try {
    await pipeline(await content(), createWriteStream(unfinished, { flags: 'wx' }));
    await link(unfinished, file);
  } finally {
    await rm(unfinished, { force: true });
  }
}
