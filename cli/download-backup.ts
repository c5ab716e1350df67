import { join, resolve } from 'node:path';
import { DownloadInput } from '../shared/operations/download-backup.ts';
import { downloadName } from '../shared/workflows/job/names.ts';
import { newHeader } from './age/recipients.ts';
import { showTransfer } from './bars.ts';
import type { Cli } from './cli.ts';
import type { CliClient } from './client.ts';
import { ExitError } from './exit-codes.ts';
import { bytes } from './format.ts';
import { recordVerified } from './local-archives.ts';
import { saveSignature } from './signature-file.ts';
import { downloadArchive } from './transfer/download.ts';
import { downloadEncrypted } from './transfer/download-encrypted.ts';

export interface DownloadTo {
  /** Default: the configured download folder. */
  readonly folder?: string | undefined;
  /** Path of the file, instead of the default name in that folder. */
  readonly output?: string | undefined;
  readonly force?: boolean | undefined;
  /** Public keys of age: the file is encrypted to them. */
  readonly recipients?: readonly string[] | undefined;
}

/** Downloads a backup with a progress bar and prints its path. Ctrl-C stops it; the next call resumes. */
export async function downloadBackup(
  cli: Cli,
  client: CliClient,
  id: string,
  { folder, output, force, recipients }: DownloadTo,
): Promise<void> {
  // Before anything else: a wrong key should not wait for a service.
  if (recipients) await newHeader(recipients);
  const record = await client.showBackup(id);
  const name = `${downloadName(record)}${recipients ? '.age' : ''}`;
  const path = resolve(output ?? join(folder ?? (await cli.settings()).download_folder, name));
  const abort = new AbortController();
  const stop = () => abort.abort();
  process.once('SIGINT', stop);
  const bar = showTransfer(cli.output, 'download');
  try {
    const options = {
      link: () => client.downloadBackup(id, DownloadInput.parse({})),
      path,
      force: force ?? false,
      signal: abort.signal,
      progress: bar.update,
    };
    const verifying = () => {
      bar.stop();
      cli.output.note('Reading the encrypted file back to verify it.');
    };
    const done = recipients
      ? await downloadEncrypted({ ...options, recipients, verifying })
      : await downloadArchive(options);
    bar.stop();
    // That of another archive, which this file has replaced, is removed.
    if (record.signature || !done.existed) await saveSignature(done.path, record.signature?.value);
    // The CRC-32 matches the catalogued archive, of which every byte was verified.
    if (record.verification.state === 'verified') await recordVerified(cli.output, done.path);
    if (done.resumed > 0 && !done.existed) {
      cli.output.note(`Resuming: ${bytes(done.resumed)} already transferred.`);
    }
    if (done.existed) cli.output.note('Already downloaded; the checksum matches.');
    if (recipients) {
      const keys = recipients.length === 1 ? 'its secret key' : `one of ${recipients.length} secret keys`;
      cli.output.note(`Encrypted. Without ${keys}, nobody can read the file, and nobody can restore it.`);
    }
    cli.output.result('downloaded', { ...done, encrypted: recipients !== undefined }, () => done.path);
  } catch (error) {
    bar.stop();
    if (!abort.signal.aborted) throw error;
    if (recipients) {
      cli.output.note('Stopped. An encrypted download cannot be resumed; the same command starts it over.');
      throw new ExitError('interrupted');
    }
    const where = folder === undefined ? '' : ` --to ${folder}`;
    cli.output.note(
      `Stopped. Resume with: ngbak download ${id}${output === undefined ? where : ` --output ${output}`}`,
    );
    throw new ExitError('interrupted');
  } finally {
    process.off('SIGINT', stop);
  }
}
