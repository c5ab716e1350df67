import type { Command } from 'commander';
import { parseInput } from '../../shared/core/input.ts';
import { DownloadInput } from '../../shared/operations/download-backup.ts';
import { cliOf } from '../cli.ts';
import { downloadBackup } from '../download-backup.ts';
import { fields } from '../output.ts';
import { THAW, THAW_DAYS_OPTION, thawFirst, thawOf } from '../thaw.ts';
import { ENCRYPT_TO, repeated, whole } from './options.ts';

/** `ngbak download` and `ngbak link` */
export function downloadCommands(program: Command): void {
  program
    .command('download')
    .summary('download a backup')
    .description(
      'Downloads the archive of a backup as backup_YYYYMMDD_HHMMSS.ngbak, in parallel ranges. The file gets its final name once its checksum is verified. The signature of a signed backup is saved beside it, with the ending .sig. An interrupted download resumes where it stopped.',
    )
    .argument('<backup>', 'backup ID')
    .option('--to <folder>', 'folder (default: download_folder of the configuration)')
    .option('-o, --output <file>', 'path of the file, in place of the default name')
    .option('-f, --force', 'replace an existing file')
    .option(...ENCRYPT_TO, repeated)
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .addHelpText(
      'after',
      `
With --encrypt-to, the archive is encrypted with age (https://age-encryption.org) while it arrives, and saved as
backup_YYYYMMDD_HHMMSS.ngbak.age; its plain bytes are never on the disk. Keep the secret key in two places: without it,
nobody can read the file. An interrupted encrypted download starts over.

Examples:
  age-keygen -o key.txt                     # prints the public key: age1…
  ngbak download snapshot_2026-01-02T03-00-00Z --encrypt-to age1… --encrypt-to age1…
  ngbak archive verify backup_20260102_030000.ngbak.age --identity key.txt
  ngbak restore backup_20260102_030000.ngbak.age --identity key.txt
  age -d -i key.txt backup_20260102_030000.ngbak.age | tar -xz
`,
    )
    .action(async (id: string, options, command: Command) => {
      const cli = cliOf(command);
      const thaw = thawOf(options);
      const client = await cli.client();
      await thawFirst(cli, client, [id], thaw);
      await downloadBackup(cli, client, id, {
        recipients: options.encryptTo,
        folder: options.to,
        output: options.output,
        force: options.force,
      });
    });
  program
    .command('link')
    .summary('create a download link')
    .description(
      'Creates a link that downloads a backup without credentials, valid for one hour at most. Anyone who has the link can download the backup.',
    )
    .argument('<backup>', 'backup ID')
    .option('--expires <seconds>', 'validity in seconds, up to 3600', whole, 3600)
    .option('--entry <name>', 'only the compressed bytes of this entry')
    .action(async (id: string, options, command: Command) => {
      const cli = cliOf(command);
      const input = parseInput(
        DownloadInput,
        { expires_in: options.expires, entry: options.entry },
        'The options',
      );
      const link = await (await cli.client()).downloadBackup(id, input);
      cli.output.result('link', link, () => link.url);
      const { range } = link.headers;
      if (range !== undefined) {
        cli.output.note(fields([['use', `curl -sH 'Range: ${range}' URL | tar -xz`]]));
      }
    });
}
