import type { Command } from 'commander';
import pc from '../../shared/core/colors.ts';
import type { Grade, Reason, TargetRecoverability } from '../../shared/operations/recoverability.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { costsText, readCosts } from '../costs-text.ts';
import { ago, bytes, count, duration, localTime, printable } from '../format.ts';
import { fields } from '../output.ts';
import { warnOfReceivers } from '../receivers.ts';

/** `ngbak status` */
export function statusCommand(program: Command): void {
  program
    .command('status')
    .summary('show whether each target is recoverable now')
    .description(
      'Shows for each target whether it can be restored now, from which backup and to which point in time, how long it would take, and what to do if it cannot. The dashboard, metrics and alarms show the same answer. Reads a byte of each archive that it relies on. Exits with 10 if a target cannot be recovered.',
    )
    .argument('[target]', 'only this target')
    .option(
      '--costs',
      'also show what is stored now, by storage class, and an estimate of its costs; lists the whole bucket',
    )
    .option(
      '--prices <file>',
      'JSON file with prices to use instead of list prices (docs/storage-classes.md)',
    )
    .action(async (target: string | undefined, { costs, prices }, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const stored = costs || prices !== undefined ? await readCosts(client, prices) : undefined;
      const found = await client.recoverability(target === undefined ? {} : { target });
      const { targets, ...rest } = found;
      for (const one of targets) cli.output.event('target', one);
      cli.output.result('status', rest, () =>
        targets.length === 0
          ? 'No targets are configured, and there are no backups.'
          : targets.map(targetText).join('\n\n'),
      );
      if (stored) {
        const { cursor: _, ...shown } = stored;
        cli.output.result('costs', shown, () => `\n${costsText(shown, cli.output.verbose)}`);
      }
      await warnOfReceivers(cli);
      if (rest.recoverable === 'no') throw new ExitError('unrecoverable');
    });
}

const ANSWERS: Readonly<Record<Grade, string>> = {
  yes: pc.green('recoverable'),
  yes_with_warnings: pc.yellow('recoverable, with warnings'),
  no: pc.red('NOT RECOVERABLE'),
};

const MARKS: Readonly<Record<Reason['severity'], string>> = {
  no: pc.red('✗'),
  warning: pc.yellow('!'),
  note: pc.dim('i'),
};

/** When a drill or a restore was, and of which backup. */
function eventText({
  finished_at,
  newest,
  backup_id,
  job_id,
}: NonNullable<TargetRecoverability['drill']>): string {
  return `${ago(finished_at)}, of ${newest ? 'the latest good backup' : backup_id} (job ${job_id})`;
}

/** The assessment of one target, most important first. */
function targetText({
  target,
  recoverable,
  reasons,
  backup,
  rpo_seconds,
  rpo_allowed_seconds,
  rto_seconds,
  thaw_seconds,
  proof,
  drill,
  rehearsal,
  drill_age_max_seconds,
  copies,
}: TargetRecoverability): string {
  return [
    `${pc.bold(printable(target))}: ${ANSWERS[recoverable]}`,
    ...reasons.map(
      ({ severity, text, remedy }) => `${MARKS[severity]} ${printable(text)}\n  ${printable(remedy)}`,
    ),
    fields([
      [
        'latest good backup',
        backup &&
          `${backup.backup_id} of ${localTime(backup.created_at)}, ${count(backup.records)} records, ${bytes(backup.bytes)}, verified ${ago(backup.verified_at)}`,
      ],
      [
        'data that a restore would lose',
        rpo_seconds === undefined
          ? undefined
          : `the last ${duration(rpo_seconds)}${rpo_allowed_seconds === undefined ? '' : ` (allowed: ${duration(rpo_allowed_seconds)})`}`,
      ],
      [
        'duration of a restore',
        backup &&
          (rto_seconds === undefined
            ? 'unknown'
            : `about ${duration(rto_seconds)}, by the last ${proof?.kind ?? 'restore'}${thaw_seconds === undefined ? '' : `, with ${duration(thaw_seconds)} to thaw the archive`}`),
      ],
      [
        'last drill',
        drill
          ? `${eventText(drill)}${drill_age_max_seconds === undefined ? '' : `; allowed age: ${duration(drill_age_max_seconds)}`}`
          : backup && 'none',
      ],
      ['last rehearsal', rehearsal && eventText(rehearsal)],
      ['copies', copies?.map(({ name, state }) => `${name}: ${state}`).join(', ')],
      ['last proved restore', proof?.kind === 'restore' ? eventText(proof) : undefined],
    ]),
  ].join('\n');
}
