import { type Command, Option } from 'commander';
import { InvalidInputError, NgbakError } from '../../shared/core/errors.ts';
import { parseInput } from '../../shared/core/input.ts';
import { STORE_ROLES } from '../../shared/core/store-names.ts';
import { StartBackupInput } from '../../shared/operations/start-backup.ts';
import { newHeader } from '../age/recipients.ts';
import { cliOf } from '../cli.ts';
import { downloadBackup } from '../download-backup.ts';
import { reportEnd } from '../finish.ts';
import { followJob } from '../follow.ts';
import { fields } from '../output.ts';
import { ENCRYPT_TO, list, repeated } from './options.ts';
import { onlyOf, onlyOptions } from './restore-parts.ts';

/** `ngbak backup` */
export function backupCommand(program: Command): void {
  const command = program
    .command('backup')
    .summary('back up a knowledge base')
    .description(
      'Starts a backup of a target: graph, vectors, key-value data and configuration, into one archive, which is verified before it is added to the catalog.',
    )
    .option('-t, --target <name>', 'configured target; required if there are several')
    .option(
      '-s, --stores <names>',
      `only these stores: ${STORE_ROLES.join(', ')}, or further ones by name, such as kv_files`,
      list,
    );
  onlyOptions(command)
    .option('--tag <tag...>', 'tags for the backup: plain ones, or key=value')
    .option('--note <text>', 'note for the backup')
    .option('--keep <retention>', 'retention: 30d, 2027-12-31 or permanent')
    .addOption(new Option('--codec <codec>', 'compression').choices(['gzip', 'zstd']))
    .option('--full', 'read every store, even one that provably did not change since an earlier backup')
    .option('-w, --wait', 'wait for completion')
    .option(
      '--download [folder]',
      'wait for completion, then download the archive (default folder: download_folder of the configuration)',
    )
    .option(ENCRYPT_TO[0], `with --download: ${ENCRYPT_TO[1]}`, repeated)
    .action(async (options, command: Command) => {
      const cli = cliOf(command);
      const { encryptTo: recipients } = options;
      if (recipients !== undefined && options.download === undefined) {
        throw new InvalidInputError('--encrypt-to is for the download of the archive.', {
          remedy: 'Add --download. The archive in S3 is encrypted by the key of its bucket.',
        });
      }
      // Before the backup, which takes much longer.
      if (recipients !== undefined) await newHeader(recipients);
      const input = parseInput(
        StartBackupInput,
        {
          target: options.target,
          stores: options.stores,
          only: onlyOf(options),
          tags: options.tag,
          note: options.note,
          retention: options.keep,
          codec: options.codec,
          full: options.full,
        },
        'The backup',
      );
      const client = await cli.client();
      const started = await client.startBackup(input);
      if (!options.wait && options.download === undefined) {
        cli.output.result('started', started, () =>
          fields([
            ['job', started.job_id],
            ['backup', started.backup_id],
          ]),
        );
        cli.output.note(`Follow it with: ngbak job ${started.job_id} --wait`);
        return;
      }
      cli.output.event('started', started);
      cli.output.note(`Job ${started.job_id}`);
      const job = await followJob(cli, client, started.job_id);
      reportEnd(cli, job);
      if (options.download === undefined) return;
      const id = job.backup_id ?? started.backup_id;
      if (id === undefined) {
        throw new NgbakError(`Job ${job.job_id} does not state which backup it created.`, {
          remedy: 'Find it with `ngbak list`, and download it with `ngbak download`.',
        });
      }
      const folder = options.download === true ? undefined : options.download;
      await downloadBackup(cli, client, id, { folder, recipients });
    });
}
