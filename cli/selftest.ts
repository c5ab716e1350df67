import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { wholeEntry } from '../shared/archive/format/whole-entry.ts';
import { openArchive } from '../shared/archive/read/open.ts';
import { bufferSource } from '../shared/archive/read/sources.ts';
import { writeArchive } from '../shared/archive/write/write.ts';
import { explainAwsError } from '../shared/aws/aws-error.ts';
import { IntegrityError, NgbakError, UnavailableError } from '../shared/core/errors.ts';
import { HELP } from '../shared/core/help.ts';
import { relatedJobId } from '../shared/core/job-ids.ts';
import { hasEnded, type JobState } from '../shared/core/job-state.ts';
import { NotFoundError, RefusedError } from '../shared/core/refusals.ts';
import { SELFTEST_RETENTION, SELFTEST_TAG, SELFTEST_TARGET } from '../shared/core/selftest.ts';
import { DownloadInput } from '../shared/operations/download-backup.ts';
import { RequestRestoreInput, RestoreBackupInput } from '../shared/operations/restore.ts';
import type { JobView } from '../shared/operations/show-job.ts';
import { StartBackupInput } from '../shared/operations/start-backup.ts';
import { entryNamesOf } from '../shared/stores/files/names.ts';
import type { CliClient } from './client.ts';
import { uploadFile } from './transfer/upload.ts';

/** Poll interval for a job, in milliseconds. */
const POLL_MS = 1000;
/**
 * Longest wait for one job, in milliseconds. In a new VPC, Lambda takes minutes to create the network interfaces, and in a
 * new account a job may wait for concurrent executions.
 */
const JOB_TIMEOUT_MS = 20 * 60 * 1000;
/**
 * Longest wait for the restore of an upload to begin, in milliseconds. The event of an upload takes seconds; a longer
 * wait means an account without a free concurrent execution, or an event that does not arrive.
 */
const BEGIN_TIMEOUT_MS = 5 * 60 * 1000;
/** Longest wait until the data of a cancelled job may be deleted, in milliseconds: cleanup follows the end of a job. */
const RELEASE_TIMEOUT_MS = 5 * 60 * 1000;

/** One step of a self-test, and its result. */
export interface SelftestStep {
  readonly name: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly message: string;
  readonly job_id?: string;
}

export interface SelftestOptions {
  readonly client: CliClient;
  /** Aborted by Ctrl-C: the test stops, and cleans up. */
  readonly signal: AbortSignal;
  begin(step: string): void;
  end(step: SelftestStep): void;
  /** Longest wait for the restore of an upload to begin. @default BEGIN_TIMEOUT_MS */
  readonly beginTimeoutMs?: number;
  /** The current state of a job. */
  progress(job: JobView): void;
}

/** The result of a self-test. */
export interface SelftestResult {
  readonly steps: readonly SelftestStep[];
  /** The cause of a failure; undefined if every step succeeded. */
  readonly error: unknown;
  /** Whether everything was removed. */
  readonly clean: boolean;
}

/**
 * A backup and restores of the built-in target through the deployed workflows: an archive with random content is
 * uploaded, which starts a restore; the restored data is backed up; the backup is downloaded and compared byte by byte
 * with the uploaded content; a catalogued backup, the safety backup of the first restore, is restored. That leaves the
 * target empty, and the backups of the test are deleted. It only uses operations of operators, so it needs no further
 * permissions.
 */
export async function selfTest(options: SelftestOptions): Promise<SelftestResult> {
  const test = new Selftest(options);
  const error = await test.run().then(
    () => undefined,
    (thrown) => explainAwsError(thrown),
  );
  const clean = await test.cleanUp();
  return { steps: test.steps, error: error ?? test.cleanUpError, clean };
}

class Selftest {
  readonly steps: SelftestStep[] = [];
  cleanUpError: unknown;
  readonly #options: SelftestOptions;
  /** The running job, if any. */
  #running: string | undefined;
  /** The restore of the upload, and the backup. All others belong to another self-test. */
  #restoreJob: string | undefined;
  #backupJob: string | undefined;
  /** Whether files of this test may be in the target. */
  #filled = false;

