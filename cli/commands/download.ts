import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { parseInput } from '../../shared/core/input.ts';
import { DownloadInput } from '../../shared/operations/download-backup.ts';
import { downloadName } from '../../shared/workflows/job/names.ts';
import { showTransfer } from '../bars.ts';
import { cliOf } from '../cli.ts';
import { ExitError } from '../exit-codes.ts';
import { bytes } from '../format.ts';
import { facts } from '../output.ts';
import { downloadArchive } from '../transfer/download.ts';
import { whole } from './options.ts';

/** `ngbak download` and `ngbak link` */
export function downloadCommands(program: Command): void {
  program
    .command('download')
    .summary('download a backup')
    .description(
      'Downloads the archive of a backup as backup_YYYYMMDD_HHMMSS.ngbak, in parallel ranges. The file gets its final name once its checksum is verified. An interrupted download resumes where it stopped.',
    )
    .argument('<backup>', 'backup ID')
    .option('--to <folder>', 'folder (default: download_folder of the configuration, or the current folder)')
    .option('-o, --output <file>', 'path of the file, in place of the default name')
    .option('-f, --force', 'replace an existing file')
    .action(async (id: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const link = () => client.downloadBackup(id, DownloadInput.parse({}));
      const folder = options.to ?? (await cli.settings()).download_folder;
      const path = resolve(options.output ?? join(folder, downloadName(await client.showBackup(id))));
      const abort = new AbortController();
      const stop = () => abort.abort();
      process.once('SIGINT', stop);
      const bar = showTransfer(cli.output, 'download');
      try {
        const done = await downloadArchive({
          link,
          path,
          force: options.force ?? false,
          signal: abort.signal,
          progress: bar.update,
        });
        bar.stop();
        if (done.resumed > 0 && !done.existed) {
          cli.output.note(`Resuming: ${bytes(done.resumed)} already transferred.`);
        }
        if (done.existed) cli.output.note('Already downloaded; the checksum matches.');
        cli.output.result('downloaded', done, () => done.path);
      } catch (error) {
        bar.stop();
        if (!abort.signal.aborted) throw error;
        cli.output.note('Stopped. Run the same command again to resume.');
        throw new ExitError('interrupted');
      } finally {
        process.off('SIGINT', stop);
      }
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
        cli.output.note(facts([['use', `curl -sH 'Range: ${range}' URL | tar -xz`]]));
      }
    });
}
