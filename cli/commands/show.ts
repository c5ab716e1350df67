import type { Command } from 'commander';
import type { BackupDetails } from '../../shared/catalog/summaries.ts';
import pc from '../../shared/core/colors.ts';
import { copyPlace } from '../../shared/core/copies.ts';
import { describeSubset } from '../../shared/core/describe-subset.ts';
import { parseInput } from '../../shared/core/input.ts';
import { describeEvidence } from '../../shared/core/system-evidence.ts';
import { ContentsInput } from '../../shared/operations/contents.ts';
import { warningText } from '../../shared/stores/describe-warning.ts';
import { kindOf } from '../../shared/stores/known-facts.ts';
import type { AnyDetails } from '../answers.ts';
import { cliOf } from '../cli.ts';
import {
  byChecksumText,
  bytes,
  count,
  duration,
  localTime,
  printable,
  readingText,
  stateText,
} from '../format.ts';
import { fields, LINES_MAX, table } from '../output.ts';
import { storageFields } from '../storage-text.ts';
import { groupText } from '../tally-text.ts';
import { THAW, THAW_DAYS_OPTION, thawFirst, thawOf } from '../thaw.ts';
import { whole } from './options.ts';

/** `ngbak show` and `ngbak contents` */
export function showCommands(program: Command): void {
  program
    .command('show')
    .summary('show one backup')
    .description('Shows the catalog record of a backup.')
    .argument('<backup>', 'backup ID')
    .action(async (id: string, _options, command: Command) => {
      const cli = cliOf(command);
      const record = await (await cli.client()).showBackup(id);
      cli.output.result('backup', record, () => recordText(record, cli.output.verbose));
    });
  program
    .command('contents')
    .summary('list the entries of a backup')
    .description("Lists the entries of a backup's archive. Reads ranges of its index only.")
    .argument('<backup>', 'backup ID')
    .option('--prefix <prefix>', 'only entries whose names start with this', '')
    .option('-n, --limit <count>', 'maximum number of entries, up to 1000', whole, 100)
    .option('--offset <count>', 'number of entries to skip', whole, 0)
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .action(async (id: string, { thaw, thawDays, ...options }, command: Command) => {
      const cli = cliOf(command);
      const request = thawOf({ thaw, thawDays });
      const input = parseInput(ContentsInput, options, 'The options');
      const client = await cli.client();
      await thawFirst(cli, client, [id], request);
      const contents = await client.listContents(id, input);
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

/** The catalog record of a backup as text. */
export function recordText(record: AnyDetails, verbose = false): string {
  const { archive, verification, consistency, warnings = [] } = record;
  const tallies = Object.entries(record.tallies).flatMap(([store, counts]) =>
    tallyRows(store, counts, verbose),
  );
  return [
    fields([
      ['backup', record.backup_id],
      ['target', record.target],
      ['type', record.type === 'full' ? 'full' : `partial: ${record.stores.join(', ')}`],
      ['only', record.only && describeSubset(record.only)],
      ['created', localTime(record.created_at)],
      ['duration', duration(record.duration_seconds)],
      [
        'size',
        `${bytes(archive.bytes)} (${bytes(record.uncompressed_bytes)} uncompressed, ${archive.codec})`,
      ],
      ['entries', count(archive.entries)],
      ['records', record.record_count === undefined ? undefined : count(record.record_count)],
      ['files', record.includes_files ? count(record.file_count ?? 0) : undefined],
      ['stored in', record.storage_path && `${record.storage_path} (${record.storage_class})`],
      ...storageFields(record.storage),
      ['checksum', archive.checksum],
      ['signature', record.signature && `signed with ${record.signature.key_id}`],
      ['state', stateText(record)],
      ['consistency', consistency.grade],
      ...Object.entries(consistency.changes).flatMap(([store, changes]) =>
        changes.map((change): [string, string] => ['', `${store}: ${change}`]),
      ),
      ...Object.entries(record.readings ?? {}).map(([store, reading], index): [string, string] => [
        index === 0 ? 'read' : '',
        printable(`${store}: ${readingText(reading)}`),
      ]),
      ['verified', `${verification.state === 'verified' ? '' : 'DAMAGED, '}${localTime(verification.at)}`],
      ['', byChecksumText(verification)],
      ...(verification.problems ?? []).map((problem): [string, string] => ['', problem]),
      ...copyRows(record.copies ?? []),
      ['retention', record.retention ?? 'by policy'],
      ['tags', record.tags.join(' ')],
      ['note', record.note],
      ['requested by', record.requested_by],
      ['job', record.job_id],
      ['ngbak version', record.ngbak_version],
      ['system version', record.system_version],
      ['system version of the data', record.system_evidence && describeEvidence(record.system_evidence)],
    ]),
    '',
    table(['store', 'what', 'count', 'digest'], tallies),
    ...(record.references?.length ? ['', ...record.references.map(referenceLine)] : []),
    ...(warnings.length === 0 ? [] : ['', ...warnings.map(warningLine)]),
  ].join('\n');
}

/** One row for each copy in another bucket, and its problem if it has one. */
function copyRows(copies: NonNullable<BackupDetails['copies']>): [string, string][] {
  return copies.flatMap(({ name, problem, next_attempt_at, ...copy }): [string, string][] => {
    const place = `s3://${copyPlace(copy)}`;
    const verified =
      copy.verified_at === undefined ? 'not verified' : `verified ${localTime(copy.verified_at)}`;
    const facts = [
      copy.state === 'damaged' ? 'DAMAGED' : copy.state,
      place,
      ...(copy.storage_class === undefined ? [] : [copy.storage_class]),
      ...(copy.state === 'complete' ? [verified] : []),
      ...(copy.expires_at === undefined ? [] : [`expires ${localTime(copy.expires_at)}`]),
      ...(next_attempt_at === undefined ? [] : [`next attempt ${localTime(next_attempt_at)}`]),
    ];
    return [
      [`copy ${name}`, facts.join(', ')],
      ...(problem === undefined ? [] : ([['', problem]] as [string, string][])),
    ];
  });
}

/** A reference between stores, such as `References vectors entities.entity_name → graph nodes.id: 2,633 (dangling: 0)`. */
function referenceLine({
  reference,
  total,
  checked,
  dangling,
  complete,
}: NonNullable<BackupDetails['references']>[number]): string {
  const of = checked < total || !complete ? ` of ${count(checked)} checked` : '';
  return `References ${printable(reference)}: ${count(total)} (dangling: ${count(dangling)}${of})`;
}

function warningLine({ id, store, acknowledged, ...warning }: BackupDetails['warnings'][number]): string {
  const by = acknowledged
    ? ` Acknowledged by ${acknowledged.by} at ${localTime(acknowledged.at)}${acknowledged.note ? `: ${acknowledged.note}` : ''}.`
    : '';
  const head = acknowledged ? 'Warning (acknowledged):' : pc.yellow('Warning:');
  return `${head} ${printable(`${store}: ${warningText(warning)}${by} [${id}]`)}`;
}

/** The collections or namespaces of a store; many are summarized, unless `--verbose` is given. */
function tallyRows(
  store: string,
  tallies: Readonly<Record<string, { readonly count: number; readonly digest: string }>>,
  verbose: boolean,
): string[][] {
  const kinds = Map.groupBy(Object.entries(tallies), ([name]) => kindOf(name));
  return [...kinds].flatMap(([kind, members]) => {
    if (members.length <= LINES_MAX || verbose) {
      return members.map(([name, tally]) => [store, name, count(tally.count), tally.digest.slice(0, 16)]);
    }
    const total = members.reduce((sum, [, tally]) => sum + tally.count, 0);
    return [[store, `${kind} (${groupText(kind, members.length)})`, count(total), 'see --verbose']];
  });
}
