import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { Command } from 'commander';
import { fileSource } from '../../shared/archive/read/sources.ts';
import { IntegrityError, InvalidInputError, UnavailableError } from '../../shared/core/errors.ts';
import { Id } from '../../shared/core/ids.ts';
import { isSameJson, parseInput } from '../../shared/core/input.ts';
import { OBJECT_BYTES_MAX } from '../../shared/core/limits.ts';
import { NotFoundError, RefusedError } from '../../shared/core/refusals.ts';
import type { ThawRequest } from '../../shared/core/storage-class.ts';
import { AttachInput } from '../../shared/operations/attach.ts';
import { DownloadInput } from '../../shared/operations/download-backup.ts';
import { ListJobsInput } from '../../shared/operations/list-jobs.ts';
import {
  ChangeOptionsInput,
  RequestRestoreInput,
  RestoreBackupInput,
} from '../../shared/operations/restore.ts';
import type { JobView } from '../../shared/operations/show-job.ts';
import type { UploadStatus } from '../../shared/operations/upload.ts';
import { requireSize, shownFileName } from '../../shared/workflows/restore/request.ts';
import { type ArchiveSource, decrypted } from '../age/encrypted-source.ts';
import { withArchive } from '../archive/with-archive.ts';
import { showTransfer } from '../bars.ts';
import { type Cli, cliOf } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { type ConvertFlags, convertArchive, convertOptions } from '../convert-archive.ts';
import { ExitError } from '../exit-codes.ts';
import { reportEnd } from '../finish.ts';
import { followJob } from '../follow.ts';
import { bytes } from '../format.ts';
import { interruptible } from '../interrupted.ts';
import { inspectionText } from '../job-text.ts';
import { findLocal } from '../local-archives.ts';
import { ask } from '../prompt.ts';
import { readSignatureFile, signaturePath } from '../signature-file.ts';
import { THAW, THAW_DAYS_OPTION, type ThawFlags, thawOf } from '../thaw.ts';
import { downloadArchive } from '../transfer/download.ts';
import { uploadFile } from '../transfer/upload.ts';
import { IDENTITY, repeated, whole } from './options.ts';
import { type HowFlags, howOf, howOptions } from './restore-parts.ts';

/** Timeout for a requested change to appear in the job. */
const RECORD_TIMEOUT_MS = 30_000;

interface RestoreFlags extends HowFlags, ThawFlags, Partial<ConvertFlags> {
  readonly identity?: readonly string[];
  readonly target?: string;
  readonly cypherScript?: boolean;
  readonly requireSignature?: boolean;
  readonly dryRun?: boolean;
  readonly confirm?: string;
  readonly wait: boolean;
}

interface AttachFlags {
  readonly dryRun?: boolean;
  readonly safetyBackup: boolean;
  readonly confirm?: string;
}

