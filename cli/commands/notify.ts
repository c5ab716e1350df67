import type { Command } from 'commander';
import pc from '../../shared/core/colors.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { ago } from '../format.ts';
import { table } from '../output.ts';

/** `ngbak notify` */
export function notifyCommand(program: Command): void {
  const notify = program
    .command('notify')
    .summary('show and test who is notified of failures')
    .description(
      'The receivers of notifications: e-mail addresses, SNS topics and webhooks, configured under "notify" in cdk.json (docs/notifications.md).',
    );
  notify
    .command('show')
    .summary('show the receivers')
    .description('Shows each receiver, and whether it can receive messages. Sends nothing.')
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      const { receivers, warning, ...rest } = await (await cli.client()).showNotifications();
      for (const receiver of receivers) cli.output.event('receiver', receiver);
      cli.output.result('notifications', rest, () =>
        receivers.length === 0
          ? 'No receivers.'
          : [
              receiverTable(receivers, ({ ready }) => (ready ? pc.green('ready') : pc.red('not ready'))),
              ...(rest.checked_at === undefined ? [] : [`Checked ${ago(rest.checked_at)}.`]),
            ].join('\n'),
      );
      if (warning) cli.output.warn(`${warning.text} ${warning.remedy}`);
    });
  notify
    .command('test')
    .summary('send a test message to every receiver')
    .description(
      'Sends a test message to every receiver, in the same way as every other message, and shows the outcome of each. Exits with 1 if one did not get it.',
    )
    .action(async (_options, command: Command) => {
      const cli = cliOf(command);
      cli.output.note('Sending a test message…');
      const { receivers, ...rest } = await (await cli.client()).testNotifications();
      for (const receiver of receivers) cli.output.event('receiver', receiver);
      cli.output.result('tested', rest, () =>
        receiverTable(receivers, ({ delivered }) => (delivered ? pc.green('sent') : pc.red('not sent'))),
      );
      if (!rest.delivered) throw new ExitError('failed');
    });
}

/** Receivers with a state and, if there is one, the problem of each. */
function receiverTable<Receiver extends { name: string; kind: string; problem?: string | undefined }>(
  receivers: readonly Receiver[],
  stateOf: (receiver: Receiver) => string,
): string {
  return table(
    ['receiver', 'kind', '', 'problem'],
    receivers.map((receiver) => [receiver.name, receiver.kind, stateOf(receiver), receiver.problem ?? '']),
  );
}
