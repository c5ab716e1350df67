import { dirname } from 'node:path';
import { type Command, Option } from 'commander';
import { openArchive } from '../shared/archive/read/open.ts';
import { ANOTHER_ARCHIVE, IntegrityError, InvalidInputError } from '../shared/core/errors.ts';
import { RefusedError } from '../shared/core/refusals.ts';
import { type Conversion, KeyValueConversion, tablesOf } from '../shared/profiles/forms/convert.ts';
import { FORMS, type FormName } from '../shared/profiles/forms/form.ts';
import { LOSSES } from '../shared/profiles/forms/losses.ts';
import { type ArchiveCheckResult, checkWholeArchive } from '../shared/stores/check-archive.ts';
import { requireNewFile, writeNewArchive } from './archive/new-archive.ts';
import type { AnyArchive } from './archive/open-any.ts';
import { withArchive } from './archive/with-archive.ts';
import { showTransfer } from './bars.ts';
import type { Cli } from './cli.ts';
import { list } from './commands/options.ts';
import { count, printable } from './format.ts';
import { table } from './output.ts';
import { requireSpace } from './transfer/disk-space.ts';

/** Problems of a damaged archive that an error names. */
const PROBLEMS_SHOWN_MAX = 3;
/** Names of what would be lost that are printed without `--verbose`. */
const SAMPLES_SHOWN_MAX = 3;

/** How an archive is converted. */
export interface ConvertFlags {
  readonly as: FormName;
  readonly drop?: readonly string[];
  readonly tables?: string;
}

/** Adds `--as` and `--drop`. */
export function convertOptions(command: Command, isRequired: boolean): Command {
  const as = new Option('--as <form>', `form of the key-value data: ${FORMS.join(', ')}`).choices(FORMS);
  return command
    .addOption(isRequired ? as.makeOptionMandatory() : as)
    .option(
      '--tables <archive>',
      'archive of the target, for a form of tables: rows are written for the tables that it defines',
    )
    .option(
      '--drop <kinds>',
      `accept that this is lost, as listed before anything is written: ${Object.keys(LOSSES).join(', ')}`,
      list,
    );
}

/**
 * Converts the key-value data of an opened archive into another form, as a new archive. The source is verified first,
 * and what the form cannot hold is listed. Nothing is written unless all of that was accepted. Throws RefusedError then,
 * and with `dryRun` returns undefined.
 */
export async function convertArchive(
  cli: Cli,
  { archive, source }: AnyArchive,
  {
    as,
    drop = [],
    tables: target,
    file,
    force,
    dryRun,
    signal,
  }: ConvertFlags & {
    readonly file: string;
    readonly force: boolean;
    readonly dryRun: boolean;
    readonly signal: AbortSignal;
  },
): Promise<{ bytes: number; checksum: string } | undefined> {
  const unknown = drop.find((code) => !Object.hasOwn(LOSSES, code));
  if (unknown !== undefined) {
    throw new InvalidInputError(`--drop knows no "${unknown}".`, {
      remedy: `Choose from: ${Object.keys(LOSSES).join(', ')}.`,
    });
  }
  if (!dryRun) requireNewFile(file, force);
  let bar = showTransfer(cli.output, 'reading keys', count);
  try {
    let total = 0;
    const tables =
      target === undefined
        ? undefined
        : await withArchive(cli, target, {}, ({ archive: defined }) => tablesOf(defined));
    const conversion = new KeyValueConversion(archive, as, {
      signal,
      now: Date.now(),
      tables,
      progress: (done) => bar.update(done, Math.max(done, total)),
    });
    const before = await verified(cli, source, signal);
    const counts = Object.values(before.tallies.kv ?? {}).map((tally) => tally.count);
    total = counts.reduce((sum, found) => sum + found, 0);
    const plan = await conversion.survey();
    bar.stop();
    cli.output.event('conversion', plan);
    cli.output.note(conversionText(plan, cli.output.verbose));
    const open = plan.losses.filter(({ code }) => !drop.includes(code)).map(({ code }) => code);
    if (open.length > 0 && !dryRun) {
      throw new RefusedError(`The form "${as}" cannot hold everything: see the list. Nothing was written.`, {
        remedy: `Accept what is lost with --drop ${open.join(',')}, or restore the archive in its own form.`,
      });
    }
    if (dryRun) return undefined;
    total = plan.namespaces.reduce((sum, namespace) => sum + namespace.records, 0);
    bar = showTransfer(cli.output, 'converting keys', count);
    await requireSpace(dirname(file), source.size, 'Free disk space, or choose another folder.');
    return await writeNewArchive(
      file,
      conversion.write(plan, before.tallies),
      async (written) => {
        await verified(cli, written, signal);
        const opened = await openArchive(written);
        await conversion.compare(opened, plan);
        return { bytes: written.size, checksum: opened.manifest.checksum };
      },
      signal,
    );
  } finally {
    bar.stop();
  }
}

/** Verifies every byte and every record. Throws IntegrityError, with the first problems. */
async function verified(
  cli: Cli,
  source: AnyArchive['source'],
  signal: AbortSignal,
): Promise<ArchiveCheckResult> {
  const bar = showTransfer(cli.output, 'verify');
  try {
    const checked = await checkWholeArchive(source, {
      progress: (done, total) => {
        signal.throwIfAborted();
        bar.update(done, total);
      },
    });
    const { problems } = checked;
    if (problems.length === 0) return checked;
    throw new IntegrityError(
      `${printable(source.name)} is damaged: ${problems.slice(0, PROBLEMS_SHOWN_MAX).join('; ')}.`,
      { remedy: `Nothing was written. ${ANOTHER_ARCHIVE}` },
    );
  } finally {
    bar.stop();
  }
}

/** What will be written, and what will not. */
function conversionText({ from, to, namespaces, losses, notes }: Conversion, isVerbose: boolean): string {
  const total = namespaces.reduce((sum, { records }) => sum + records, 0);
  const rows = namespaces.map(({ name, records }) => [name, count(records)]);
  const missing = [...notes, ...losses].map((one) => [
    one.code,
    count(one.count),
    one.text,
    one.samples.slice(0, isVerbose ? one.samples.length : SAMPLES_SHOWN_MAX).join(', '),
  ]);
  return [
    `Key-value data: ${from} to ${to}, ${count(total)} records`,
    table(['namespace', 'records'], rows),
    ...(missing.length === 0 ? [] : ['', table(['not converted', 'number', 'what', 'examples'], missing)]),
  ].join('\n');
}