/** `ngbak restore`, `ngbak attach`, `ngbak options`, `ngbak confirm` and `ngbak reject` */
export function restoreCommands(program: Command): void {
  const restore = program
    .command('restore')
    .summary('restore a backup, or an archive from this machine')
    .description(
      'Restores a backup of the catalog, or uploads a .ngbak file and restores it. A name that is neither is looked for in the download folder. An encrypted file is decrypted on this machine while it is uploaded; its secret key stays here. The signature of a file is sent with it if it is beside the file, with the ending .sig. The archive is inspected and compared with the target first; then you confirm by typing the name of the target. The target is backed up before it is changed, and rolled back if the restore fails.',
    )
    .argument('<backup-or-file>', 'backup ID, path of a .ngbak file, or name of one in the download folder')
    .option('-t, --target <name>', 'target to restore into (default: the one that was backed up)')
    .option(
      '--cypher-script',
      'read the graph of an NGRAF-023 archive from its Cypher script, which is parsed and never executed',
    )
    .option(...IDENTITY, repeated)
    .option('--require-signature', 'refuse an archive without a valid signature')
    .option('--dry-run', 'inspect only; nothing is written')
    .option(...THAW)
    .option(...THAW_DAYS_OPTION, whole)
    .option('--confirm <target>', 'name of the target; confirms the restore in advance')
    .option('--no-wait', 'do not wait for completion');
  convertOptions(restore, false);
  howOptions(restore).action(async (what: string, flags: RestoreFlags, command: Command) => {
    const cli = cliOf(command);
    const client = await cli.client();
    const options = {
      target: flags.target,
      cypher_script: flags.cypherScript,
      require_signature: flags.requireSignature,
      dry_run: flags.dryRun,
      confirm: flags.confirm,
      ...howOf(flags),
    };
    const thaw = thawOf(flags);
    const isCatalogued = Id.safeParse(what).success;
    if (thaw && !isCatalogued) {
      throw new InvalidInputError('--thaw is for backups of the catalog, not for files.', {
        remedy: 'Leave it out, or give the ID of a backup.',
      });
    }
    const { as } = flags;
    const jobId = as
      ? await startConverted(cli, client, what, options, { ...flags, as })
      : isCatalogued
        ? await startFromCatalog(cli, client, what, options, { identities: flags.identity, thaw })
        : await startFromFile(cli, client, await findFile(cli, what), options, flags.identity);
    cli.output.note(`Job ${jobId}`);
    if (!flags.wait) {
      cli.output.result('started', { job_id: jobId }, () => jobId);
      return;
    }
    cli.output.event('started', { job_id: jobId });
    await guide(cli, client, jobId);
  });
  program
    .command('attach')
    .summary('attach relationships that a restore deferred')
    .description(
      'Attaches the relationships that a restore with `--dangling defer` kept because the node at their other end did not exist. It can be run again whenever nodes were added; relationships that are already attached are left unchanged.',
    )
    .argument('<job>', 'job ID of the restore')
    .option('--dry-run', 'inspect only; nothing is written')
    .option('--no-safety-backup', 'do not back up the graph first')
    .option('--confirm <target>', 'name of the target; confirms in advance')
    .action(async (jobId: string, flags: AttachFlags, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      const { dryRun: dry_run, safetyBackup: safety_backup, confirm } = flags;
      const input = parseInput(AttachInput, { dry_run, safety_backup, confirm }, 'The request');
      const started = await client.attachDeferred(jobId, input);
      cli.output.event('started', { job_id: started.job_id });
      await guide(cli, client, started.job_id);
    });
  const options = program
    .command('options')
    .summary('inspect a pending restore again with other options')
    .description(
      'Replaces all options of a restore that is waiting for confirmation; options that are not given get their defaults. Archive and target are compared again, and nothing is written. Problems found by this inspection do not end the restore: you can try other options.',
    )
    .argument('<job>', 'job ID');
  howOptions(options).action(async (jobId: string, flags: HowFlags, command: Command) => {
    const cli = cliOf(command);
    const client = await cli.client();
    const before = await client.showJob(jobId);
    // Options for reading the archive cannot be changed.
    const kept = { cypher_script: before.options?.cypher_script };
    const input = parseInput(ChangeOptionsInput, { ...howOf(flags), ...kept }, 'The options');
    await client.changeRestoreOptions(jobId, input);
    const read = before.inspection?.inspected_at;
    await untilRecorded(
      () => client.showJob(jobId),
      ({ state, inspection }) => state !== before.state || inspection?.inspected_at !== read,
    );
    await guide(cli, client, jobId);
  });
  program
    .command('confirm')
    .summary('approve a pending restore')
    .description(
      'Approves a restore that is waiting for confirmation. The name of the target, which will be overwritten, is the confirmation.',
    )
    .argument('<job>', 'job ID')
    .argument('<target>', 'name of the target')
    .option(
      '--inspected-at <time>',
      'approve only the inspection of that time; refused if there is a newer one',
    )
    .option('-w, --wait', 'wait for completion')
    .action(async (jobId: string, phrase: string, options, command: Command) => {
      const cli = cliOf(command);
      const client = await cli.client();
      await client.confirmRestore(jobId, { phrase, inspected_at: options.inspectedAt });
      cli.output.result('confirmed', { job_id: jobId }, () => `Restore ${jobId} approved.`);
      if (options.wait) reportEnd(cli, await followConfirmed(cli, client, jobId));
    });
  program
    .command('reject')
    .summary('reject a pending restore')
    .description('Rejects a restore that is waiting for confirmation. The target is left unchanged.')
    .argument('<job>', 'job ID')
    .option('--reason <text>', 'reason, for the audit log')
    .action(async (jobId: string, options, command: Command) => {
      const cli = cliOf(command);
      await (await cli.client()).rejectRestore(jobId, { reason: options.reason });
      cli.output.result(
        'rejected',
        { job_id: jobId },
        () => `Restore ${jobId} rejected. The target was not changed.`,
      );
    });
}

