import { type Command, Option } from 'commander';
import { InvalidInputError } from '../../shared/errors.ts';
import { parseInput } from '../../shared/input.ts';
import { PruneInput } from '../../shared/operations/prune.ts';
import { type RetentionSetting, SetRetentionInput } from '../../shared/operations/retention.ts';
import type { RetentionPolicy } from '../../shared/retention/policy.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, localTime, policyText } from '../format.ts';
import { facts, table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { whole } from './options.ts';

const PERIODS = ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** `ngbak prune` and `ngbak retention …` */
export function retentionCommands(program: Command): void {
  policyOptions(
    program
      .command('prune')
      .summary('delete what no retention rule keeps')
      .description(
        'Shows for each backup the rule that keeps or drops it. Deletes nothing without --delete. The newest verified backup always stays.',
      )
      .option('--delete', 'delete what is to go')
      .option('-t, --target <name>', 'only this target'),
    'another policy than the one that counts: the newest so many',
  ).action(async (options, command: Command) => {
    const cli = cliOf(command);
    const policy = policyOf(options);
    const input = parseInput(
      PruneInput,
      {
        dry_run: true,
        target: options.target,
        ...(Object.keys(policy).length > 0 ? { policy } : {}),
      },
      'The options',
    );
    const client = await cli.client();
    let pruned = await client.prune(input);
    const going = pruned.backups.filter(({ action }) => action === 'drop').length;
    if (options.delete && going > 0) {
      const question = `Delete ${going} of ${pruned.backups.length} backups (${bytes(pruned.bytes_freed)}) for good?`;
      if (!(await confirm(cli, question))) throw new ExitError('refused');
      pruned = await client.prune({ ...input, dry_run: false });
    }
    const failed = pruned.backups.filter(({ error }) => error !== undefined);
    cli.output.result('pruned', pruned, () =>
      [
        table(
          ['backup', 'target', '', 'why'],
          pruned.backups.map(({ backup_id, target, action, deleted, reasons }) => [
            backup_id,
            target,
            deleted ? 'deleted' : action,
            reasons.join('; '),
          ]),
        ),
        '',
        pruned.dry_run
          ? `${going} of ${pruned.backups.length} would go, ${bytes(pruned.bytes_freed)}.${going > 0 ? ' Delete them with --delete.' : ''}`
          : `${bytes(pruned.bytes_freed)} are freed.`,
      ].join('\n'),
    );
    for (const { backup_id, error } of failed) cli.output.warn(`${backup_id} is still there: ${error}`);
    for (const { backup_id, problem } of pruned.unreadable) {
      cli.output.warn(`The record of ${backup_id} can't be read, so it stays: ${problem}`);
    }
    if (failed.length > 0) throw new ExitError('failed');
  });

  const retention = program
    .command('retention')
    .summary('show, set and reset how many backups are kept')
    .description(
      'The retention policy of the deployment, for all targets. `ngbak prune` shows what it keeps and drops.',
    );
  retention
    .command('show')
    .summary('show how many backups are kept, and who said so')
    .description('Shows the policy that counts, who set it, and that of cdk.json.')
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const setting = await (await cli.client()).showRetention();
      cli.output.result('retention', setting, () => settingText(setting));
    });
  policyOptions(
    retention
      .command('set')
      .summary('set how many backups are kept')
      .description(
        'Changes the policy, without a deployment, from the next run of retention on. What is not given stays as it is. Says how many backups would go, and asks.',
      ),
    'keep the newest so many',
  ).action(async (options, command: Command) => {
    const cli = cliOf(command);
    const given = policyOf(options);
    if (Object.keys(given).length === 0) {
      throw new InvalidInputError('What to keep is not said.', {
        remedy: 'Add an option such as --keep-last 14; `ngbak retention set --help` shows each.',
      });
    }
    const client = await cli.client();
    const { policy: now, version } = await client.showRetention();
    const change = parseInput(
      SetRetentionInput,
      { policy: { ...now, ...given }, version },
      'The policy',
      now ? undefined : 'The policy of cdk.json is not known here: give every --keep-… option.',
    );
    const { backups, bytes_freed } = await client.prune({ dry_run: true, policy: change.policy });
    const going = backups.filter(({ action }) => action === 'drop').length;
    const question = `Keep ${policyText(change.policy)}? Of ${backups.length} backups, ${going} would go (${bytes(bytes_freed)}) with the next run.`;
    if (!(await confirm(cli, question))) throw new ExitError('refused');
    const setting = await client.setRetention(change);
    cli.output.result('retention', setting, () => settingText(setting));
  });
  retention
    .command('reset')
    .summary('let the policy of cdk.json count again')
    .description('Takes away the policy that was set, so that the one of cdk.json counts again.')
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const { source, policy, deployed, version } = await client.showRetention();
      if (source === 'set') {
        const then = deployed ? `Keep ${policyText(deployed)}` : 'Keep what cdk.json says';
        const question = `${then}, and no more ${policy ? policyText(policy) : 'what was set'}?`;
        if (!(await confirm(cli, question))) throw new ExitError('refused');
      }
      const setting = await client.resetRetention(version);
      cli.output.result('retention', setting, () => settingText(setting));
    });
}

function policyOptions(command: Command, first: string): Command {
  const texts = [first, '… the newest of each of so many days', '… weeks', '… months', '… years'];
  for (const [at, period] of PERIODS.entries()) {
    command.addOption(new Option(`--keep-${period} <count>`, texts[at] ?? '').argParser(whole));
  }
  return command;
}

/** The rules that were given. */
function policyOf(options: Record<string, unknown>): Partial<RetentionPolicy> {
  return Object.fromEntries(
    PERIODS.flatMap((period) => {
      const value = options[`keep${period.charAt(0).toUpperCase()}${period.slice(1)}`];
      return value === undefined ? [] : [[`keep_${period}`, value]];
    }),
  );
}

function settingText({ policy, source, deployed, changed_at, changed_by }: RetentionSetting): string {
  const unknown = 'not known with AWS credentials alone: ask the HTTP API';
  return facts([
    ['kept', policy ? policyText(policy) : unknown],
    [
      'set by',
      source === 'set' && changed_at !== undefined ? `${changed_by}, ${localTime(changed_at)}` : 'cdk.json',
    ],
    ...(source === 'set'
      ? [['in cdk.json', deployed ? policyText(deployed) : unknown] satisfies [string, string]]
      : []),
  ]);
}