  constructor(options: SelftestOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { client, signal } = this.#options;
    const files = new Map<string, Buffer>([
      ['hello.txt', Buffer.from('Is the exact data back?\n')],
      ['Ünïcode name & spaces.json', Buffer.from(JSON.stringify({ emoji: '🗄️', number: 0.1 }))],
      ['random.bin', randomBytes(256 * 1024)],
      ['empty', Buffer.alloc(0)],
    ]);
    await this.#step('Restore an uploaded archive', async () => {
      const job = await this.#restoreUpload(await packFiles(files));
      return { job, message: 'uploaded, inspected, confirmed, target backed up, loaded, verified' };
    });
    const backupId = await this.#step('Back up', async () => {
      const { job_id } = await client.startBackup(
        StartBackupInput.parse({
          target: SELFTEST_TARGET,
          tags: [SELFTEST_TAG],
          note: 'Made by ngbak selftest, which deletes it.',
          retention: SELFTEST_RETENTION,
        }),
      );
      this.#backupJob = job_id;
      const job = await this.#complete(job_id);
      return { job, message: `${job.backup_id}: exported, sealed, verified`, result: job.backup_id ?? '' };
    });
    await this.#step('Compare', async () => {
      const bytes = await compareBackup(client, backupId, files, signal);
      return { message: `${files.size} files, ${bytes} bytes: identical to what was uploaded` };
    });
    await this.#step('Restore from the catalog', async () => {
      const job = await this.#emptyTarget();
      return { job, message: 'restored what the target held before: nothing' };
    });
  }

  /** Cancels the running job, empties the target, deletes the backups of the test. Never throws. */
  async cleanUp(): Promise<boolean> {
    const name = 'Clean up';
    const begun = Date.now();
    const { begin, end, client } = this.#options;
    begin(name);
    try {
      await this.#stopRunning();
      if (this.#filled && (await this.#safetyBackup()) !== undefined) {
        await this.#emptyTarget({ always: true });
      }
      let deleted = 0;
      for (const id of [await this.#backupOf(this.#backupJob), await this.#safetyBackup()]) {
        if (id !== undefined && (await untilReleased(() => remove(client, id)))) deleted++;
      }
      const step = { name, ok: true, seconds: since(begun), message: `${deleted} backups deleted` };
      this.steps.push(step);
      end(step);
      return true;
    } catch (thrown) {
      const error = explainAwsError(thrown);
      this.cleanUpError = error;
      const step = { name, ok: false, seconds: since(begun), message: messageOf(error) };
      this.steps.push(step);
      end(step);
      return false;
    }
  }

  async #step<T = undefined>(
    name: string,
    work: () => Promise<{ message: string; job?: JobView; result?: T }>,
  ): Promise<T> {
    const begun = Date.now();
    const { begin, end, signal } = this.#options;
    const finish = (step: Pick<SelftestStep, 'ok' | 'message' | 'job_id'>) => {
      const all = { name, seconds: since(begun), ...step };
      this.steps.push(all);
      end(all);
    };
    begin(name);
    try {
      signal.throwIfAborted();
      const { message, job, result } = await work();
      finish({ ok: true, message, ...(job === undefined ? {} : { job_id: job.job_id }) });
      return result as T;
    } catch (thrown) {
      const message = signal.aborted ? 'interrupted' : messageOf(explainAwsError(thrown));
      const job_id = this.#running;
      finish({ ok: false, message, ...(job_id === undefined ? {} : { job_id }) });
      throw thrown;
    }
  }

  async #restoreUpload(archive: Buffer): Promise<JobView> {
    const { client, signal } = this.#options;
    const { job_id: jobId, multipart: layout } = await client.requestUpload(
      RequestRestoreInput.parse({
        target: SELFTEST_TARGET,
        file_name: 'selftest.ngbak',
        bytes: archive.length,
        upload: 'multipart',
      }),
    );
    this.#running = jobId;
    this.#restoreJob = jobId;
    const source = bufferSource('selftest.ngbak', archive);
    await uploadFile({ client, jobId, layout, there: [], source, signal, progress: () => undefined });
    const inspected = await this.#watch(jobId, (state) => state === 'awaiting_confirmation');
    if (hasEnded(inspected.state)) throw notCompleted(inspected);
    this.#filled = true;
    await client.confirmRestore(jobId, {
      phrase: SELFTEST_TARGET,
      inspected_at: inspected.inspection?.inspected_at,
    });
    return await this.#complete(jobId);
  }

  /** Restores the previous contents of the target. */
  async #emptyTarget({ always = false } = {}): Promise<JobView> {
    const { client } = this.#options;
    const backupId = await this.#safetyBackup();
    if (backupId === undefined) {
      throw new NgbakError('The restore made no safety backup of the target.', {
        remedy: 'Report this as an error of ngbak, with the output of `ngbak job` for the restore.',
      });
    }
    const { job_id } = await client.restoreBackup(
      RestoreBackupInput.parse({
        backup_id: backupId,
        target: SELFTEST_TARGET,
        confirm: SELFTEST_TARGET,
        safety_backup: false,
        allow_empty: true,
      }),
    );
    const job = await this.#complete(job_id, { always });
    this.#filled = false;
    return job;
  }

  /** The backup of the previous contents of the target, made by the restore of the upload. */
  async #safetyBackup(): Promise<string | undefined> {
    return this.#backupOf(this.#restoreJob && relatedJobId('safety', this.#restoreJob));
  }

  async #backupOf(jobId: string | undefined): Promise<string | undefined> {
    if (jobId === undefined) return undefined;
    try {
      return (await this.#options.client.showJob(jobId)).backup_id;
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  async #stopRunning(): Promise<void> {
    if (this.#running === undefined) return;
    const { client } = this.#options;
    const job = await client.showJob(this.#running);
    if (!hasEnded(job.state)) {
      try {
        await client.cancelJob(this.#running);
      } catch (error) {
        // The job has ended in the meantime.
        if (!(error instanceof RefusedError)) throw error;
      }
    }
    await this.#watch(this.#running, hasEnded, { always: true });
    this.#running = undefined;
  }

  /** Waits for the end of a job. Throws unless it completed. */
  async #complete(jobId: string, options: { always?: boolean } = {}): Promise<JobView> {
    this.#running = jobId;
    const job = await this.#watch(jobId, hasEnded, options);
    this.#running = undefined;
    if (job.state !== 'completed') throw notCompleted(job);
    return job;
  }

  /** Waits until a job has one of these states, or has ended. @param always  also after Ctrl-C */
  async #watch(
    jobId: string,
    until: (state: JobState) => boolean,
    { always = false }: { always?: boolean } = {},
  ): Promise<JobView> {
    const { client, signal, progress, beginTimeoutMs = BEGIN_TIMEOUT_MS } = this.#options;
    const began = Date.now();
    const deadline = began + JOB_TIMEOUT_MS;
    for (;;) {
      if (!always) signal.throwIfAborted();
      const job = await client.showJob(jobId).catch((error) => {
        // The service did not respond for a moment.
        if (explainAwsError(error) instanceof UnavailableError && Date.now() < deadline) return undefined;
        throw error;
      });
      if (job) {
        progress(job);
        if (until(job.state) || hasEnded(job.state)) return job;
        if (job.state === 'pending' && job.kind === 'restore' && Date.now() - began > beginTimeoutMs) {
          throw new UnavailableError(
            `The restore ${jobId} has not begun, although its archive is uploaded: the event of S3 did not start the workflow, or no concurrent execution is free.`,
            {
              remedy:
                'Check the rule "an archive was uploaded" in EventBridge, its dead-letter queue, and the concurrent executions of the account.',
              help: HELP.uploadNotStarted,
            },
          );
        }
        if (Date.now() > deadline) {
          throw new UnavailableError(
            `Job ${jobId} is still ${job.state.replaceAll('_', ' ')} after ${JOB_TIMEOUT_MS / 60_000} minutes.`,
            {
              remedy: `See \`ngbak job ${jobId}\` and its execution in the AWS console.`,
            },
          );
        }
      }
      await delay(POLL_MS, undefined, always ? {} : { signal });
    }
  }
}

/** An archive of these files, in the form of a backup of the built-in target. */
async function packFiles(files: ReadonlyMap<string, Buffer>): Promise<Buffer> {
  const names = entryNamesOf([...files.keys()]);
  const chunks: Buffer[] = [];
  const pieces = async function* () {
    for (const [file, content] of [...files].sort(([one], [other]) => (one < other ? -1 : 1))) {
      yield wholeEntry(names.get(file) ?? '', content);
    }
  };
  const created = new Date().toISOString();
  const written = writeArchive(
    pieces(),
    {
      backup_id: `selftest_${created.replaceAll(/[^0-9TZ]/g, '-')}`,
      created_at: created,
      storage_backends: { kv: { kind: 'files', version: '1' } },
      statistics: {},
      scope: { type: 'partial', stores: ['kv'], target: SELFTEST_TARGET },
      tallies: {},
      tags: [SELFTEST_TAG],
    },
    { codec: 'gzip' },
  );
  for await (const chunk of written) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Downloads a backup and compares its files with the expected ones. Returns their bytes; throws IntegrityError. */
async function compareBackup(
  client: CliClient,
  backupId: string,
  files: ReadonlyMap<string, Buffer>,
  signal: AbortSignal,
): Promise<number> {
  const link = await client.downloadBackup(backupId, DownloadInput.parse({}));
  const answer = await fetch(link.url, { headers: link.headers, signal });
  if (!answer.ok) {
    throw new UnavailableError(`S3 answered with status ${answer.status} to the download of ${backupId}.`, {
      remedy: 'Run the self-test again. If it happens again, see docs/troubleshooting.md.',
    });
  }
  const archive = await openArchive(bufferSource(link.file_name, Buffer.from(await answer.arrayBuffer())));
  const wanted = new Map([...entryNamesOf([...files.keys()])].map(([file, entry]) => [entry, file]));
  const differing: string[] = [];
  let bytes = 0;
  for await (const entry of archive.entries('')) {
    if (!entry.name.startsWith('kv/')) continue;
    const file = wanted.get(entry.name);
    wanted.delete(entry.name);
    const chunks: Uint8Array[] = [];
    for await (const chunk of archive.open(entry)) chunks.push(chunk);
    const content = Buffer.concat(chunks);
    bytes += content.length;
    if (file === undefined || !files.get(file)?.equals(content)) differing.push(file ?? entry.name);
  }
  differing.push(...wanted.values());
  if (differing.length === 0) return bytes;
  throw new IntegrityError(
    `The backup differs from the restored data. Differing files: ${differing.join(', ')}.`,
    {
      remedy: 'Do not rely on this deployment. Report it with the output of `ngbak selftest --json`.',
      help: HELP.selftestDiffers,
    },
  );
}

/** Deletes a backup. Returns false if it does not exist: its job planned it and did not complete. */
async function remove(client: CliClient, backupId: string): Promise<boolean> {
  try {
    await client.deleteBackup(backupId);
    return true;
  } catch (error) {
    if (error instanceof NotFoundError) return false;
    throw error;
  }
}

/** Repeats a call while a job that has just ended still locks what the call needs. */
async function untilReleased<T>(call: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + RELEASE_TIMEOUT_MS;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof RefusedError) || Date.now() > deadline) throw error;
      await delay(POLL_MS);
    }
  }
}

function notCompleted({ job_id, state, error }: JobView): NgbakError {
  const text = `Job ${job_id} is ${state.replaceAll('_', ' ')}${error === undefined ? '' : `: ${error.message}`}`;
  const remedy = `See \`ngbak job ${job_id} --verbose\` and docs/troubleshooting.md.`;
  return error?.name === 'IntegrityError'
    ? new IntegrityError(text, { remedy })
    : new NgbakError(text, { remedy });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function since(begun: number): number {
  return Math.round((Date.now() - begun) / 100) / 10;
}