/** Starts the restore of a catalogued backup, or of its archive on this machine if the catalog does not have it. */
async function startFromCatalog(
  cli: Cli,
  client: CliClient,
  id: string,
  options: { readonly target: string | undefined },
  { identities, thaw }: { identities: readonly string[] | undefined; thaw: ThawRequest | undefined },
): Promise<string> {
  if (identities !== undefined) {
    throw new InvalidInputError(
      '--identity is for files: the backups of the catalog are not encrypted with age.',
      {
        remedy: 'Leave it out, or give the path of an encrypted file.',
      },
    );
  }
  const input = parseInput(RestoreBackupInput, { backup_id: id, thaw, ...options }, 'The restore');
  try {
    return (await client.restoreBackup(input)).job_id;
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    const folder = (await cli.settings()).download_folder;
    const local = await findLocal(folder, id);
    if (!local) {
      throw new NotFoundError(
        `There is no backup "${id}" in the catalog, and no archive of it in ${folder}.`,
        {
          remedy:
            'List the backups with `ngbak list` and `ngbak list --local`, or give the path of an archive.',
          cause: error,
        },
      );
    }
    cli.output.note(`The catalog has no backup "${id}". Restoring from ${local.path}.`);
    // As with a catalogued backup: into the target that was backed up.
    const target = options.target ?? local.target;
    return startFromFile(cli, client, local.path, { ...options, target });
  }
}

