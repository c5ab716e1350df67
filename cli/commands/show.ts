import type { Command } from 'commander';
import type { CatalogRecord } from '../../shared/catalog/record.ts';
import { parseInput } from '../../shared/input.ts';
import { ContentsInput } from '../../shared/operations/contents.ts';
import { describePart } from '../../shared/stores/describe-part.ts';
import { cliOf } from '../cli.ts';
import { bytes, count, duration, localTime } from '../format.ts';
import { facts, table } from '../output.ts';
import { whole } from './options.ts';

/** `ngbak show` and `ngbak contents` */
export function showCommands(program: Command): void {
  program
    .command('show')
    .summary('show one backup')
    .description('Shows what the catalog knows of a backup.')
    .argument('<backup>', 'id of the backup')
    .action(async (id: string, _options, command: Command) => {
      const cli = cliOf(command);
      const record = await (await cli.client()).showBackup(id);
      cli.output.result('backup', record, () => recordText(record));
    });
  program
    .command('contents')
    .summary('list what is in a backup')
    .description("Lists the entries of a backup's archive, read by ranges from its index.")
    .argument('<backup>', 'id of the backup')
    .option('--prefix <prefix>', 'only entries whose names start so', '')
    .option('-n, --limit <count>', 'how many, at most 1000', whole, 100)
    .option('--offset <count>', 'pass over so many', whole, 0)
    .action(async (id: string, options, command: Command) => {
      const cli = cliOf(command);
      const input = parseInput(ContentsInput, options, 'The options');
      const contents = await (await cli.client()).listContents(id, input);
      for (const entry of contents.entries) cli.output.event('entry', entry);
      const { entries, ...rest } = contents;
      cli.output.result('page', rest, () =>
        table(
          ['entry', 'size', 'sha256'],
          entries.map(({ name, size, sha256 }) => [name, bytes(size), sha256]),
        ),
      );
      if (contents.next_offset !== undefined) {
        cli.output.note(`More with: ngbak contents ${id} --offset ${contents.next_offset}`);
      }
    });
}

/** A backup's record for people. */
export function recordText(record: CatalogRecord): string {
  const { archive, verification, consistency } = record;
  const tallies = Object.entries(record.tallies).flatMap(([store, counts]) =>
    Object.entries(counts).map(([name, tally]) => [
      store,
      name,
      count(tally.count),
      tally.digest.slice(0, 16),
    ]),
  );
  return [
    facts([
      ['backup', record.backup_id],
      ['target', record.target],
      ['type', record.type === 'full' ? 'full' : `partial: ${record.stores.join(', ')}`],
      ['only', record.only && describePart(record.only)],
      ['made', localTime(record.created_at)],
      ['took', duration(record.duration_seconds)],
      [
        'size',
        `${bytes(archive.bytes)} (${bytes(record.uncompressed_bytes)} uncompressed, ${archive.codec})`,
      ],
      ['entries', count(archive.entries)],
      ['checksum', archive.checksum],
      ['stores', consistency.grade],
      ...Object.entries(consistency.changes).flatMap(([store, changes]) =>
        changes.map((change): [string, string] => ['', `${store}: ${change}`]),
      ),
      ['verified', `${verification.state === 'verified' ? '' : 'DAMAGED, '}${localTime(verification.at)}`],
      ...(verification.problems ?? []).map((problem): [string, string] => ['', problem]),
      ['kept', record.retention ?? 'by policy'],
      ['tags', record.tags.join(' ')],
      ['note', record.note],
      ['asked by', record.requested_by],
      ['job', record.job_id],
      ['ngbak', record.ngbak_version],
    ]),
    '',
    table(['store', 'what', 'count', 'digest'], tallies),
  ].join('\n');
}
