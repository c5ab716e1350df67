import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { CopyConfig } from '../../shared/core/copies.ts';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { parseInput } from '../../shared/core/input.ts';
import type { FoundArchive, Recovered } from '../../shared/operations/recover.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { ago, bytes, count, localTime } from '../format.ts';
import { interruptible } from '../interrupted.ts';
import { fields, table } from '../output.ts';
import { THAW, THAW_DAYS_OPTION, type ThawFlags, thawOf, waitForThaw } from '../thaw.ts';
import { repeated, whole } from './options.ts';

interface RecoverFlags extends ThawFlags {
  readonly region?: string;
  readonly role?: string;
  readonly backup?: string[];
  readonly target?: string[];
  readonly all?: boolean;
  readonly trustedKey?: string[];
}

/** `ngbak recover` */
export function recoverCommand(program: Command): void {
  program
    .command('recover')
    .summary('recover backups from a copy in another bucket')
    .description(
      'Lists the backups in the bucket of a copy, such as a vault, and the newest good one of each target. With --target, --backup or --all, copies them into the bucket of this deployment, verifies every byte, and adds them to the catalog, from where they are restored like all others. Needs AWS credentials that can write archives into the new bucket: those of an administrator. It can be interrupted and repeated.',
    )
    .argument('<copy>', 'bucket of the copy, or bucket/prefix')
    .option('--region <region>', 'region of that bucket (default: the region of the environment)')
    .option(
      '--role <arn>',
      'role to assume for reading the copy, such as the output ReadRoleArn of a vault; without it, the same credentials read and write, and S3 copies by itself',
    )
    .option('-t, --target <name>', 'recover the newest good backup of this target; repeatable', repeated)
    .option('--backup <id>', 'recover this backup; repeatable', repeated)
    .option('--all', 'recover all backups; with --target, all of these targets')
    .option(
      '--trusted-key <file>',
      'public key in PEM of the lost deployment: its signatures are recorded as valid; repeatable',
      repeated,
    )
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .addHelpText(
      'after',
      `
With --role, the bytes pass through this machine: run it near the new bucket, for example in CloudShell. If the newest
good backup of a target is not intact, the one before it is recovered as well, and the command exits with 7.

Examples:
  ngbak recover vault-of-team-a --region eu-west-1 --role arn:aws:iam::444455556666:role/ReadRole
  ngbak recover vault-of-team-a --region eu-west-1 --role arn:aws:iam::444455556666:role/ReadRole --target default
  ngbak restore snapshot_2026-01-02T03-00-00Z
`,
    )
    .action(async (place: string, flags: RecoverFlags, command: Command) =>
      recover(cliOf(command), place, flags),
    );
}

async function recover(cli: Cli, place: string, flags: RecoverFlags): Promise<void> {
  const trustedKeys = await readKeys(flags.trustedKey ?? []);
  const thaw = thawOf(flags);
  const source = await openCopy(place, flags);
  // Imported on demand, like all that loads the AWS SDK.
  const { findArchives, newestGoodOf, thawCopy } = await import('../../shared/operations/recover.ts');
  const found = await findArchives(source);
  const newest = newestGoodOf(found);
  for (const archive of found) cli.output.event('archive', archive);
  const { backup: backups, target: targets, all } = flags;
  if (backups === undefined && targets === undefined && all === undefined) {
    cli.output.result(
      'copy',
      { place: source.place, archives: found.length, newest: Object.fromEntries(newest) },
      () =>
        found.length === 0
          ? `No archives in s3://${source.place}.`
          : table(
              HEAD,
              found.map((one) => row(one, newest)),
            ),
    );
    for (const { backup_id, problem } of found) {
      if (problem !== undefined) cli.output.warn(`${backup_id} cannot be read: ${problem}`);
    }
    return;
  }
  const client = await cli.client();
  const progress = showPhases(cli);
  let result: Recovered;
  try {
    result = await interruptible((signal) =>
      client.recover(
        found,
        { backups, targets, all },
        {
          ...{ source, streamed: flags.role !== undefined, trustedKeys, signal },
          ...(thaw === undefined
            ? {}
            : { thaw: (id: string) => waitForThaw(cli, () => thawCopy(source, id, thaw), signal) }),
          progress: progress.update,
        },
      ),
    );
  } finally {
    progress.stop();
  }
  cli.output.result('recovered', result, () => resultText(result));
  for (const { backup_id, problem } of result.problems) {
    cli.output.warn(`${backup_id} was not recovered: ${problem}`);
  }
  const [first] = [...result.recovered, ...result.present];
  if (first !== undefined) {
    cli.output.note(`Restore it with: ngbak restore ${first}. Rehearse it with: ngbak drill ${first}`);
  }
  if (result.problems.some(({ kind }) => kind === 'damaged')) throw new ExitError('damaged');
  if (result.problems.length > 0) throw new ExitError('failed');
}

async function readKeys(paths: readonly string[]): Promise<string[]> {
  return Promise.all(
    paths.map((path) =>
      readFile(path, 'utf8').catch((cause) => {
        throw new InvalidInputError(`The public key ${path} cannot be read.`, {
          remedy: 'Give the file that `ngbak signing-key` of the lost deployment printed.',
          cause,
        });
      }),
    ),
  );
}

async function openCopy(place: string, { region, role }: RecoverFlags) {
  const [bucket = '', ...folders] = place
    .replace(/^s3:\/\//, '')
    .replace(/\/+$/, '')
    .split('/');
  const copy = parseInput(
    CopyConfig,
    {
      bucket,
      ...(folders.length === 0 ? {} : { prefix: folders.join('/') }),
      ...(region === undefined ? {} : { region }),
      ...(role === undefined ? {} : { read_role_arn: role }),
    },
    'The copy',
    'Give its bucket, or bucket/prefix.',
  );
  const { openCopyBucket } = await import('../../shared/aws/copy-bucket.ts');
  return openCopyBucket(copy, 'read');
}

/** A bar for each archive that is copied or verified. */
function showPhases(cli: Cli) {
  let shown: { readonly name: string; readonly bar: ReturnType<typeof showTransfer> } | undefined;
  const stop = () => shown?.bar.stop();
  return {
    update(phase: string, backupId: string, done: number, total: number) {
      const name = `${phase} ${backupId}`;
      if (shown?.name !== name) {
        stop();
        shown = { name, bar: showTransfer(cli.output, name) };
      }
      shown.bar.update(done, total);
    },
    stop,
  };
}

function resultText({ recovered, present, bytes: copied }: Recovered): string {
  return fields([
    ['recovered', recovered.join(', ') || 'none'],
    ['already in the catalog', present.join(', ')],
    ['copied', bytes(copied)],
    ['integrity', recovered.length === 0 ? undefined : 'all bytes verified'],
  ]);
}

const HEAD = ['backup', 'created', 'target', 'type', 'size', 'records', 'state', 'described by', ''];

function row(
  { backup_id, bytes: size, described_by, summary }: FoundArchive,
  newest: Map<string, string>,
): string[] {
  if (!summary) return [backup_id, '', '', '', bytes(size), '', 'UNREADABLE', '', ''];
  return [
    backup_id,
    `${localTime(summary.created_at)} (${ago(summary.created_at)})`,
    summary.target,
    summary.type === 'full' ? 'full' : summary.stores.join('+'),
    bytes(size),
    count(summary.records),
    summary.good ? 'good' : summary.state.replaceAll('_', ' '),
    described_by === 'record' ? 'record' : 'archive, not verified',
    newest.get(summary.target) === backup_id ? 'newest good' : '',
  ];
}
