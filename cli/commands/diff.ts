import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { Id } from '../../shared/core/ids.ts';
import { parseInput } from '../../shared/core/input.ts';
import { DiffInput } from '../../shared/operations/diff-backups.ts';
import type { ComparedStore } from '../../shared/stores/comparison/result.ts';
import { type OpenFlags, withArchive } from '../archive/with-archive.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import { comparisonText } from '../comparison-text.ts';
import { count, localTime } from '../format.ts';
import { interruptible } from '../interrupted.ts';
import { fields } from '../output.ts';
import { THAW, THAW_DAYS_OPTION, type ThawFlags, thawFirst, thawOf } from '../thaw.ts';
import { IDENTITY, list, repeated, whole } from './options.ts';

type Stores = ReturnType<typeof DiffInput.parse>['stores'];

interface DiffFlags extends OpenFlags, ThawFlags {
  readonly stores?: string[];
}

interface Diff {
  readonly backup_id: string;
  readonly created_at: string;
  readonly to: string;
  readonly to_created_at: string;
  readonly stores: readonly ComparedStore[];
}

/** `ngbak diff` */
export function diffCommand(program: Command): void {
  program
    .command('diff')
    .summary('compare two backups record by record')
    .description(
      'Finds which records were added, changed and removed from the first backup to the second, by kind, with the names of some. Backups of the catalog are compared in the region of the deployment, or from AWS credentials on this machine; archives on this machine are compared here. Reads archives only, and no store.',
    )
    .argument('<before>', 'backup ID, or path of an archive')
    .argument('<after>', 'backup ID, or path of an archive')
    .option('-s, --stores <names>', 'only these stores', list)
    .option(...IDENTITY, repeated)
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .action(async (before: string, after: string, flags: DiffFlags, command: Command) => {
      const cli = cliOf(command);
      const { stores } = parseInput(DiffInput.omit({ to: true }), { stores: flags.stores }, 'The options');
      const isCatalogued = [before, after].every((name) => Id.safeParse(name).success && !existsSync(name));
      const thaw = thawOf(flags);
      if (thaw && isCatalogued) await thawFirst(cli, await cli.client(), [before, after], thaw);
      const bar = showTransfer(cli.output, 'compare', (records) => `${count(records)} records`);
      const found = await interruptible((signal) =>
        isCatalogued
          ? diffCatalogued(cli, before, { to: after, stores }, { signal, progress: bar.update })
          : diffFiles(cli, before, after, { ...flags, stores }, { signal, progress: bar.update }),
      ).finally(() => bar.stop());
      cli.output.result('diff', found, () => diffText(found, cli.output.verbose));
    });
}

interface DiffTime {
  readonly signal: AbortSignal;
  progress(records: number, total: number): void;
}

async function diffCatalogued(
  cli: Cli,
  id: string,
  { to, stores }: { to: string; stores: Stores },
  { signal, progress }: DiffTime,
): Promise<Diff> {
  const client = await cli.client();
  const input = { to, ...(stores === undefined ? {} : { stores }) };
  let cursor: string | null = null;
  for (;;) {
    signal.throwIfAborted();
    const leg = await client.diffBackups(id, { ...input, cursor }, { signal, progress });
    if (leg.progress) progress(leg.progress.records, leg.progress.total);
    if (leg.done) {
      const { backup_id, created_at, to_created_at } = leg;
      return { backup_id, created_at, to: leg.to, to_created_at, stores: leg.stores };
    }
    cursor = leg.cursor;
  }
}

async function diffFiles(
  cli: Cli,
  before: string,
  after: string,
  flags: OpenFlags & { stores: Stores },
  { signal, progress }: DiffTime,
): Promise<Diff> {
  const { comparisonOf } = await import('../../shared/stores/comparison/archives.ts');
  const { compareHere } = await import('../../shared/stores/comparison/compare-here.ts');
  return withArchive(cli, before, flags, ({ archive: one }) =>
    withArchive(cli, after, flags, async ({ archive: other }) => ({
      backup_id: one.manifest.backup_id,
      created_at: one.manifest.created_at,
      to: other.manifest.backup_id,
      to_created_at: other.manifest.created_at,
      stores: await compareHere(comparisonOf(one, other, flags.stores), {
        signal,
        progress: (_store, records, total) => progress(records, total),
      }),
    })),
  );
}

/** Both backups, and what differs between them. */
function diffText({ backup_id, created_at, to, to_created_at, stores }: Diff, verbose: boolean): string {
  return [
    fields([
      ['before', `${backup_id}, ${localTime(created_at)}`],
      ['after', `${to}, ${localTime(to_created_at)}`],
    ]),
    '',
    ...comparisonText(stores, { before: 'before', after: 'after', removed: 'removed' }, verbose),
  ].join('\n');
}
