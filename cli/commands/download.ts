import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { parseInput } from '../../shared/input.ts';
import { DownloadInput, downloadName } from '../../shared/operations/download-backup.ts';
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
      'Downloads the archive of a backup as backup_YYYYMMDD_HHMMSS.ngbak, by parallel ranges, into a temporary name that becomes the final one when the checksum is right. What was interrupted goes on where it stopped.',
    )
    .argument('<backup>', 'id of the backup')
    .option('--to <folder>', 'the folder; otherwise that of the configuration, or this one')
    .option('-o, --output <file>', 'the whole path, with another name')
    .option('-f, --force', 'replace another file of that name')
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
          cli.output.note(`${bytes(done.resumed)} were there already.`);
        }
        if (done.existed) cli.output.note('It was there already, with the right checksum.');
        cli.output.result('downloaded', done, () => done.path);
      } catch (error) {
        bar.stop();
        if (!abort.signal.aborted) throw error;
        cli.output.note('Stopped. The same command goes on where it stopped.');
        throw new ExitError('interrupted');
      } finally {
        process.off('SIGINT', stop);
      }
    });
  program
    .command('link')
    .summary('make a download link')
    .description(
      'Makes a link that downloads a backup without credentials, for an hour at most. Whoever has it has the backup.',
    )
    .argument('<backup>', 'id of the backup')
    .option('--expires <seconds>', 'how long it lives, at most 3600', whole, 3600)
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
        cli.output.note(facts([['use it as', `curl -sH 'Range: ${range}' URL | tar -xz`]]));
      }
    });
}
