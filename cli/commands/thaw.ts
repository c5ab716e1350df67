import { type Command, Option } from 'commander';
import { parseInput } from '../../shared/core/input.ts';
import { THAW_DAYS, THAW_TIERS, ThawRequest } from '../../shared/core/storage-class.ts';
import { cliOf } from '../cli.ts';
import { fields } from '../output.ts';
import { storageFields } from '../storage-text.ts';
import { untilThawed } from '../thaw.ts';
import { whole } from './options.ts';

/** `ngbak thaw` */
export function thawCommand(program: Command): void {
  program
    .command('thaw')
    .summary('make a backup in cold storage readable')
    .description(
      'Requests the archive of a backup from GLACIER or DEEP_ARCHIVE, which S3 bills and which takes minutes to two days. Can be repeated: the archive is requested once. `ngbak show` states the expected durations and prices. verify, download, contents, diff, drill and restore do the same with --thaw.',
    )
    .argument('<backup>', 'backup ID')
    .option('--copy <name>', 'thaw this copy, in another bucket, instead of the original')
    .addOption(
      new Option('--tier <tier>', 'how fast')
        .choices(THAW_TIERS)
        .default('standard' satisfies ThawRequest['tier']),
    )
    .option('--days <number>', 'days for which the thawed copy is kept', whole, THAW_DAYS)
    .option('-w, --wait', 'wait until it can be read')
    .action(async (id: string, options, command: Command) => {
      const cli = cliOf(command);
      const { copy, tier, days } = options;
      const request = {
        ...parseInput(ThawRequest, { tier, days }, 'The options'),
        ...(copy === undefined ? {} : { copy }),
      };
      const client = await cli.client();
      const found = options.wait
        ? await untilThawed(cli, client, id, request)
        : await client.thawBackup(id, request);
      cli.output.result('thawed', found, () =>
        fields([
          ['backup', found.backup_id],
          ['copy', found.copy],
          ...storageFields(found),
          ['expected by', found.expected_by],
        ]),
      );
      if (!found.readable)
        cli.output.note(
          `Wait for it with: ngbak thaw ${id}${copy === undefined ? '' : ` --copy ${copy}`} --wait`,
        );
    });
}