/** Converts an archive into a temporary file, which it restores. Nothing of it is left on this machine. */
async function startConverted(
  cli: Cli,
  client: CliClient,
  what: string,
  options: object,
  flags: RestoreFlags & ConvertFlags,
): Promise<string> {
  if (flags.requireSignature === true || thawOf(flags) !== undefined) {
    throw new InvalidInputError('--as cannot be combined with --require-signature or --thaw.', {
      remedy:
        'A converted archive has no signature: verify that of the source with `ngbak archive verify --key`. Thaw a backup with `ngbak thaw` first.',
    });
  }
  const folder = await mkdtemp(join(tmpdir(), 'ngbak-convert-'));
  try {
    const path = await interruptible(async (signal) => {
      const from = await localArchive(cli, client, what, { folder, signal });
      const file = join(folder, `${basename(from).replace(/\.ngbak$/i, '')}-as-${flags.as}.ngbak`);
      await withArchive(cli, from, {}, (opened, { isEncrypted }) => {
        if (isEncrypted) throw wouldBeDecrypted(what);
        return convertArchive(cli, opened, { ...flags, file, force: false, dryRun: false, signal });
      });
      return file;
    });
    return await startFromFile(cli, client, path, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The path of an archive on this machine: a file, a downloaded one, or a backup that is downloaded into a folder. */
async function localArchive(
  cli: Cli,
  client: CliClient,
  what: string,
  { folder, signal }: { readonly folder: string; readonly signal: AbortSignal },
): Promise<string> {
  if (!Id.safeParse(what).success) return findFile(cli, what);
  const local = await findLocal((await cli.settings()).download_folder, what);
  if (local) return local.path;
  const bar = showTransfer(cli.output, 'download');
  try {
    const link = () => client.downloadBackup(what, DownloadInput.parse({}));
    const path = join(folder, `${what}.ngbak`);
    return (await downloadArchive({ link, path, signal, progress: bar.update })).path;
  } finally {
    bar.stop();
  }
}

function wouldBeDecrypted(what: string): InvalidInputError {
  return new InvalidInputError(`"${what}" is encrypted, and a converted copy of it would not be.`, {
    remedy:
      'Convert it where that is acceptable, with `ngbak archive convert … --identity KEYFILE`, and restore the result.',
  });
}

/** The path of a file, or of the archive with that name in the download folder. Throws InvalidInputError. */
async function findFile(cli: Cli, path: string): Promise<string> {
  const failed = await stat(path).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failed === undefined) return path;
  const folder = (await cli.settings()).download_folder;
  const local = path === basename(path) ? await findLocal(folder, path) : undefined;
  if (local) return local.path;
  throw new InvalidInputError(`"${path}" is neither a backup ID nor a readable file, here or in ${folder}.`, {
    remedy: 'List the backups with `ngbak list` and `ngbak list --local`, or give the path of a .ngbak file.',
    cause: failed,
  });
}

async function startFromFile(
  cli: Cli,
  client: CliClient,
  path: string,
  options: object,
  identities?: readonly string[],
): Promise<string> {
  const source = await decrypted(await fileSource(path), identities ?? []);
  try {
    requireSize(source.size, (await client.uploadLimit()) ?? OBJECT_BYTES_MAX);
    const file_name = source.isEncrypted ? basename(path).replace(/\.age$/i, '') : basename(path);
    const signature = (await readSignatureFile(signaturePath(path)))?.toString('base64');
    const input = parseInput(
      RequestRestoreInput,
      { file_name, bytes: source.size, upload: 'multipart', signature, ...options },
      'The restore',
    );
    return await upload(cli, client, source, input);
  } finally {
    await source.close();
  }
}

/** Uploads an archive, or what an interrupted upload of it left out, and returns the job that restores it. */
async function upload(
  cli: Cli,
  client: CliClient,
  source: ArchiveSource,
  input: RequestRestoreInput,
): Promise<string> {
  const begun = await findUnfinished(client, input);
  if (begun) cli.output.note(`Resuming the upload of job ${begun.jobId}.`);
  const job = begun ?? (await requestUpload(client, input));
  const abort = new AbortController();
  const stop = () => abort.abort();
  process.once('SIGINT', stop);
  const bar = showTransfer(cli.output, 'upload');
  try {
    const { resumed } = await uploadFile({
      client,
      ...job,
      source,
      signal: abort.signal,
      progress: bar.update,
    });
    bar.stop();
    if (resumed > 0) cli.output.note(`Resuming: ${bytes(resumed)} already transferred.`);
    return job.jobId;
  } catch (error) {
    bar.stop();
    if (abort.signal.aborted) {
      await leaveUpload(cli, client, job.jobId);
      throw new ExitError('interrupted');
    }
    // A damaged file will never be complete: nothing of it should wait for the rest.
    if (error instanceof IntegrityError) {
      await client.cancelJob(job.jobId);
      cli.output.note(`Job ${job.jobId} was cancelled. The target was not changed.`);
    }
    throw error;
  } finally {
    process.off('SIGINT', stop);
  }
}

async function requestUpload(client: CliClient, input: RequestRestoreInput) {
  const { job_id, multipart } = await client.requestUpload(input);
  return { jobId: job_id, layout: multipart, there: [] };
}

/** An interrupted upload of the same file for the same restore; S3 lists its uploaded parts. */
async function findUnfinished(client: CliClient, input: RequestRestoreInput) {
  const { target, file_name, bytes: size, upload: _, confirm, signature, ...options } = input;
  const fileName = shownFileName(file_name);
  const { jobs } = await client.listJobs(ListJobsInput.parse({ state: 'pending', kind: 'restore' }));
  for (const { job_id, upload } of jobs) {
    if (upload?.file_name !== fileName || upload.bytes !== size) continue;
    const status = await readUpload(client, job_id);
    const same =
      status &&
      isSameJson(status.options, options) &&
      status.signature === signature &&
      (target === undefined || status.target === target) &&
      status.confirmed === (confirm !== undefined);
    if (same) return { jobId: job_id, layout: status, there: status.parts };
  }
  return undefined;
}

/** All uploaded parts of an upload; undefined if it accepts no more, or is not a multipart upload. */
async function readUpload(client: CliClient, jobId: string): Promise<UploadStatus | undefined> {
  try {
    let status = await client.listUpload(jobId, { after: 0 });
    const parts = [...status.parts];
    while (status.next_after !== undefined) {
      status = await client.listUpload(jobId, { after: status.next_after });
      parts.push(...status.parts);
    }
    return { ...status, parts };
  } catch (error) {
    if (error instanceof RefusedError || error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** Asks what to do with an upload that Ctrl-C stopped. Without a terminal, its parts are kept. */
async function leaveUpload(cli: Cli, client: CliClient, jobId: string): Promise<void> {
  const answer = cli.output.interactive
    ? await ask('\nKeep the uploaded parts and resume later (Enter), or cancel the job (c)? ')
    : undefined;
  if (answer === 'c') {
    await client.cancelJob(jobId);
    cli.output.note('Cancelled. The target was not changed.');
  } else {
    cli.output.note(
      `Stopped. The target was not changed. Run the same command again to resume, or cancel the job with \`ngbak cancel ${jobId}\`.`,
    );
  }
}

/** Follows a restore; if it waits, shows the result of the inspection and asks for the phrase. */
async function guide(cli: Cli, client: CliClient, jobId: string): Promise<void> {
  const job = await followJob(cli, client, jobId);
  if (job.state !== 'awaiting_confirmation') return reportEnd(cli, job);
  cli.output.event('inspection', job.inspection);
  if (job.inspection) cli.output.note(`\n${inspectionText(job.inspection, cli.output.verbose)}\n`);
  if (!(await askForPhrase(cli, client, job))) return reportEnd(cli, await client.showJob(jobId));
  reportEnd(cli, await followConfirmed(cli, client, jobId));
}

/**
 * Polls a job until it shows the change that was just sent: its record is stale for a moment. Throws UnavailableError
 * if it stays so.
 */
async function untilRecorded(
  look: () => Promise<JobView>,
  shows: (job: JobView) => boolean,
): Promise<JobView> {
  const deadline = Date.now() + RECORD_TIMEOUT_MS;
  for (;;) {
    const job = await look();
    if (shows(job)) return job;
    if (Date.now() > deadline) {
      throw new UnavailableError(
        `Job "${job.job_id}" is still ${job.state.replaceAll('_', ' ')}, ${RECORD_TIMEOUT_MS / 1000} s after the request.`,
        {
          remedy: `Check it again with \`ngbak job ${job.job_id}\`. If it does not change, check its execution in the AWS console.`,
        },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** True if the operator confirmed. Without a terminal, the job keeps waiting. */
async function askForPhrase(cli: Cli, client: CliClient, job: JobView): Promise<boolean> {
  if (cli.yes) {
    await client.confirmRestore(job.job_id, {
      phrase: job.target,
      inspected_at: job.inspection?.inspected_at,
    });
    return true;
  }
  if (!cli.output.interactive) return false;
  for (;;) {
    const phrase = await ask(
      `Target "${job.target}" will be overwritten. Type its name to continue, or press Enter to reject the restore: `,
    );
    if (phrase === job.target) {
      await client.confirmRestore(job.job_id, { phrase, inspected_at: job.inspection?.inspected_at });
      return true;
    }
    if (phrase === undefined || phrase === '') {
      await client.rejectRestore(job.job_id);
      cli.output.note('Rejected. The target was not changed.');
      throw new ExitError('cancelled');
    }
    cli.output.note('The name does not match the target.');
  }
}

/** Follows a job whose confirmation was just sent. */
function followConfirmed(cli: Cli, client: CliClient, jobId: string): Promise<JobView> {
  return untilRecorded(
    () => followJob(cli, client, jobId),
    ({ state }) => state !== 'awaiting_confirmation',
  );
}
