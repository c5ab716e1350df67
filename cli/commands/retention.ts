import { type Command, Option } from 'commander';
import { InvalidInputError } from '../../shared/core/errors.ts';
import { usdText } from '../../shared/core/cost-text.ts';
import { parseInput } from '../../shared/core/input.ts';
import type { RetentionPolicy } from '../../shared/core/retention-policy.ts';
import { PruneInput } from '../../shared/operations/prune.ts';
import { type RetentionSetting, SetRetentionInput } from '../../shared/operations/retention.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes, localTime, policyText } from '../format.ts';
import { fields, table } from '../output.ts';
import { confirm } from '../prompt.ts';
import { whole } from './options.ts';

const PERIODS = ['last', 'daily', 'weekly', 'monthly', 'yearly'] as const;

/** `ngbak prune` and `ngbak retention …` */
export function retentionCommands(program: Command): void {
  policyOptions(
    program
      .command('prune')
      .summary('delete backups that no retention rule keeps')
      .description(
        'Shows for each backup the rule that keeps or drops it. Deletes nothing without --delete. The newest good backup is always kept.',
      )
      .option('--delete', 'delete the backups that no rule keeps')
      .option('-t, --target <name>', 'only this target'),
    'policy to use in place of the current one: number of newest backups to keep',
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
      const question = `Delete ${going} of ${pruned.backups.length} backups (${bytes(pruned.bytes_freed)}) permanently?`;
      if (!(await confirm(cli, question))) throw new ExitError('refused');
      pruned = await client.prune({ ...input, dry_run: false });
    }
    const failed = pruned.backups.filter(({ error }) => error !== undefined);
    cli.output.result('pruned', pruned, () =>
      [
        table(
          ['backup', 'target', '', 'reason'],
          pruned.backups.map(({ backup_id, target, action, deleted, reasons }) => [
            backup_id,
            target,
            deleted ? 'deleted' : action,
            reasons.join('; '),
          ]),
        ),
        '',
        pruned.dry_run
          ? `${going} of ${pruned.backups.length} backups would be deleted, ${bytes(pruned.bytes_freed)}.${going > 0 ? ' Delete them with --delete.' : ''}`
          : `${bytes(pruned.bytes_freed)} freed.`,
        ...(pruned.early_deletion_usd === undefined
          ? []
          : [
              `Minimum durations of storage classes are billed in any case: ${usdText(pruned.early_deletion_usd)} (estimate).`,
            ]),
      ].join('\n'),
    );
    for (const { backup_id, error } of failed) cli.output.warn(`${backup_id} was not deleted: ${error}`);
    for (const { backup_id, problem } of pruned.unreadable) {
      cli.output.warn(`The record of ${backup_id} cannot be read, so the backup is kept: ${problem}`);
    }
    if (failed.length > 0) throw new ExitError('failed');
  });

  const retention = program
    .command('retention')
    .summary('show, set and reset the retention policy')
    .description(
      'The retention policy of the deployment, for all targets. `ngbak prune` shows what it keeps and drops.',
    );
  retention
    .command('show')
    .summary('show the retention policy and who set it')
    .description('Shows the current policy, who set it, and the one in cdk.json.')
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const setting = await (await cli.client()).showRetention();
      cli.output.result('retention', setting, () => settingText(setting));
    });
  policyOptions(
    retention
      .command('set')
      .summary('set the retention policy')
      .description(
        'Changes the policy without a deployment. It applies from the next retention run. Rules that are not given stay unchanged. Shows how many backups would be deleted, and asks for confirmation.',
      ),
    'number of newest backups to keep',
  ).action(async (options, command: Command) => {
    const cli = cliOf(command);
    const given = policyOf(options);
    if (Object.keys(given).length === 0) {
      throw new InvalidInputError('No retention rule given.', {
        remedy: 'Add an option such as --keep-last 14; `ngbak retention set --help` lists them.',
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
    const question = `Keep ${policyText(change.policy)}? Of ${backups.length} backups, ${going} would be deleted (${bytes(bytes_freed)}) by the next run.`;
    if (!(await confirm(cli, question))) throw new ExitError('refused');
    const setting = await client.setRetention(change);
    cli.output.result('retention', setting, () => settingText(setting));
  });
  retention
    .command('reset')
    .summary('reset the retention policy to the one in cdk.json')
    .description('Removes the policy that was set, so that the one in cdk.json applies again.')
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const { source, policy, deployed, version } = await client.showRetention();
      if (source === 'set') {
        const then = deployed ? `Keep ${policyText(deployed)}` : 'Apply the policy in cdk.json';
        const question = `${then} in place of ${policy ? policyText(policy) : 'the policy that was set'}?`;
        if (!(await confirm(cli, question))) throw new ExitError('refused');
      }
      const setting = await client.resetRetention({ version });
      cli.output.result('retention', setting, () => settingText(setting));
    });
}

function policyOptions(command: Command, first: string): Command {
  const texts = [first, 'number of daily backups to keep', '… weekly', '… monthly', '… yearly'];
  for (const [at, period] of PERIODS.entries()) {
    command.addOption(new Option(`--keep-${period} <count>`, texts[at] ?? '').argParser(whole));
  }
  return command;
}

/** The rules from the options. */
function policyOf(options: Record<string, unknown>): Partial<RetentionPolicy> {
  return Object.fromEntries(
    PERIODS.flatMap((period) => {
      const value = options[`keep${period.charAt(0).toUpperCase()}${period.slice(1)}`];
      return value === undefined ? [] : [[`keep_${period}`, value]];
    }),
  );
}

function settingText({ policy, source, deployed, changed_at, changed_by }: RetentionSetting): string {
  const unknown = 'unknown with AWS credentials alone: use the HTTP API';
  return fields([
    ['policy', policy ? policyText(policy) : unknown],
    [
      'set by',
      source === 'set' && changed_at !== undefined ? `${changed_by}, ${localTime(changed_at)}` : 'cdk.json',
    ],
    ...(source === 'set'
      ? [['in cdk.json', deployed ? policyText(deployed) : unknown] satisfies [string, string]]
      : []),
  ]);
}
